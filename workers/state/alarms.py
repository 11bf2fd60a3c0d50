"""Alarms: what needs a person, raised once and cleared when it is over.

An alarm is told apart by its code and subject; raising it again while it is open changes
nothing but its words. Pages, metrics and messages read this table.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from workers.state.schema import Alarm, printable

log = structlog.get_logger()

JOB_STOPPED = "job_stopped"
"""A job was quarantined or failed; its subject is the job's number."""
DESTINATION_SILENT = "destination_silent"
"""A destination has taken nothing for a while."""
NOT_CONFIRMED = "not_confirmed"
"""A destination will not prove, or denies, that it keeps a result; the subject is the job."""
NOBODY_WORKS = "nobody_works"
"""Due work waits and no worker takes it; the subject is the queue."""
DATABASE_EMPTY = "database_empty"
"""The database knows no job, the object store holds instances: it was lost."""
DATABASE_UNREACHABLE = "database_unreachable"
BROKER_UNREACHABLE = "broker_unreachable"
STORE_UNREACHABLE = "store_unreachable"
DISK_LOW = "disk_low"
"""The spool's disk comes near its reserve."""
SPOOL_REFUSES = "spool_refuses"
"""The spool's disk is under its reserve, or cannot be written."""
NODE_LOOP_FAILS = "node_loop_fails"
"""A part of the node's work fails again and again; the subject is the loop that does it."""

CONTEXT_HELD = "context_held"
"""Messages about patients cannot be used as they are; its subject is ``messages``."""
CONTEXT_CONFLICT = "context_conflict"
"""What is known under a patient's ID names another patient; the subject is a digest of the ID."""

CODES = (
    JOB_STOPPED, DESTINATION_SILENT, NOT_CONFIRMED, NOBODY_WORKS, DATABASE_EMPTY,
    DATABASE_UNREACHABLE, BROKER_UNREACHABLE, STORE_UNREACHABLE, DISK_LOW, SPOOL_REFUSES,
    NODE_LOOP_FAILS, CONTEXT_HELD, CONTEXT_CONFLICT,
)  # fmt: skip
"""All of them."""


def raise_alarm(session: Session, code: str, subject: str, message: str, *, at: float) -> None:
    """Open an alarm, or renew the words of the one that is open."""
    message = printable(message)
    alarm = _find(session, code, subject)
    if alarm is not None:
        alarm.message = message
        return
    session.add(Alarm(code=code, subject=subject, message=message, raised_at=at))
    log.error("alarm_raised", alarm=code, subject=subject)


def clear_alarm(session: Session, code: str, subject: str, *, at: float) -> None:
    """Close an alarm; nothing happens when it is not open."""
    alarm = _find(session, code, subject)
    if alarm is not None:
        alarm.cleared_at = at
        log.info("alarm_cleared", alarm=code, subject=subject)


def open_alarms(session: Session) -> Sequence[Alarm]:
    """Everything that needs a person now, oldest first."""
    query = select(Alarm).where(Alarm.cleared_at.is_(None)).order_by(Alarm.raised_at, Alarm.id)
    return session.scalars(query).all()


def _find(session: Session, code: str, subject: str) -> Alarm | None:
    return session.scalars(
        select(Alarm).where(
            Alarm.cleared_at.is_(None), Alarm.code == code, Alarm.subject == subject
        )
    ).first()
