"""The queue as a page shows it: some jobs of very many, by filters, page after page.

Pages are told apart by the last job's number (keyset), never by an offset, so that the last page
is as fast as the first and nothing is shown twice while jobs come in. Every filter but a piece of a
UID has an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, union_all
from sqlalchemy.orm import Session

from workers.state.jobs import NEEDS_A_PERSON, job_number
from workers.state.schema import Delivery, DeliveryState, Job, JobState, Priority
from workers.usecases.job_row import COLUMNS, job_row

PAGE = 50
LONGEST_UID = 64
WAITING = frozenset({DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.FAILED})
"""Deliveries that did not arrive, and may still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFilter:
    """Which jobs to show; empty means all.

    Attributes
    ----------
    states : tuple of JobState
    code : str
        Reason code.
    calling_ae : str
        Who sent it.
    modality : str
    priority : Priority or None
    destination : str
        Only jobs that this destination has not taken.
    text : str
        A job's number, or a Study or Series Instance UID, or a piece of one.
    since, until : float or None
        When the first instance came, seconds since the epoch; `until` is not in it.
    oldest_first : bool
        Newest first otherwise.
    """

    states: tuple[JobState, ...] = ()
    code: str = ""
    calling_ae: str = ""
    modality: str = ""
    priority: Priority | None = None
    destination: str = ""
    text: str = ""
    since: float | None = None
    until: float | None = None
    oldest_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePage:
    """Some jobs, and after which job the next page begins; `None` on the last."""

    jobs: tuple[dict[str, Any], ...]
    next_after: int | None


def list_queue(
    session: Session, wanted: QueueFilter, *, after: int | None = None, limit: int = PAGE
) -> QueuePage:
    """One page of the jobs that pass a filter.

    Parameters
    ----------
    wanted : QueueFilter
        Which jobs.
    after : int, optional
        The last job of the page before.
    limit : int
        Jobs on a page.
    """
    ids = [
        int(job_id)
        for job_id in session.scalars(page_query(session, wanted, after=after, limit=limit + 1))
    ]
    shown = ids[:limit]
    rows = session.execute(select(*COLUMNS).where(Job.id.in_(shown))).all()
    by_id = {row.id: row for row in rows}
    return QueuePage(
        jobs=tuple(job_row(by_id[job_id]) for job_id in shown if job_id in by_id),
        next_after=shown[-1] if len(ids) > limit else None,
    )


def matching_ids(session: Session, wanted: QueueFilter, *, limit: int) -> tuple[int, ...]:
    """Numbers of jobs that pass a filter, in its order, at most `limit`."""
    return tuple(
        int(job_id)
        for job_id in session.scalars(page_query(session, wanted, after=None, limit=limit))
    )


def count_queue(session: Session, wanted: QueueFilter) -> dict[str, int]:
    """How many jobs pass a filter, by state; the filter's own states are not looked at."""
    query = select(Job.state, func.count()).group_by(Job.state)
    rows = session.execute(query.where(*_conditions(session, wanted, states=False)))
    return {str(state): int(count) for state, count in rows}


def dead_letter_groups(session: Session) -> list[dict[str, Any]]:
    """Jobs that need a person by state and reason: how many, and since when the oldest."""
    rows = session.execute(
        select(Job.state, Job.reason_code, func.count(), func.min(Job.state_since))
        .where(Job.state.in_(NEEDS_A_PERSON))
        .group_by(Job.state, Job.reason_code)
    )
    groups = [
        {"state": state, "code": code, "jobs": int(count), "oldest_at": oldest}
        for state, code, count, oldest in rows
    ]
    return sorted(groups, key=lambda group: (-group["jobs"], group["code"] or ""))


def queue_choices(session: Session) -> dict[str, list[str]]:
    """What there is to filter by: reason codes, calling AE titles, modalities."""
    return {
        "code": _distinct(session, Job.reason_code),
        "calling_ae": _distinct(session, Job.calling_ae),
        "modality": _distinct(session, Job.modality),
    }


def page_query(
    session: Session, wanted: QueueFilter, *, after: int | None, limit: int
) -> Select[int]:
    """The numbers of a page's jobs, in order.

    With states, each one's newest jobs are taken from its own piece of the index and put
    together: a sort over all of them would read every job there ever was.
    """
    conditions = _conditions(session, wanted, states=False)
    order = Job.id.asc() if wanted.oldest_first else Job.id.desc()
    if after is not None:
        conditions.append(Job.id > after if wanted.oldest_first else Job.id < after)
    if not wanted.states:
        return select(Job.id).where(*conditions).order_by(order).limit(limit)
    parts = [
        select(
            select(Job.id)
            .where(Job.state == state, *conditions)
            .order_by(order)
            .limit(limit)
            .subquery()
            .c.id
        )
        for state in wanted.states
    ]
    together = union_all(*parts).subquery()
    number = together.c.id
    return (
        select(number).order_by(number.asc() if wanted.oldest_first else number.desc()).limit(limit)
    )


def _conditions(
    session: Session, wanted: QueueFilter, *, states: bool = True
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if states and wanted.states:
        found.append(Job.state.in_(wanted.states))
    for column, value in (
        (Job.reason_code, wanted.code),
        (Job.calling_ae, wanted.calling_ae),
        (Job.modality, wanted.modality),
    ):
        if value:
            found.append(column == value)
    if wanted.priority is not None:
        found.append(Job.priority == int(wanted.priority))
    if wanted.since is not None:
        found.append(Job.created_at >= wanted.since)
    if wanted.until is not None:
        found.append(Job.created_at < wanted.until)
    if wanted.destination:
        waiting = select(Delivery.job_id).where(
            Delivery.destination == wanted.destination, Delivery.state.in_(WAITING)
        )
        found.append(Job.id.in_(waiting))
    if wanted.text:
        found.append(_named(session, wanted.text.strip()))
    return found


def _named(session: Session, text: str) -> ColumnElement[bool]:
    """The job of that number, or those of a study or series; a piece of a UID only as a last
    resort, since it needs a look at every job.
    """
    number = job_number(text)
    if number is not None:
        return Job.id == number
    whole = or_(Job.series_uid == text, Job.study_uid == text)
    if session.scalars(select(Job.id).where(whole).limit(1)).first() is not None:
        return whole
    piece = text[:LONGEST_UID]
    return or_(
        Job.series_uid.contains(piece, autoescape=True),
        Job.study_uid.contains(piece, autoescape=True),
    )


def _distinct(session: Session, column: Any) -> list[str]:
    """The values of an indexed column, one look into the index for each."""
    values: list[str] = []
    value = session.scalar(select(func.min(column)))
    while value is not None:
        if value:
            values.append(str(value))
        value = session.scalar(select(func.min(column)).where(column > value))
    return values


def states_of(names: Sequence[str]) -> tuple[JobState, ...]:
    """States by their names; what is none is left out."""
    known = {str(state): state for state in JobState}
    return tuple(dict.fromkeys(known[name] for name in names if name in known))
