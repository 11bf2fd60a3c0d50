"""Tables of what others said of our nodules (docs/answers.md); times as in `schema`."""

from __future__ import annotations

import enum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from workers.state.schema import Base


class ReportOutcome(enum.StrEnum):
    """What came of a report by somebody else."""

    PENDING = "pending"
    ANSWERS = "answers"
    """It says something of our nodules, or that there is none."""
    UNCLEAR = "unclear"
    """It is about our result, and what it says could not be told."""
    CONFLICT = "conflict"
    """It names our nodules, and another patient or study."""
    NOT_OURS = "not_ours"
    """It has nothing to do with our results, or is a copy of them."""


class Verdict(enum.StrEnum):
    """What was said of a nodule."""

    ACCEPT = "accept"
    REJECT = "reject"
    REGRADE = "regrade"
    ADDED = "added"
    """A nodule that we did not list."""
    UNCLEAR = "unclear"


class AnswerReport(Base):
    """A report (SR) by somebody else, and what came of looking for answers in it.

    One row for each content: a copy with another `header_sha256` is looked at again. So is one
    that comes back after another, unless answers were found in it.
    """

    __tablename__ = "answer_report"
    __table_args__ = (
        UniqueConstraint("sop_uid", "header_sha256"),
        Index("answer_report_outcome", "outcome"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    sop_uid: Mapped[str] = mapped_column(String(64))
    header_sha256: Mapped[str] = mapped_column(String(64))
    outcome: Mapped[str] = mapped_column(String(16), default=ReportOutcome.PENDING)
    reason: Mapped[str | None] = mapped_column(Text)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    received_at: Mapped[float]
    looked_at: Mapped[float | None]


class Answer(Base):
    """What somebody said of one nodule; never changed afterwards.

    `report_id` is `None` for what was said at the command line; `record` then is its key in the
    object store. `said` holds what was said beside the verdict (docs/answers.md).
    """

    __tablename__ = "answer"
    __table_args__ = (
        Index("answer_job", "job_id"),
        Index("answer_nodule", "tracking_uid"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    report_id: Mapped[int | None] = mapped_column(ForeignKey("answer_report.id"))
    sop_uid: Mapped[str | None] = mapped_column(String(64))
    record: Mapped[str | None] = mapped_column(Text, unique=True)
    tracking_uid: Mapped[str] = mapped_column(String(64))
    verdict: Mapped[str] = mapped_column(String(16))
    said: Mapped[dict[str, Any]]
    why: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(Text)
    author_id: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(String(32))
    verified: Mapped[bool] = mapped_column(default=False)
    said_at: Mapped[float]
    recorded_at: Mapped[float]
