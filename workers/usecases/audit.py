"""Who did what, when, to what, from where, and how it ended; rows are only ever added.

An action's record stands in the same transaction as the action: neither exists without the
other. What was refused is recorded in a transaction of its own. No patient data: a study is named
by its job's number.
"""

from __future__ import annotations

import enum
import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from workers.application import Application
from workers.errors import WorkersError
from workers.state.access_tables import AuditRecord, Role
from workers.state.schema import printable

NAME_LENGTH = 64


class How(enum.StrEnum):
    """By which way somebody acts."""

    BROWSER = "browser"
    API = "api"
    COMMAND_LINE = "command line"
    SERVICE = "service"
    """The console itself, at its first start."""


class Outcome(enum.StrEnum):
    """How an action ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Somebody who acts.

    Attributes
    ----------
    name : str
        A user's, a token's (``token NAME``), or that of the account at the command line.
    address : str
        Where the request came from; empty at the command line.
    """

    name: str
    role: Role
    how: How
    address: str = ""


def at_the_command_line() -> Actor:
    """Whoever runs this command; access to the settings makes them an administrator."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in containers
        name = "unknown"
    return Actor(name=name, role=Role.ADMIN, how=How.COMMAND_LINE)


def record(
    session: Session,
    actor: Actor | None,
    action: str,
    *,
    at: float,
    job_id: int | None = None,
    subject: str = "",
    outcome: Outcome = Outcome.DONE,
) -> None:
    """Add one record to a transaction.

    Parameters
    ----------
    actor : Actor or None
        `None` when the system acts by itself: nothing is recorded.
    action : str
        Constant, ``noun.verb`` (``job.retry``).
    job_id : int, optional
        The job it was done to.
    subject : str
        What else it was done to: a queue, destination, user or token.
    """
    if actor is None:
        return
    session.add(
        AuditRecord(
            at=at,
            who=printable(actor.name)[:NAME_LENGTH],
            role=actor.role,
            how=actor.how,
            address=actor.address[:NAME_LENGTH],
            action=action,
            job_id=job_id,
            subject=printable(subject)[:NAME_LENGTH],
            outcome=outcome,
        )
    )


def record_alone(
    app: Application,
    actor: Actor,
    action: str,
    *,
    job_id: int | None = None,
    subject: str = "",
    outcome: Outcome = Outcome.DONE,
) -> None:
    """Add one record in a transaction of its own: what was refused, or what only looked."""
    at = app.now()
    with app.database.write() as session:
        record(session, actor, action, at=at, job_id=job_id, subject=subject, outcome=outcome)


@contextmanager
def refusals_recorded(
    app: Application, actor: Actor | None, action: str, *, subject: str = ""
) -> Iterator[None]:
    """Record that an action was refused, whichever error of ours says so; it goes on."""
    try:
        yield
    except WorkersError as error:
        if actor is not None:
            job_id = getattr(error, "job_id", None)
            record_alone(
                app, actor, action, job_id=job_id, subject=subject, outcome=Outcome.REFUSED
            )
        raise


def list_audit(
    session: Session,
    *,
    before: int | None = None,
    limit: int = 100,
    job_id: int | None = None,
    who: str | None = None,
    action: str | None = None,
    since: float | None = None,
) -> list[dict[str, Any]]:
    """Records, newest first.

    Parameters
    ----------
    before : int, optional
        Only those with a smaller number: the last of the page before.
    """
    query = select(AuditRecord).order_by(AuditRecord.id.desc()).limit(limit)
    for condition in (
        None if before is None else AuditRecord.id < before,
        None if job_id is None else AuditRecord.job_id == job_id,
        None if who is None else AuditRecord.who == who,
        None if action is None else AuditRecord.action == action,
        None if since is None else AuditRecord.at >= since,
    ):
        if condition is not None:
            query = query.where(condition)
    return [_row(item) for item in session.scalars(query)]


def every_record(session: Session, *, since: float | None = None) -> Iterator[dict[str, Any]]:
    """All records, oldest first, for an export."""
    query = select(AuditRecord).order_by(AuditRecord.id)
    if since is not None:
        query = query.where(AuditRecord.at >= since)
    for item in session.scalars(query.execution_options(yield_per=1000)):
        yield _row(item)


def _row(item: AuditRecord) -> dict[str, Any]:
    return {
        "id": item.id,
        "at": item.at,
        "who": item.who,
        "role": item.role,
        "how": item.how,
        "address": item.address,
        "action": item.action,
        "job": item.job_id,
        "subject": item.subject,
        "outcome": item.outcome,
    }
