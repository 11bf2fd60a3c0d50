"""The table of who was told of which alarm; times as in `schema`."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from workers.state.schema import Base


class AlarmNotice(Base):
    """A way out (`webhook`, `email`) was told that an alarm was raised, or is over."""

    __tablename__ = "alarm_notice"

    channel: Mapped[str] = mapped_column(String(16), primary_key=True)
    alarm_id: Mapped[int] = mapped_column(primary_key=True)
    what: Mapped[str] = mapped_column(String(8), primary_key=True)
    at: Mapped[float]
