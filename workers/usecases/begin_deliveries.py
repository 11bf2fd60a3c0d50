"""Which destinations a result goes to, and which of them have to wait or get nothing.

A destination's mode decides (``normal``, ``withheld``, ``shadow``), at the time when the result
is there and once more before anything leaves. What is withheld is let go when the study's report
is signed; that is known per study, so a result that comes after the signature is not withheld.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from workers.application import Application
from workers.peer_settings import AnyDestination
from workers.settings import Settings
from workers.state.jobs import find_job, move, note
from workers.state.schema import (
    Delivery,
    DeliveryState,
    Job,
    JobState,
    ResultObject,
    SignedReport,
)
from workers.usecases.audit import Actor, record, refusals_recorded

WITHHELD = "withheld"
SHADOW = "shadow"
UNTIL_SIGNED = "kept until the radiologist's report is signed ('pulmonode jobs release')"
NEVER_SENT = "shadow: nothing leaves, the result is only counted"
COMMAND_LINE = "command line"
"""Who said that a report was signed."""


def state_by_mode(session: Session, destination: AnyDestination, study_uid: str) -> DeliveryState:
    """Whether a result of a study may leave for a destination now."""
    if destination.mode == "shadow":
        return DeliveryState.SHADOW
    if destination.mode == "withheld" and session.get(SignedReport, study_uid) is None:
        return DeliveryState.WITHHELD
    return DeliveryState.QUEUED


def begin_deliveries(
    session: Session, settings: Settings, job: Job, now: float, *, message: str
) -> None:
    """Give an analysed job a delivery per destination, each in the state that its mode asks for.

    The job is delivering when at least one may leave, else it stays where it is and its reason
    says what it waits for. Without any destination nothing happens.
    """
    session.flush()
    composed = {
        name
        for names in session.scalars(
            select(ResultObject.profiles).where(ResultObject.job_id == job.id)
        )
        for name in names
    }
    begun = []
    for item in settings.destinations:
        profile = item.profile if item.profile in composed else _other_dress(composed)
        if profile != item.profile:
            why = f"composed before profile {item.profile} was chosen, it gets {profile}"
            note(session, job, f"{item.name}: {why}", at=now)
        delivery = Delivery(job_id=job.id, destination=item.name, profile=profile, created_at=now)
        _put(delivery, state_by_mode(session, item, job.study_uid))
        begun.append(delivery)
    session.add_all(begun)
    move_by_deliveries(session, job, begun, now, message=message)


def _other_dress(composed: set[str]) -> str:
    """What a destination gets whose own profile the result was not composed in."""
    return "default" if "default" in composed or not composed else min(composed)


def _put(delivery: Delivery, state: DeliveryState) -> None:
    delivery.state = state
    delivery.reason = {
        DeliveryState.WITHHELD: UNTIL_SIGNED,
        DeliveryState.SHADOW: NEVER_SENT,
    }.get(state)


def move_by_deliveries(
    session: Session, job: Job, deliveries: list[Delivery], now: float, *, message: str
) -> None:
    """Bring a job that has nothing to send yet to where its deliveries stand."""
    by_state: dict[str, list[str]] = {}
    for delivery in deliveries:
        by_state.setdefault(str(delivery.state), []).append(delivery.destination)
    for state, text in ((WITHHELD, UNTIL_SIGNED), (SHADOW, NEVER_SENT)):
        if state in by_state:
            note(session, job, f"{', '.join(by_state[state])}: {text}", at=now)
    if DeliveryState.QUEUED in by_state:
        move(session, job, JobState.DELIVERING, message, at=now)
    elif WITHHELD in by_state:
        _stay(session, job, WITHHELD, UNTIL_SIGNED, now)
    elif SHADOW in by_state:
        _stay(session, job, SHADOW, NEVER_SENT, now)


def _stay(session: Session, job: Job, code: str, why: str, now: float) -> None:
    move(session, job, JobState.ANALYSED, why, at=now, reason_code=code)


def queue_again(
    session: Session,
    delivery: Delivery,
    destination: AnyDestination | None,
    study_uid: str,
    now: float,
) -> None:
    """Let a delivery that stopped begin anew, if its destination's mode lets it.

    One whose destination is not configured any more is tried as well, and says so.
    """
    state = (
        DeliveryState.QUEUED
        if destination is None
        else state_by_mode(session, destination, study_uid)
    )
    _put(delivery, state)
    delivery.attempts = 0
    delivery.next_attempt_at = now
    delivery.hinted_at = 0.0


def hold_by_mode(
    session: Session, delivery: Delivery, destination: AnyDestination | None, study_uid: str
) -> bool:
    """Stop a queued delivery whose destination's mode changed meanwhile; tells whether it did."""
    if destination is None:
        return False
    state = state_by_mode(session, destination, study_uid)
    if state is DeliveryState.QUEUED:
        return False
    _put(delivery, state)
    return True


def release_study(session: Session, study_uid: str, told_by: str, now: float) -> list[Delivery]:
    """Write down that a study's report is signed, and queue what was withheld until then.

    Returns
    -------
    list of Delivery
        Those that may leave now; empty when nothing was withheld yet.
    """
    if session.get(SignedReport, study_uid) is None:
        session.add(SignedReport(study_uid=study_uid, at=now, told_by=told_by))
    waiting = list(
        session.scalars(
            select(Delivery)
            .join(Job, Job.id == Delivery.job_id)
            .where(Job.study_uid == study_uid, Delivery.state == DeliveryState.WITHHELD)
            .order_by(Delivery.id)
        )
    )
    _queue(session, waiting, f"report signed ({told_by}): deliveries queued", now)
    return waiting


def _queue(session: Session, waiting: list[Delivery], message: str, now: float) -> None:
    for delivery in waiting:
        _put(delivery, DeliveryState.QUEUED)
        delivery.next_attempt_at = now
        delivery.hinted_at = 0.0
    for job_id in sorted({delivery.job_id for delivery in waiting}):
        move(session, session.get_one(Job, job_id), JobState.DELIVERING, message, at=now)


def release(app: Application, wanted: str, *, by: Actor | None = None) -> tuple[str, int]:
    """The radiologist's report of a job's study is signed: let its results go.

    Results of the study that come later go at once as well.

    Returns
    -------
    tuple of str and int
        Study Instance UID, and how many deliveries were withheld until now.

    Raises
    ------
    NoSuchJob
        If there is no such job.
    """
    now = app.now()
    with refusals_recorded(app, by, "job.release"), app.database.write() as session:
        job = find_job(session, wanted)
        record(session, by, "job.release", at=now, job_id=job.id)
        told_by = COMMAND_LINE if by is None else str(by.how)
        return job.study_uid, len(release_study(session, job.study_uid, told_by, now))


def release_by_mode(app: Application, *, now: float) -> int:
    """Queue what is withheld for destinations that withhold nothing any more; returns how many.

    What a destination in shadow did not get stays where it is: nobody wants old trials later.
    """
    withheld = select(Delivery).where(Delivery.state == DeliveryState.WITHHELD)
    with app.database.read() as session:
        if session.scalars(withheld.limit(1)).first() is None:
            return 0
    normal = [item.name for item in app.settings.destinations if item.mode == "normal"]
    with app.database.write() as session:
        waiting = list(session.scalars(withheld.where(Delivery.destination.in_(normal))))
        _queue(session, waiting, "not withheld any more: deliveries queued", now)
        return len(waiting)
