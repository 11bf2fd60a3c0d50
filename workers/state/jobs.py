"""The arrows between a job's states, leases with fencing tokens, and the job's history.

Every change of state goes through `move`, which refuses arrows that are not in `ARROWS` and
writes the line of history in the same transaction.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from workers.errors import IllegalTransition, LeaseLost, NoSuchJob
from workers.state.alarms import JOB_STOPPED, NOT_CONFIRMED, clear_alarm, raise_alarm
from workers.state.schema import (
    ENDS,
    Delivery,
    DeliveryState,
    Event,
    Job,
    JobState,
    Notice,
    printable,
)

LONGEST_NUMBER = 9
"""Digits of a job's number at most: more fit no column on every database."""
S = JobState
NEEDS_A_PERSON = frozenset({S.QUARANTINED, S.FAILED})
_FROM_ANYWHERE_BEFORE_RESULT = frozenset(
    {S.NOT_ELIGIBLE, S.QUARANTINED, S.CANCELLED, S.SUPERSEDED, S.FAILED}
)
ARROWS: dict[JobState, frozenset[JobState]] = {
    S.RECEIVING: frozenset({S.COMPLETE}) | _FROM_ANYWHERE_BEFORE_RESULT,
    S.COMPLETE: frozenset({S.QUEUED, S.RECEIVING}) | _FROM_ANYWHERE_BEFORE_RESULT,
    S.QUEUED: frozenset({S.ANALYSING, S.RECEIVING}) | _FROM_ANYWHERE_BEFORE_RESULT,
    S.ANALYSING: frozenset({S.ANALYSED, S.QUEUED}) | _FROM_ANYWHERE_BEFORE_RESULT,
    S.ANALYSED: frozenset({S.DELIVERING, S.SUPERSEDED, S.CANCELLED, S.QUARANTINED}),
    S.DELIVERING: frozenset(
        {S.DELIVERED, S.CONFIRMED, S.FAILED, S.SUPERSEDED, S.CANCELLED, S.QUARANTINED}
        | {S.ANALYSED}  # its destinations withhold it, or are in shadow, meanwhile
    ),
    S.DELIVERED: frozenset({S.CONFIRMED, S.DELIVERING, S.FAILED, S.SUPERSEDED}),
    S.CONFIRMED: frozenset({S.SUPERSEDED}),
    # Administrators bring jobs back: retry and force.
    S.NOT_ELIGIBLE: frozenset({S.RECEIVING, S.QUEUED, S.SUPERSEDED, S.QUARANTINED, S.CANCELLED}),
    S.QUARANTINED: frozenset({S.RECEIVING, S.QUEUED, S.DELIVERING, S.SUPERSEDED, S.CANCELLED}),
    S.CANCELLED: frozenset({S.RECEIVING, S.QUEUED, S.DELIVERING, S.SUPERSEDED}),
    S.FAILED: frozenset(
        {S.RECEIVING, S.QUEUED, S.DELIVERING, S.SUPERSEDED, S.QUARANTINED, S.CANCELLED}
    ),
    S.SUPERSEDED: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work on a job or a delivery until it runs out.

    Attributes
    ----------
    token : int
        Fencing token; whoever took the lease later has a higher one.
    """

    id: int
    owner: str
    token: int


def move(
    session: Session,
    job: Job,
    state: JobState,
    message: str,
    *,
    at: float,
    reason_code: str | None = None,
    transient: bool | None = None,
) -> None:
    """Bring a job into another state and write its history.

    Parameters
    ----------
    message : str
        For people; becomes the job's reason when `reason_code` is given.
    reason_code : str, optional
        Constant for programs, for states that need a reason.
    transient : bool, optional
        Whether trying again can help.

    Raises
    ------
    IllegalTransition
        If there is no such arrow.
    """
    found = JobState(job.state)
    if state is not found and state not in ARROWS[found]:
        raise IllegalTransition(job.id, found, state)
    if state is not found:
        job.state_since = at
        job.end_considered = False
    job.state = state
    job.reason_code = reason_code
    job.reason = printable(message) if reason_code else None
    job.transient = transient
    if state is not JobState.ANALYSING:
        job.lease_owner = None
        job.lease_expires_at = None
    note(session, job, message, at=at)
    if state in NEEDS_A_PERSON:
        raise_alarm(session, JOB_STOPPED, str(job.id), f"{state}: {job.reason_code}", at=at)
    else:
        clear_alarm(session, JOB_STOPPED, str(job.id), at=at)
    if state in ENDS:
        clear_alarm(session, NOT_CONFIRMED, str(job.id), at=at)


def note(session: Session, job: Job, message: str, *, at: float) -> None:
    """Add a line to a job's history without changing its state."""
    message = printable(message)
    session.add(Event(job_id=job.id, at=at, state=job.state, message=message))


def job_number(text: str) -> int | None:
    """A job's number as somebody typed it; `None` where it can be none."""
    small = text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER
    return int(text) if small else None


def find_job(session: Session, wanted: str) -> Job:
    """The job with this number, or the newest of this Series Instance UID.

    Raises
    ------
    NoSuchJob
        If there is none.
    """
    number = job_number(wanted)
    job = current_job(session, wanted) if number is None else session.get(Job, number)
    if job is None:
        raise NoSuchJob(wanted)
    return job


def current_job(session: Session, series_uid: str) -> Job | None:
    """The newest revision's job of a series."""
    return session.scalars(
        select(Job).where(Job.series_uid == series_uid).order_by(Job.revision.desc()).limit(1)
    ).first()


def series_jobs(study_uid: str) -> Select[Job]:
    """Jobs of a study that analyse a series: all but the notices."""
    notices = select(Notice.job_id)
    return select(Job).where(Job.study_uid == study_uid, Job.id.not_in(notices))


def is_notice(session: Session, job: Job) -> bool:
    """Whether a job tells that nothing of a study could be analysed, and analyses no series."""
    return session.get(Notice, job.id) is not None


def take_job(session: Session, job_id: int, owner: str, *, now: float, lease_s: float) -> Lease:
    """Take a queued job for analysis.

    Raises
    ------
    LeaseLost
        If it is not waiting, or not due (someone else was faster, or the hint was old).
    """
    taken = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == S.QUEUED, Job.next_attempt_at <= now)
        .values(
            state=S.ANALYSING,
            state_since=now,
            lease_owner=owner,
            lease_expires_at=now + lease_s,
            fencing_token=Job.fencing_token + 1,
            attempts=Job.attempts + 1,
        )
        .returning(Job.fencing_token, Job.attempts)
    ).first()
    if taken is None:
        raise LeaseLost(f"job {job_id}")
    token, attempts = taken
    session.add(
        Event(job_id=job_id, at=now, state=S.ANALYSING, message=f"attempt {attempts} by {owner}")
    )
    return Lease(id=job_id, owner=owner, token=token)


