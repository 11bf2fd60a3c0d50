"""What is to be removed from the object store and is not gone yet; times as in `schema`."""

from __future__ import annotations

import enum

from sqlalchemy import BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from workers.state.schema import Base


class Removable(enum.StrEnum):
    """What a policy may let go."""

    RECEIVED = "received"
    """Received instances of a series."""
    RESULT = "result"
    """Findings and final objects."""
    KEPT_ASIDE = "kept_aside"
    """A file in the spool's quarantine."""
    HISTORY = "history"
    """A job's lines of history and the headers of its instances."""


class Removal(Base):
    """Objects that no row counts on any more, until they are gone.

    Written in the transaction in which the rows let go of them, so that a crash between database
    and object store leaves nothing that nobody knows of. `keys` are keys of the object store, of
    `kept_aside` names in the quarantine.
    """

    __tablename__ = "removal"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    what: Mapped[str] = mapped_column(String(16))
    keys: Mapped[list[str]]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    why: Mapped[str] = mapped_column(Text)
    begun_at: Mapped[float]
