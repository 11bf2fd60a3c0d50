"""What is counted of a result without opening it again; times as in `schema`."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from workers.state.schema import Base


class ResultFacts(Base):
    """A few numbers of one result, for trends per scanner; made from its findings and a header.

    `scanner` is manufacturer, model and station as the CT says them. Levels count graded nodules,
    `withheld` those without a level. `analysis_s` is all stages together. What findings do not
    say is `None`.
    """

    __tablename__ = "result_facts"
    __table_args__ = (
        Index("result_facts_scanner", "scanner", "committed_at"),
        Index("result_facts_at", "committed_at"),
    )

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True)
    committed_at: Mapped[float]
    scanner: Mapped[str] = mapped_column(String(200))
    kernel: Mapped[str] = mapped_column(String(64), default="")
    nodules: Mapped[int] = mapped_column(default=0)
    level_1: Mapped[int] = mapped_column(default=0)
    level_2: Mapped[int] = mapped_column(default=0)
    level_3: Mapped[int] = mapped_column(default=0)
    level_4: Mapped[int] = mapped_column(default=0)
    withheld: Mapped[int] = mapped_column(default=0)
    slice_spacing_mm: Mapped[float | None]
    air_hu: Mapped[float | None]
    blood_hu: Mapped[float | None]
    analysis_s: Mapped[float | None]
    device: Mapped[str] = mapped_column(String(32), default="")
    engine: Mapped[str] = mapped_column(String(32), default="")
    version: Mapped[str] = mapped_column(String(32), default="")
