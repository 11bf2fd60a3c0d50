"""Who works on what at this moment: leases of jobs and deliveries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workers.state.fact_tables import ResultFacts
from workers.state.schema import Delivery, DeliveryState, Job, JobState

DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """One piece of work in somebody's hands.

    Attributes
    ----------
    owner : str
        Host and process.
    what : str
        "analyse", or the destination that is delivered to.
    since : float or None
        When it began; `None` for deliveries, which do not say.
    lease_s : float
        Until it counts as lost unless the worker is heard of again; below 0 it is.
    """

    owner: str
    job_id: int
    what: str
    since: float | None
    lease_s: float


def list_work(session: Session, *, now: float) -> list[AtWork]:
    """Everything under way, by owner."""
    jobs = session.execute(
        select(Job.lease_owner, Job.id, Job.state_since, Job.lease_expires_at).where(
            Job.state == JobState.ANALYSING, Job.lease_owner.is_not(None)
        )
    )
    deliveries = session.execute(
        select(
            Delivery.lease_owner, Delivery.job_id, Delivery.destination, Delivery.lease_expires_at
        ).where(Delivery.state == DeliveryState.SENDING, Delivery.lease_owner.is_not(None))
    )
    found = [
        AtWork(
            owner=owner or "", job_id=number, what="analyse", since=since, lease_s=_left(until, now)
        )
        for owner, number, since, until in jobs
    ] + [
        AtWork(owner=owner or "", job_id=number, what=name, since=None, lease_s=_left(until, now))
        for owner, number, name, until in deliveries
    ]
    return sorted(found, key=lambda item: (item.owner, item.job_id))


def speed_by_device(session: Session, *, now: float) -> list[dict[str, Any]]:
    """Analyses of the last day by device and engine: how many, and their mean seconds."""
    rows = session.execute(
        select(
            ResultFacts.device,
            ResultFacts.engine,
            ResultFacts.version,
            func.count(),
            func.avg(ResultFacts.analysis_s),
            func.max(ResultFacts.analysis_s),
        )
        .where(ResultFacts.committed_at >= now - DAY_S)
        .group_by(ResultFacts.device, ResultFacts.engine, ResultFacts.version)
        .order_by(func.count().desc())
    )
    return [
        {
            "device": device or "unknown",
            "engine": engine,
            "version": version,
            "results": int(count),
            "mean_s": mean,
            "longest_s": longest,
        }
        for device, engine, version, count, mean, longest in rows
    ]


def _left(until: float | None, now: float) -> float:
    return 0.0 if until is None else until - now