def take_delivery(
    session: Session, delivery_id: int, owner: str, *, now: float, lease_s: float
) -> Lease:
    """Take a due delivery.

    Raises
    ------
    LeaseLost
        If it is not waiting, or not due.
    """
    token = session.execute(
        update(Delivery)
        .where(
            Delivery.id == delivery_id,
            Delivery.state == DeliveryState.QUEUED,
            Delivery.next_attempt_at <= now,
        )
        .values(
            state=DeliveryState.SENDING,
            lease_owner=owner,
            lease_expires_at=now + lease_s,
            fencing_token=Delivery.fencing_token + 1,
            attempts=Delivery.attempts + 1,
        )
        .returning(Delivery.fencing_token)
    ).scalar()
    if token is None:
        raise LeaseLost(f"delivery {delivery_id}")
    return Lease(id=delivery_id, owner=owner, token=token)


def renew(
    session: Session, table: type[Job] | type[Delivery], lease: Lease, *, until: float
) -> None:
    """Prolong a lease.

    Raises
    ------
    LeaseLost
        If it is not this worker's any more.
    """
    working = S.ANALYSING if table is Job else DeliveryState.SENDING
    renewed = session.execute(
        update(table)
        .where(table.id == lease.id, table.fencing_token == lease.token, table.state == working)
        .values(lease_expires_at=until)
        .returning(table.id)
    ).first()
    if renewed is None:
        raise LeaseLost(f"{table.__tablename__} {lease.id}")


def held_job(session: Session, lease: Lease) -> Job:
    """The job under a lease, for writing its outcome.

    Raises
    ------
    LeaseLost
        If the lease is not this worker's any more.
    """
    job = session.get_one(Job, lease.id)
    if job.fencing_token != lease.token or job.state != S.ANALYSING:
        raise LeaseLost(f"job {lease.id}")
    return job


def held_delivery(session: Session, lease: Lease) -> Delivery:
    """The delivery under a lease, for writing its outcome.

    Raises
    ------
    LeaseLost
        If the lease is not this worker's any more.
    """
    delivery = session.get_one(Delivery, lease.id)
    if delivery.fencing_token != lease.token or delivery.state != DeliveryState.SENDING:
        raise LeaseLost(f"delivery {lease.id}")
    return delivery


def back_off_s(attempts: int, *, base_s: float, cap_s: float) -> float:
    """Seconds until the next attempt: doubling, capped, with up to a quarter of jitter."""
    delay = min(cap_s, base_s * 2.0 ** min(max(attempts - 1, 0), 30))
    return delay * random.uniform(0.75, 1.0)  # noqa: S311 - spreads retries, guards nothing
