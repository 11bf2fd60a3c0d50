"""What follows for a delivery, and for its job, from an attempt or a commitment result."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from workers.application import Application
from workers.state.alarms import NOT_CONFIRMED, clear_alarm, raise_alarm
from workers.state.jobs import back_off_s, move
from workers.state.schema import Commitment, Delivery, DeliveryState, Job, JobState, printable
from workers.usecases.begin_deliveries import NEVER_SENT, SHADOW, UNTIL_SIGNED, WITHHELD

UNPROVED_ATTEMPTS_BEFORE_ALARM = 2


def release(delivery: Delivery) -> None:
    """Give the lease back."""
    delivery.lease_owner = None
    delivery.lease_expires_at = None


def postpone(
    app: Application, delivery: Delivery, why: str, now: float, *, transient: bool
) -> None:
    """Queue a delivery again after a back-off, or give it up when that cannot help."""
    why = printable(why)
    release(delivery)
    delivery.awaits_commitment_until = None
    delivery.transient = transient
    settings = app.settings
    if transient and delivery.attempts < settings.max_delivery_attempts:
        delay = back_off_s(
            delivery.attempts, base_s=settings.retry_base_s, cap_s=settings.retry_cap_s
        )
        delivery.state = DeliveryState.QUEUED
        delivery.next_attempt_at = now + delay
        delivery.hinted_at = 0.0
        delivery.reason = f"attempt {delivery.attempts} failed, next in {delay:.0f} s: {why}"
    else:
        delivery.state = DeliveryState.FAILED
        delivery.reason = why


def settle_commitment(
    app: Application, session: Session, delivery: Delivery, answer: Commitment, now: float
) -> None:
    """Apply a storage commitment result to its delivery."""
    if answer.failed:
        why = f"storage commitment refused for {'; '.join(answer.failed)}"
        send_again_unproved(app, session, delivery, why, now)
        return
    delivery.awaits_commitment_until = None
    delivery.reason = delivery.transient = None
    delivery.state = DeliveryState.CONFIRMED
    delivery.confirmed_at = now


def send_again_unproved(
    app: Application, session: Session, delivery: Delivery, why: str, now: float
) -> None:
    """Send again what a destination will not prove to keep; from the second time on, alarm."""
    if delivery.attempts >= UNPROVED_ATTEMPTS_BEFORE_ALARM:
        message = f"{delivery.destination}: {why}"
        raise_alarm(session, NOT_CONFIRMED, str(delivery.job_id), message[:500], at=now)
    postpone(app, delivery, why, now, transient=True)


def roll_up(session: Session, job: Job, now: float) -> None:
    """Let the job's state follow from those of its deliveries."""
    session.flush()
    if JobState(job.state) not in {JobState.DELIVERING, JobState.DELIVERED}:
        return
    deliveries = [
        item
        for item in session.scalars(select(Delivery).where(Delivery.job_id == job.id))
        if item.state != DeliveryState.SHADOW  # of which nothing is expected
    ]
    states = {DeliveryState(item.state) for item in deliveries}
    if states & {DeliveryState.QUEUED, DeliveryState.SENDING}:
        if job.state == JobState.DELIVERED:
            move(session, job, JobState.DELIVERING, "delivering again", at=now)
        return
    failed = [item for item in deliveries if item.state == DeliveryState.FAILED]
    if failed:
        message = "; ".join(f"{item.destination}: {item.reason}" for item in failed)
        move(
            session,
            job,
            JobState.FAILED,
            message,
            at=now,
            reason_code="delivery_failed",
            transient=any(item.transient for item in failed),
        )
    elif states <= {DeliveryState.WITHHELD} and job.state == JobState.DELIVERING:
        waits = bool(states)
        move(
            session,
            job,
            JobState.ANALYSED,
            UNTIL_SIGNED if waits else NEVER_SENT,
            at=now,
            reason_code=WITHHELD if waits else SHADOW,
        )
    elif DeliveryState.WITHHELD in states:
        return
    elif states == {DeliveryState.CONFIRMED}:
        move(session, job, JobState.CONFIRMED, "every destination confirmed", at=now)
    elif job.state == JobState.DELIVERING:
        move(session, job, JobState.DELIVERED, "every destination acknowledged", at=now)
    if all(item.awaits_commitment_until is None for item in deliveries):
        clear_alarm(session, NOT_CONFIRMED, str(job.id), at=now)  # no proof is owed any more
