"""What an administrator may do to jobs and queues, whichever page or command asks for it."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from workers import clock
from workers.application import Application
from workers.errors import IllegalTransition
from workers.state.jobs import find_job, move, note
from workers.state.schema import PAUSES, Delivery, DeliveryState, Job, JobState, Result, Switch


def retry(app: Application, wanted: str) -> JobState:
    """Start a failed, quarantined or cancelled job again where it stopped.

    Failed deliveries are queued again when there is a result; otherwise the series is judged
    anew from what is on disk.

    Raises
    ------
    NoSuchJob
        If there is no such job.
    IllegalTransition
        If the job did not stop.
    """
    now = clock.now()
    with app.database.write() as session:
        job = find_job(session, wanted)
        if session.get(Result, job.id) is not None:
            _retry_deliveries(session, job, now)
        else:
            move(session, job, JobState.RECEIVING, "retry: the series is judged again", at=now)
            job.attempts = 0
            job.hinted_at = 0.0
        return JobState(job.state)


def _retry_deliveries(session: Session, job: Job, now: float) -> None:
    stopped = session.scalars(
        select(Delivery).where(
            Delivery.job_id == job.id,
            Delivery.state.in_([DeliveryState.FAILED, DeliveryState.CANCELLED]),
        )
    ).all()
    if not stopped:
        raise IllegalTransition(job.id, job.state, "delivering again: nothing of it failed")
    move(session, job, JobState.DELIVERING, "retry: deliveries queued again", at=now)
    for delivery in stopped:
        delivery.state = DeliveryState.QUEUED
        delivery.attempts = 0
        delivery.next_attempt_at = now
        delivery.hinted_at = 0.0


def cancel(app: Application, wanted: str) -> JobState:
    """Stop a job; an analysis under way is discarded, deliveries not yet made are dropped.

    Raises
    ------
    NoSuchJob
        If there is no such job.
    IllegalTransition
        If it has ended already.
    """
    now = clock.now()
    with app.database.write() as session:
        job = find_job(session, wanted)
        if JobState(job.state) is JobState.CANCELLED:
            raise IllegalTransition(job.id, job.state, JobState.CANCELLED)
        move(
            session,
            job,
            JobState.CANCELLED,
            "cancelled by an administrator",
            at=now,
            reason_code="cancelled",
        )
        for delivery in session.scalars(select(Delivery).where(Delivery.job_id == job.id)):
            if delivery.state in {DeliveryState.QUEUED, DeliveryState.SENDING}:
                delivery.state = DeliveryState.CANCELLED
                delivery.reason = "job cancelled"
        return JobState(job.state)


def force(app: Application, wanted: str) -> JobState:
    """Analyse a series as it is, without waiting for more slices or a better series.

    Rules that say that it is no chest CT, and files that cannot be read, still hold.

    Raises
    ------
    NoSuchJob
        If there is no such job.
    IllegalTransition
        If it has a result, or is being analysed.
    """
    now = clock.now()
    with app.database.write() as session:
        job = find_job(session, wanted)
        job.forced = True
        if JobState(job.state) is JobState.RECEIVING:
            note(session, job, "forced by an administrator: no more waiting", at=now)
        else:
            move(session, job, JobState.RECEIVING, "forced by an administrator", at=now)
        job.attempts = 0
        job.hinted_at = 0.0
        return JobState(job.state)


def set_pause(app: Application, queue: str, *, paused: bool) -> None:
    """Hold a queue back, or let it go on; what runs is not interrupted.

    Raises
    ------
    KeyError
        If `queue` is not one of `PAUSES`.
    """
    name = PAUSES[queue]
    now = clock.now()
    with app.database.write() as session:
        session.merge(Switch(name=name, value="on" if paused else "off", changed_at=now))
        if not paused:
            # Hints given while the queue stood still went nowhere: give them again.
            table = Job if queue == "analyse" else Delivery
            session.execute(update(table).where(table.state == "queued").values(hinted_at=0.0))


def paused_queues(session: Session) -> dict[str, bool]:
    """Which queues are held back."""
    return {
        queue: (row is not None and row.value == "on")
        for queue, name in PAUSES.items()
        for row in [session.get(Switch, name)]
    }
