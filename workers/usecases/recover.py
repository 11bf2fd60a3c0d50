"""What dead workers left behind, and who should be told that there is work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from workers.application import Application
from workers.settings import Settings
from workers.state.jobs import move, note
from workers.state.schema import ENDS, Delivery, DeliveryState, Job, JobState
from workers.usecases.settle import postpone, roll_up
from workers.usecases.share_destinations import due_deliveries

log = structlog.get_logger()

HINTS_AT_ONCE = 200
CLOCK_TOLERANCE_S = 5.0
"""How far hosts' clocks may differ before a time counts as lying in the future."""
OPEN_DELIVERIES = (DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.DELIVERED)
REPEATED_HINTS_AT_ONCE = 4
"""Workers pass hints on while there is work, so a few are enough to wake them all."""


def expire_leases(app: Application, *, now: float) -> int:
    """Take back what silent workers hold; returns how many jobs and deliveries."""
    with app.database.write() as session:
        _heal_clock(session, app.settings, now)
        jobs = session.scalars(
            select(Job).where(Job.state == JobState.ANALYSING, Job.lease_expires_at <= now)
        ).all()
        for job in jobs:
            _take_back(session, job, app.settings.max_attempts, now)
        deliveries = session.scalars(
            select(Delivery).where(
                Delivery.state == DeliveryState.SENDING, Delivery.lease_expires_at <= now
            )
        ).all()
        for delivery in deliveries:
            why = f"worker {delivery.lease_owner} went silent while sending"
            postpone(app, delivery, why, now, transient=True)
            job = session.get_one(Job, delivery.job_id)
            note(session, job, f"{delivery.destination}: {delivery.reason}", at=now)
            roll_up(session, job, now)
        return len(jobs) + len(deliveries)


def _take_back(session: Session, job: Job, max_attempts: int, now: float) -> None:
    message = f"worker {job.lease_owner} went silent during attempt {job.attempts}"
    log.warning("lease_expired", job_id=job.id, attempts=job.attempts)
    if job.attempts >= max_attempts:
        move(
            session,
            job,
            JobState.FAILED,
            f"{message}, the last one allowed",
            at=now,
            reason_code="worker_lost",
            transient=True,
        )
        return
    move(session, job, JobState.QUEUED, message, at=now, reason_code="worker_lost", transient=True)
    job.next_attempt_at = now
    job.hinted_at = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """Whom to wake: analyses, deliveries, and whether to look after old ones."""

    job_ids: tuple[int, ...] = ()
    delivery_ids: tuple[int, ...] = ()
    maintain: bool = False

    def __bool__(self) -> bool:
        return bool(self.job_ids or self.delivery_ids or self.maintain)


def due_hints(app: Application, *, now: float, maintain: bool = False) -> Hints:
    """What is due and was not hinted at lately; marks it as hinted."""
    again = now - app.settings.hint_again_s
    with app.database.write() as session:
        jobs = session.scalars(
            select(Job)
            .where(Job.state == JobState.QUEUED, Job.next_attempt_at <= now, Job.hinted_at <= again)
            .order_by(Job.hinted_at)
            .limit(HINTS_AT_ONCE)
        ).all()
        deliveries = due_deliveries(session, app.settings, now=now, hinted_until=again)
        chosen_jobs = _fresh_and_some_repeated(jobs)
        for job in chosen_jobs:
            job.hinted_at = now
        for delivery in deliveries:
            delivery.hinted_at = now
        return Hints(
            job_ids=tuple(item.id for item in chosen_jobs),
            delivery_ids=tuple(item.id for item in deliveries),
            maintain=maintain,
        )


def forget_hints(app: Application, hints: Hints) -> None:
    """Let hints that reached nobody be given again at the next look."""
    with app.database.write() as session:
        for table, ids in ((Job, hints.job_ids), (Delivery, hints.delivery_ids)):
            session.execute(update(table).where(table.id.in_(ids)).values(hinted_at=0.0))


def _fresh_and_some_repeated(rows: Sequence[Job]) -> list[Job]:
    fresh = [row for row in rows if row.hinted_at == 0.0]
    repeated = [row for row in rows if row.hinted_at != 0.0]
    return fresh + repeated[:REPEATED_HINTS_AT_ONCE]


def _heal_clock(session: Session, settings: Settings, now: float) -> None:
    """Bring back what lies in the future, after a clock that ran ahead was put right.

    A series would otherwise stay unquiet, a lease valid, a retry far away and a job behind all
    others, until the time that the clock once showed comes round.
    """
    open_states = [state for state in JobState if state not in ENDS]
    retry_limit = now + settings.retry_cap_s + CLOCK_TOLERANCE_S
    lease_limit = now + settings.lease_s + CLOCK_TOLERANCE_S
    job_moments = (Job.created_at, Job.last_instance_at, Job.state_since, Job.pacs_asked_at)
    for table, states, moments in (
        (Job, open_states, job_moments),
        (Delivery, OPEN_DELIVERIES, (Delivery.created_at,)),
    ):
        of_table = table.state.in_(states)
        for column, limit, value in (
            (table.next_attempt_at, retry_limit, now),
            (table.hinted_at, now + CLOCK_TOLERANCE_S, 0.0),
            (table.lease_expires_at, lease_limit, now + settings.lease_s),
            *((moment, now + CLOCK_TOLERANCE_S, now) for moment in moments),
        ):
            session.execute(update(table).where(of_table, column > limit).values({column: value}))
    waits = Delivery.awaits_commitment_until
    session.execute(
        update(Delivery)
        .where(waits > now + settings.commitment_wait_s + CLOCK_TOLERANCE_S)
        .values({waits: now + settings.commitment_wait_s})
    )
