"""What an administrator may do to jobs and queues, whichever page or command asks for it.

Each takes who asks (`by`) and leaves a record of it in the audit, in the same transaction.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from workers.application import Application
from workers.errors import IllegalTransition
from workers.settings import Settings
from workers.state.jobs import NEEDS_A_PERSON, current_job, find_job, is_notice, move, note
from workers.state.schema import (
    PAUSES,
    Delivery,
    DeliveryState,
    Job,
    JobState,
    KeptAside,
    Priority,
    Switch,
)
from workers.usecases.audit import Actor, record, refusals_recorded
from workers.usecases.begin_deliveries import begin_deliveries, queue_again
from workers.usecases.quarantine import PIXELS_CHANGED, is_outdated
from workers.usecases.revise import drop_deliveries, has_result
from workers.usecases.settle import roll_up
from workers.usecases.share_settings import with_site_settings

RESTARTABLE = NEEDS_A_PERSON | {JobState.CANCELLED, JobState.NOT_ELIGIBLE}
"""What can be judged again from the beginning when it has no result."""


def retry(app: Application, wanted: str, *, by: Actor | None = None) -> JobState:
    """Start a failed, quarantined or cancelled job again where it stopped.

    Failed deliveries are queued again when there is a result; one that was made when no
    destination was configured goes to those that are configured now. Otherwise the series is
    judged anew from what is there, and files that were kept aside for it are looked at once more;
    other pixels under a known UID stay aside, so that the first ones count, and so does a copy
    older than the one that is known.

    Raises
    ------
    NoSuchJob
        If there is no such job.
    IllegalTransition
        If the job did not stop, or the series has a later revision, which then counts.
    """
    with refusals_recorded(app, by, "job.retry"):
        return _retry(app, wanted, by)


def _retry(app: Application, wanted: str, by: Actor | None) -> JobState:
    now = app.now()
    settings = with_site_settings(app).settings
    with app.database.write() as session:
        job = find_job(session, wanted)
        record(session, by, "job.retry", at=now, job_id=job.id)
        if current_job(session, job.series_uid) is not job:
            raise IllegalTransition(job.id, job.state, "tried again: its series has a later one")
        if has_result(session, job):
            _retry_deliveries(session, job, settings, now)
            return JobState(job.state)
        if JobState(job.state) not in RESTARTABLE:
            raise IllegalTransition(job.id, job.state, "judged again: it did not stop")
        if is_notice(session, job):
            move(session, job, JobState.QUEUED, "retry: the report is composed again", at=now)
            _begin_anew(job, now)
            return JobState(job.state)
        move(session, job, JobState.RECEIVING, "retry: the series is judged again", at=now)
        _begin_anew(job, now)
        aside = session.scalars(
            select(KeptAside).where(
                KeptAside.job_id == job.id, KeptAside.reason_code != PIXELS_CHANGED
            )
        ).all()
        aside = [kept for kept in aside if not is_outdated(session, kept.name)]
        for kept in aside:
            session.delete(kept)
        state = JobState(job.state)
    for kept in aside:  # after the commit: a file that goes back first would be held again
        app.spool.take_back(kept.name)
    return state


def retry_all(
    app: Application,
    *,
    code: str | None = None,
    destination: str | None = None,
    by: Actor | None = None,
) -> dict[int, str]:
    """Restart every dead letter: failed and quarantined jobs, optionally only some of them.

    Parameters
    ----------
    code : str, optional
        Only those with this reason code.
    destination : str, optional
        Only those whose delivery to this destination failed.

    Returns
    -------
    dict
        Job number to its new state, or to why it could not be restarted.
    """
    with app.database.read() as session:
        query = select(Job.id).where(Job.state.in_(NEEDS_A_PERSON)).order_by(Job.id)
        if code is not None:
            query = query.where(Job.reason_code == code)
        if destination is not None:
            failed = select(Delivery.job_id).where(
                Delivery.destination == destination, Delivery.state == DeliveryState.FAILED
            )
            query = query.where(Job.id.in_(failed))
        ids = session.scalars(query).all()
    outcomes: dict[int, str] = {}
    for job_id in ids:
        try:
            outcomes[job_id] = retry(app, str(job_id), by=by)
        except IllegalTransition as error:  # somebody was faster
            outcomes[job_id] = str(error)
    return outcomes


def _retry_deliveries(session: Session, job: Job, settings: Settings, now: float) -> None:
    deliveries = session.scalars(select(Delivery).where(Delivery.job_id == job.id)).all()
    if not deliveries:
        _first_deliveries(session, job, settings, now)
        return
    stopped = [
        delivery
        for delivery in deliveries
        if delivery.state in {DeliveryState.FAILED, DeliveryState.CANCELLED}
    ]
    if not stopped:
        raise IllegalTransition(job.id, job.state, "delivering again: nothing of it failed")
    move(session, job, JobState.DELIVERING, "retry: deliveries queued again", at=now)
    for delivery in stopped:
        destination = settings.destination(delivery.destination)
        queue_again(session, delivery, destination, job.study_uid, now)
    roll_up(session, job, now)  # back to analysed when no mode lets any of them leave


def _first_deliveries(session: Session, job: Job, settings: Settings, now: float) -> None:
    """Let a result go out that stayed here because no destination was configured."""
    if not settings.destinations:
        raise IllegalTransition(job.id, job.state, "delivered: no destination is configured")
    begin_deliveries(session, settings, job, now, message="retry: deliveries queued")


def _begin_anew(job: Job, now: float) -> None:
    """Let every waiting time and count start from zero."""
    job.attempts = 0
    job.next_attempt_at = 0.0
    job.hinted_at = 0.0
    job.last_instance_at = now
    job.pacs_asked_at = 0.0
    job.pacs_answers_alike = 0
    job.pacs_agrees = None


def set_priority(
    app: Application, wanted: str, priority: Priority, *, by: Actor | None = None
) -> None:
    """Move a job forward or back in the queue.

    Raises
    ------
    NoSuchJob
        If there is no such job.
    """
    now = app.now()
    level = priority.name.lower()
    with (
        refusals_recorded(app, by, f"job.priority.{level}"),
        app.database.write() as session,
    ):
        job = find_job(session, wanted)
        job.priority = priority
        record(session, by, f"job.priority.{level}", at=now, job_id=job.id)
        note(session, job, f"priority {level}", at=now)


def cancel(app: Application, wanted: str, *, by: Actor | None = None) -> JobState:
    """Stop a job; an analysis under way is discarded, deliveries not yet made are dropped.

    Raises
    ------
    NoSuchJob
        If there is no such job.
    IllegalTransition
        If it has ended already.
    """
    now = app.now()
    with refusals_recorded(app, by, "job.cancel"), app.database.write() as session:
        job = find_job(session, wanted)
        record(session, by, "job.cancel", at=now, job_id=job.id)
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
        drop_deliveries(session, job, "job cancelled")
        return JobState(job.state)


def force(app: Application, wanted: str, *, by: Actor | None = None) -> JobState:
    """Analyse a series as it is, without waiting for more slices or a better series.

    Rules that say that it is no chest CT, and files that cannot be read, still hold.

    Raises
    ------
    NoSuchJob
        If there is no such job.
    IllegalTransition
        If it has a result, or is being analysed.
    """
    now = app.now()
    with refusals_recorded(app, by, "job.force"), app.database.write() as session:
        job = find_job(session, wanted)
        record(session, by, "job.force", at=now, job_id=job.id)
        if has_result(session, job):  # retry sends it again; late slices make a revision
            raise IllegalTransition(job.id, job.state, "analysed once more: it has a result")
        if is_notice(session, job):
            raise IllegalTransition(job.id, job.state, "forced: it tells of a study, retry it")
        job.forced = True
        if JobState(job.state) is JobState.RECEIVING:
            note(session, job, "forced by an administrator: no more waiting", at=now)
        else:
            move(session, job, JobState.RECEIVING, "forced by an administrator", at=now)
        _begin_anew(job, now)
        return JobState(job.state)


def set_pause(app: Application, queue: str, *, paused: bool, by: Actor | None = None) -> None:
    """Hold a queue back, or let it go on; what runs is not interrupted.

    Raises
    ------
    KeyError
        If `queue` is not one of `PAUSES`.
    """
    name = PAUSES[queue]
    now = app.now()
    with app.database.write() as session:
        session.merge(Switch(name=name, value="on" if paused else "off", changed_at=now))
        record(session, by, "queue.pause" if paused else "queue.resume", at=now, subject=queue)
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
