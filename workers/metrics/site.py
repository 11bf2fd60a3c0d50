"""The site's figures, read from the state database by the node and offered by it alone.

Queries count over indexes, so that a scrape stays cheap with very many jobs; scrapes that follow
each other closely share one reading. While the database is away its figures are absent and
`pulmonode_database_up` is 0.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workers.application import Application
from workers.metrics.exposed import Values, family
from workers.metrics.transitions import Transitions
from workers.state.alarms import CODES
from workers.state.database import DATABASE_AWAY
from workers.state.schema import (
    PAUSES,
    Alarm,
    Delivery,
    DeliveryState,
    Job,
    JobState,
    Switch,
)
from workers.usecases.heartbeat import SERVED, workers_alive

READ_AGAIN_S = 2.0
UNDER_WAY = (DeliveryState.QUEUED, DeliveryState.SENDING)


class SiteCollector(Collector):
    """Reads the database when Prometheus asks."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._transitions = Transitions()
        self._read_at = float("-inf")
        self._families: list[Metric] = []

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: registering must not need the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The figures, at most `READ_AGAIN_S` old."""
        with self._lock:
            if time.monotonic() - self._read_at >= READ_AGAIN_S:
                self._families = self._read()
                self._read_at = time.monotonic()
            return iter(self._families)

    def _read(self) -> list[Metric]:
        started = time.perf_counter()
        try:
            now = self._app.now()
            with self._app.database.read() as session:
                self._transitions.read(session)
                found = [*self._jobs(session, now), *self._deliveries(session, now)]
                found += [*_alarms(session), *self._workers(session, now)]
        except DATABASE_AWAY:
            return [family("pulmonode_database_up", 0)]
        seconds = time.perf_counter() - started
        return [
            *found,
            *self._transitions.collect(),
            family("pulmonode_database_up", 1),
            family("pulmonode_site_read_seconds", seconds),
        ]

    def _jobs(self, session: Session, now: float) -> Iterator[Metric]:
        counts = {(str(state),): 0.0 for state in JobState}
        rows = session.execute(select(Job.state, func.count()).group_by(Job.state))
        counts.update({(state,): float(count) for state, count in rows})
        yield family("pulmonode_jobs", counts)
        analyse = session.execute(
            select(func.count(), func.min(Job.state_since)).where(
                Job.state == JobState.QUEUED, Job.next_attempt_at <= now
            )
        ).one()
        deliver = session.execute(
            select(func.count(), func.min(Delivery.created_at)).where(
                Delivery.state == DeliveryState.QUEUED, Delivery.next_attempt_at <= now
            )
        ).one()
        waiting = {"analyse": analyse, "deliver": deliver}
        yield family(
            "pulmonode_queue_jobs", {(name,): float(count) for name, (count, _) in waiting.items()}
        )
        yield family(
            "pulmonode_queue_oldest_seconds",
            {(name,): _age(since, now) for name, (_, since) in waiting.items()},
        )
        yield family(
            "pulmonode_queue_paused",
            {(name,): _is_on(session, switch) for name, switch in PAUSES.items()},
        )

    def _deliveries(self, session: Session, now: float) -> Iterator[Metric]:
        counts = {
            (item.name, str(state)): 0.0
            for item in self._app.settings.destinations
            for state in DeliveryState
        }
        names = {name for name, _ in counts}
        rows = session.execute(
            select(Delivery.destination, Delivery.state, func.count()).group_by(
                Delivery.destination, Delivery.state
            )
        )
        counts.update({(name, state): float(n) for name, state, n in rows if name in names})
        yield family("pulmonode_deliveries", counts)
        waiting = session.execute(
            select(
                Delivery.destination,
                func.min(Delivery.created_at),
                func.count().filter(Delivery.attempts > 0),
            )
            .where(Delivery.state.in_(UNDER_WAY))
            .group_by(Delivery.destination)
        ).all()
        oldest = {(name,): 0.0 for name in names}
        retrying = dict(oldest)
        for name, since, count in waiting:
            if name in names:
                oldest[name,] = _age(since, now)
                retrying[name,] = float(count)
        yield family("pulmonode_destination_waiting_seconds", oldest)
        yield family("pulmonode_deliveries_retrying", retrying)
        yield family(
            "pulmonode_destination_last_success_timestamp_seconds", _last_successes(session, names)
        )

    def _workers(self, session: Session, now: float) -> Iterator[Metric]:
        alive = workers_alive(session, now=now, heartbeat_s=self._app.settings.heartbeat_s)
        yield family(
            "pulmonode_workers",
            {(queue,): float(sum(queue in row.queues for row in alive)) for queue in SERVED},
        )
        memory: dict[tuple[str, ...], float] = {}
        for row in alive:
            if row.gpu_memory_bytes is not None and row.gpu_used_bytes is not None:
                memory[row.host, row.device, "total"] = float(row.gpu_memory_bytes)
                memory[row.host, row.device, "used"] = float(row.gpu_used_bytes)
        yield family("pulmonode_gpu_memory_bytes", memory)


def _last_successes(session: Session, names: set[str]) -> Values:
    found = {}
    for name in names:
        latest = session.scalar(
            select(func.max(Delivery.delivered_at)).where(Delivery.destination == name)
        )
        if latest is not None:
            found[name,] = float(latest)
    return found


def _alarms(session: Session) -> Iterator[Metric]:
    counts = {(code,): 0.0 for code in CODES}
    rows = session.execute(
        select(Alarm.code, func.count()).where(Alarm.cleared_at.is_(None)).group_by(Alarm.code)
    )
    counts.update({(code,): float(count) for code, count in rows})
    yield family("pulmonode_alarms", counts)


def _age(since: float | None, now: float) -> float:
    return 0.0 if since is None else max(0.0, now - since)


def _is_on(session: Session, name: str) -> float:
    switch = session.get(Switch, name)
    return float(switch is not None and switch.value == "on")
