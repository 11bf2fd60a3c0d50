"""What dead workers left behind, and who should be told that there is work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from workers.application import Application
from workers.state.jobs import move, note
from workers.state.schema import Delivery, DeliveryState, Job, JobState
from workers.usecases.settle import postpone, roll_up

log = structlog.get_logger()
Row = TypeVar("Row", Job, Delivery)

HINT_AGAIN_S = 60.0
"""A hint that nobody followed for so long is repeated: the broker may have lost it."""
REPEATED_HINTS_AT_ONCE = 4
"""Workers pass hints on while there is work, so a few are enough to wake them all."""


def expire_leases(app: Application, *, now: float) -> int:
    """Take back what silent workers hold; returns how many jobs and deliveries."""
    with app.database.write() as session:
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
    """Whom to wake: how many analyses, which deliveries, and whether to look after old ones."""

    analyses: int
    delivery_ids: tuple[int, ...]
    maintain: bool = False


def due_hints(app: Application, *, now: float) -> Hints:
    """What is due and was not hinted at lately; marks it as hinted."""
    with app.database.write() as session:
        jobs = session.scalars(
            select(Job)
            .where(
                Job.state == JobState.QUEUED,
                Job.next_attempt_at <= now,
                Job.hinted_at <= now - HINT_AGAIN_S,
            )
            .order_by(Job.hinted_at)
        ).all()
        deliveries = session.scalars(
            select(Delivery)
            .where(
                Delivery.state == DeliveryState.QUEUED,
                Delivery.next_attempt_at <= now,
                Delivery.hinted_at <= now - HINT_AGAIN_S,
            )
            .order_by(Delivery.hinted_at)
        ).all()
        chosen_jobs = _fresh_and_some_repeated(jobs)
        chosen_deliveries = _fresh_and_some_repeated(deliveries)
        for job in chosen_jobs:
            job.hinted_at = now
        for delivery in chosen_deliveries:
            delivery.hinted_at = now
        return Hints(
            analyses=len(chosen_jobs), delivery_ids=tuple(item.id for item in chosen_deliveries)
        )


def _fresh_and_some_repeated(rows: Sequence[Row]) -> list[Row]:
    fresh = [row for row in rows if row.hinted_at == 0.0]
    repeated = [row for row in rows if row.hinted_at != 0.0]
    return fresh + repeated[:REPEATED_HINTS_AT_ONCE]
