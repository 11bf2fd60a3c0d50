"""What dead workers left behind, and who should be told that there is work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from workers.application import Application
from workers.settings import Settings
from workers.state.jobs import move, note
from workers.state.schema import Delivery, DeliveryState, Job, JobState
from workers.usecases.settle import postpone, roll_up
from workers.usecases.share_destinations import due_deliveries

log = structlog.get_logger()

HINTS_AT_ONCE = 200
CLOCK_TOLERANCE_S = 5.0
"""How far hosts' clocks may differ before a time counts as lying in the future."""
UNDER_WAY: dict[type[Job] | type[Delivery], tuple[str, ...]] = {
    Job: (
        JobState.RECEIVING,
        JobState.COMPLETE,
        JobState.QUEUED,
        JobState.ANALYSING,
        JobState.DELIVERING,
    ),
    Delivery: (DeliveryState.QUEUED, DeliveryState.SENDING),
}
"""States in which somebody waits for a time to come. What is delivered without proof, or stays in
shadow, is not among them: there may be very many."""
REPEATED_HINTS_AT_ONCE = 4
"""Workers pass hints on while there is work, so a few are enough to wake them all."""


def expire_leases(app: Application, *, now: float) -> int:
    """Take back what silent workers hold; returns how many jobs and deliveries.

    Nothing is locked when there is nothing to do: the node asks at every tick.
    """
    jobs_held = select(Job).where(Job.state == JobState.ANALYSING, Job.lease_expires_at <= now)
    deliveries_held = select(Delivery).where(
        Delivery.state == DeliveryState.SENDING, Delivery.lease_expires_at <= now
    )
    with app.database.read() as session:
        nothing = not any(
            session.scalars(query.limit(1)).first() for query in (jobs_held, deliveries_held)
        )
        if nothing and not _is_ahead(session, app.settings, now):
            return 0
    with app.database.write() as session:
        _heal_clock(session, app.settings, now)
        jobs = session.scalars(jobs_held).all()
        for job in jobs:
            _take_back(session, job, app.settings.max_attempts, now)
        deliveries = session.scalars(deliveries_held).all()
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
    """What is due and was not hinted at lately; marks it as hinted.

    Looked for without the lock: a hint for what somebody took meanwhile does no harm.
    """
    again = now - app.settings.hint_again_s
    with app.database.read() as session:
        jobs = session.execute(
            select(Job.id, Job.hinted_at)
            .where(Job.state == JobState.QUEUED, Job.next_attempt_at <= now, Job.hinted_at <= again)
            .order_by(Job.hinted_at)
            .limit(HINTS_AT_ONCE)
        ).all()
        deliveries = due_deliveries(session, app.settings, now=now, hinted_until=again)
    fresh = [number for number, hinted_at in jobs if hinted_at == 0.0]
    repeated = [number for number, hinted_at in jobs if hinted_at != 0.0]
    hints = Hints(
        job_ids=(*fresh, *repeated[:REPEATED_HINTS_AT_ONCE]),
        delivery_ids=tuple(deliveries),
        maintain=maintain,
    )
    _mark_hinted(app, hints, now)
    return hints


def _mark_hinted(app: Application, hints: Hints, at: float) -> None:
    if not (hints.job_ids or hints.delivery_ids):
        return
    with app.database.write() as session:
        for table, ids in ((Job, hints.job_ids), (Delivery, hints.delivery_ids)):
            session.execute(update(table).where(table.id.in_(ids)).values(hinted_at=at))


def forget_hints(app: Application, hints: Hints) -> None:
    """Let hints that reached nobody be given again at the next look."""
    _mark_hinted(app, hints, 0.0)


def _is_ahead(session: Session, settings: Settings, now: float) -> bool:
    """Whether something lies in the future that no honest clock put there."""
    waits = select(Delivery.id).where(_awaited_too_long(settings, now))
    if session.scalars(waits.limit(1)).first() is not None:
        return True
    for table in (Job, Delivery):
        ahead = or_(*(column > limit for column, limit, _ in _moments(table, settings, now)))
        found = select(table.id).where(table.state.in_(UNDER_WAY[table]), ahead)
        if session.scalars(found.limit(1)).first() is not None:
            return True
    return False


def _heal_clock(session: Session, settings: Settings, now: float) -> None:
    """Bring back what lies in the future, after a clock that ran ahead was put right.

    A series would otherwise stay unquiet, a lease valid, a retry far away and a job behind all
    others, until the time that the clock once showed comes round.
    """
    for table in (Job, Delivery):
        of_table = table.state.in_(UNDER_WAY[table])
        for column, limit, value in _moments(table, settings, now):
            session.execute(update(table).where(of_table, column > limit).values({column: value}))
    session.execute(
        update(Delivery)
        .where(_awaited_too_long(settings, now))
        .values(awaits_commitment_until=now + settings.commitment_wait_s)
    )


def _moments(
    table: type[Job] | type[Delivery], settings: Settings, now: float
) -> Iterator[tuple[InstrumentedAttribute[Any], float, float]]:
    """Times of a row, each with the latest that can be right and what takes its place."""
    yield table.next_attempt_at, now + settings.retry_cap_s + CLOCK_TOLERANCE_S, now
    yield table.hinted_at, now + CLOCK_TOLERANCE_S, 0.0
    lease_s = settings.lease_s
    yield table.lease_expires_at, now + lease_s + CLOCK_TOLERANCE_S, now + lease_s
    yield table.created_at, now + CLOCK_TOLERANCE_S, now
    if table is Job:
        for column in (Job.last_instance_at, Job.state_since, Job.pacs_asked_at):
            yield column, now + CLOCK_TOLERANCE_S, now


def _awaited_too_long(settings: Settings, now: float) -> ColumnElement[bool]:
    latest = now + settings.commitment_wait_s + CLOCK_TOLERANCE_S
    delivered = Delivery.state == DeliveryState.DELIVERED
    return and_(delivered, Delivery.awaits_commitment_until > latest)
