"""The whole system at a glance: what waits now, what happened today, how it goes over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, Integer, cast, func, select
from sqlalchemy.orm import Session

from workers.state.jobs import NEEDS_A_PERSON
from workers.state.schema import Event, Job, JobState, Result

BUCKET_S = 900
"""A quarter of an hour: the offset of every time zone from UTC is a whole number of them."""
HOURS = 24
DAYS = 30
NEWEST_FOR_MEDIAN = 2000
OPEN_STATES = (
    JobState.RECEIVING,
    JobState.COMPLETE,
    JobState.QUEUED,
    JobState.ANALYSING,
    JobState.ANALYSED,
    JobState.DELIVERING,
)
"""On their way, in the order of that way."""
ARRIVED = (JobState.DELIVERED, JobState.CONFIRMED)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateNow:
    """How many jobs stand in a state, and since when the oldest."""

    state: JobState
    jobs: int
    oldest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """What happened since midnight, local time.

    Attributes
    ----------
    received : int
        Series of which a first instance came.
    analysed, nodules : int
        Results, and nodules in them.
    arrived : int
        Results that every destination took.
    stopped : int
        Jobs that failed or were quarantined, and still are.
    minutes_to_arrive : float or None
        From a series' last instance until its result had arrived, the median of the newest
        `NEWEST_FOR_MEDIAN`.
    """

    received: int
    analysed: int
    nodules: int
    arrived: int
    stopped: int
    minutes_to_arrive: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """Counts over time: `starts` are the local beginnings of equal parts, oldest first."""

    starts: tuple[datetime, ...]
    received: tuple[int, ...]
    arrived: tuple[int, ...]
    stopped: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What stands where now, and what happened today."""

    open: tuple[StateNow, ...]
    needs_a_person: tuple[StateNow, ...]
    ended: Mapping[str, int]
    today: Today


@dataclass(frozen=True, slots=True, kw_only=True)
class Trends:
    """The last `HOURS` hours and the last `DAYS` days."""

    hours: Trend
    days: Trend


def look_over(session: Session, *, now: float, zone: tzinfo | None = None) -> Overview:
    """What stands where, and what happened since midnight.

    Parameters
    ----------
    now : float
        Seconds since the epoch.
    zone : tzinfo, optional
        In which days begin; this machine's if absent.
    """
    rows = session.execute(
        select(Job.state, func.count(), func.min(Job.state_since)).group_by(Job.state)
    )
    states = {
        JobState(state): StateNow(
            state=JobState(state), jobs=int(count), oldest_s=max(0.0, now - oldest)
        )
        for state, count, oldest in rows
    }
    return Overview(
        open=tuple(states[state] for state in OPEN_STATES if state in states),
        needs_a_person=tuple(states[state] for state in sorted(NEEDS_A_PERSON) if state in states),
        ended={
            str(state): item.jobs
            for state, item in states.items()
            if state not in OPEN_STATES and state not in NEEDS_A_PERSON
        },
        today=_today(session, _midnight(_local(now, zone), 0, zone).timestamp()),
    )


def look_back(session: Session, *, now: float, zone: tzinfo | None = None) -> Trends:
    """How many came, arrived and stopped in each of the last hours and days; as `look_over`."""
    here = _local(now, zone)
    this_hour = here.replace(minute=0, second=0, microsecond=0)
    # By the calendar: a day on which clocks change has 23 or 25 hours.
    days = [_midnight(here, step, zone) for step in range(1 - DAYS, 1)]
    hours = [this_hour + timedelta(hours=step) for step in range(1 - HOURS, 1)]
    counted = _Counted(session, min(days[0], hours[0]).timestamp())
    return Trends(hours=counted.trend(hours), days=counted.trend(days))


def recent_events(session: Session, *, limit: int = 20) -> list[dict[str, Any]]:
    """The newest lines of all jobs' histories, newest first."""
    rows = session.scalars(select(Event).order_by(Event.id.desc()).limit(limit))
    return [
        {"job": row.job_id, "at": row.at, "state": row.state, "message": row.message}
        for row in rows
    ]


def _local(now: float, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(now, tz=UTC).astimezone(zone)


def _midnight(here: datetime, days: int, zone: tzinfo | None) -> datetime:
    """When the day began that is so many days after today."""
    day = datetime.combine(here.date() + timedelta(days=days), time())
    return day.astimezone() if zone is None else day.replace(tzinfo=zone)


def _today(session: Session, midnight: float) -> Today:
    received = select(func.count()).select_from(Job).where(Job.created_at >= midnight)
    results, nodules = session.execute(
        select(func.count(), func.sum(Result.nodule_count)).where(Result.committed_at >= midnight)
    ).one()
    rows = session.execute(
        select(Job.state, func.count()).where(Job.state_since >= midnight).group_by(Job.state)
    )
    ended: Counter[str] = Counter({str(row[0]): int(row[1]) for row in rows})
    times = session.scalars(
        select(Job.state_since - Job.last_instance_at)
        .where(Job.state.in_(ARRIVED), Job.state_since >= midnight)
        .order_by(Job.state_since.desc())
        .limit(NEWEST_FOR_MEDIAN)
    ).all()
    return Today(
        received=session.scalar(received) or 0,
        analysed=int(results),
        nodules=int(nodules or 0),
        arrived=sum(ended[state] for state in ARRIVED),
        stopped=sum(ended[state] for state in NEEDS_A_PERSON),
        minutes_to_arrive=median(times) / 60 if times else None,
    )


class _Counted:
    """What came and what ended in each quarter of an hour since some time."""

    def __init__(self, session: Session, since: float) -> None:
        self.received = _per_bucket(session, Job.created_at, since)
        self.arrived = _per_bucket(session, Job.state_since, since, Job.state.in_(ARRIVED))
        self.stopped = _per_bucket(session, Job.state_since, since, Job.state.in_(NEEDS_A_PERSON))

    def trend(self, starts: Sequence[datetime]) -> Trend:
        """Sums between the given times; the last part reaches to now."""
        return Trend(
            starts=tuple(starts),
            received=_sums(self.received, starts),
            arrived=_sums(self.arrived, starts),
            stopped=_sums(self.stopped, starts),
        )


def _per_bucket(
    session: Session, column: Any, since: float, *conditions: ColumnElement[bool]
) -> dict[int, int]:
    bucket = cast(func.floor(column / BUCKET_S), Integer)
    rows = session.execute(
        select(bucket, func.count()).where(column >= since, *conditions).group_by(bucket)
    )
    return {int(number): int(count) for number, count in rows}


def _sums(buckets: Mapping[int, int], starts: Sequence[datetime]) -> tuple[int, ...]:
    edges = [int(start.timestamp() // BUCKET_S) for start in starts]
    sums = [0] * len(edges)
    for bucket, count in buckets.items():
        index = sum(edge <= bucket for edge in edges) - 1
        if index >= 0:
            sums[index] += count
    return tuple(sums)
