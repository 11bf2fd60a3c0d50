"""Tables of who may use the console and what they did; times as in `schema`.

Secrets stand here as digests only: Argon2 of passwords, SHA-256 of tokens (which are random, so
that no dictionary helps). Nothing here names a patient.
"""

from __future__ import annotations

import enum

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from workers.state.schema import Base


class Role(enum.StrEnum):
    """What somebody may do; each may do what those before it may."""

    VIEWER = "viewer"
    """Looks."""
    OPERATOR = "operator"
    """Acts on jobs, queues and deliveries."""
    ADMIN = "admin"
    """Gives and takes access, reads the audit."""

    def includes(self, other: Role) -> bool:
        """Whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class User(Base):
    """A person who may sign in; `password` is an Argon2 digest, `None` until one is set."""

    __tablename__ = "console_user"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    password: Mapped[str | None] = mapped_column(String(255))
    disabled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[float]
    password_at: Mapped[float | None]
    last_sign_in_at: Mapped[float | None]


class SignInLink(Base):
    """A link that signs a user in once and lets them choose a password."""

    __tablename__ = "sign_in_link"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("console_user.id"))
    created_at: Mapped[float]
    expires_at: Mapped[float]
    used_at: Mapped[float | None]


class ConsoleSession(Base):
    """A browser that is signed in."""

    __tablename__ = "console_session"
    __table_args__ = (Index("console_session_user", "user_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("console_user.id"))
    address: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[float]
    seen_at: Mapped[float]
    expires_at: Mapped[float]
    ended_at: Mapped[float | None]


class SignInAttempt(Base):
    """A sign-in that failed or has not been judged yet; `user_sha256` is of the name as typed."""

    __tablename__ = "sign_in_attempt"
    __table_args__ = (Index("sign_in_attempt_at", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_sha256: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(String(64))
    at: Mapped[float]


class ApiToken(Base):
    """A program that may use the HTTP API."""

    __tablename__ = "api_token"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    created_by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[float]
    expires_at: Mapped[float]
    used_at: Mapped[float | None]
    revoked_at: Mapped[float | None]


class AuditRecord(Base):
    """One action of somebody. The database refuses to change or delete these rows.

    `job_id` is a job's number without being bound to it, so that the record outlives the job;
    `subject` is a queue's, destination's, user's or token's name.
    """

    __tablename__ = "audit_record"
    __table_args__ = (
        Index("audit_record_at", "at"),
        Index("audit_record_job", "job_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float]
    who: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    how: Mapped[str] = mapped_column(String(16))
    address: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[int | None]
    subject: Mapped[str] = mapped_column(String(64), default="")
    outcome: Mapped[str] = mapped_column(String(16))
