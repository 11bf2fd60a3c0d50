"""Tables of what is known of patients beside their CT (docs/context.md); times as in `schema`.

Nothing is ever changed for being merged, corrected or found wrong: rows are only added, and what
counts is worked out when it is read (`workers/context/resolve`).
"""

from __future__ import annotations

import enum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from workers.state.schema import Base


class MessageState(enum.StrEnum):
    """What became of an accepted message."""

    TAKEN = "taken"
    HELD = "held"
    """It cannot be used as it is: a person decides."""


class LinkKind(enum.StrEnum):
    """What is said of two patient IDs, or of one."""

    MERGE = "merge"
    UNMERGE = "unmerge"
    CONFIRM = "confirm"
    """A person has looked: everything known until then is of the CT's patient."""


class ContextMessage(Base):
    """An accepted HL7 message or FHIR resource; the file is gone once it is `taken`.

    `said_at` is when the sender says that it was, ISO 8601 in its local time.
    """

    __tablename__ = "context_message"
    __table_args__ = (
        UniqueConstraint("sender", "control_id", "sha256"),
        Index("context_message_state", "state", "considered", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(String(8))
    sender: Mapped[str] = mapped_column(Text)
    control_id: Mapped[str] = mapped_column(String(255))
    sha256: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(64))
    said_at: Mapped[str] = mapped_column(String(32), default="")
    received_at: Mapped[float]
    taken_at: Mapped[float]
    state: Mapped[str] = mapped_column(String(8))
    reason_code: Mapped[str] = mapped_column(String(64), default="")
    reason: Mapped[str] = mapped_column(Text, default="")
    file: Mapped[str] = mapped_column(String(128), default="")
    considered: Mapped[bool] = mapped_column(default=False)
    """Whether results that lack it were looked for (usecases/revise_for_context)."""


class ContextPerson(Base):
    """Whom a message says that a patient ID belongs to."""

    __tablename__ = "context_person"
    __table_args__ = (
        Index("context_person_patient", "patient_id", "issuer"),
        Index("context_person_message", "message_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("context_message.id"))
    patient_id: Mapped[str] = mapped_column(Text)
    issuer: Mapped[str] = mapped_column(Text)
    names: Mapped[list[str]]
    birth_date: Mapped[str] = mapped_column(String(8), default="")
    sex: Mapped[str] = mapped_column(String(4), default="")
    is_identity: Mapped[bool]


class ContextValue(Base):
    """One value of a message (`workers.context.facts.Value`)."""

    __tablename__ = "context_value"
    __table_args__ = (Index("context_value_person", "person_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("context_person.id"))
    item: Mapped[str] = mapped_column(String(64))
    content: Mapped[dict[str, Any]]


class ContextReport(Base):
    """One text of a message (`workers.context.facts.ReportText`)."""

    __tablename__ = "context_report"
    __table_args__ = (Index("context_report_person", "person_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("context_person.id"))
    kind: Mapped[str] = mapped_column(String(16))
    content: Mapped[dict[str, Any]]


class ContextLink(Base):
    """A merge or unmerge of patient IDs, or a person's confirmation; by message or by somebody.

    `at` orders them. `into_id` is the one that survives; empty for a confirmation.
    """

    __tablename__ = "context_link"
    __table_args__ = (
        Index("context_link_from", "from_id", "from_issuer"),
        Index("context_link_into", "into_id", "into_issuer"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))
    from_id: Mapped[str] = mapped_column(Text)
    from_issuer: Mapped[str] = mapped_column(Text)
    into_id: Mapped[str] = mapped_column(Text, default="")
    into_issuer: Mapped[str] = mapped_column(Text, default="")
    at: Mapped[float]
    message_id: Mapped[int | None] = mapped_column(ForeignKey("context_message.id"))
    told_by: Mapped[str] = mapped_column(String(128), default="")


class UsedContext(Base):
    """What was known when a job was analysed, frozen; `digest` is over what shapes the result."""

    __tablename__ = "used_context"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    content: Mapped[dict[str, Any]]
