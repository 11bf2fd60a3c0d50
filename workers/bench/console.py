"""How long the console's questions to the database take when it holds very many jobs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from workers.bench.many_jobs import DESTINATION, fill
from workers.clock import now as clock_now
from workers.peer_settings import DestinationSettings
from workers.settings import Settings
from workers.state.database import Database
from workers.state.schema import Job, JobState, Priority
from workers.usecases.backlog import list_backlogs
from workers.usecases.describe import show_job
from workers.usecases.drift import drift_by_scanner
from workers.usecases.list_queue import (
    QueueFilter,
    count_queue,
    list_queue,
    queue_choices,
)
from workers.usecases.overview import look_back, look_over, recent_events

FAILED = QueueFilter(states=(JobState.FAILED, JobState.QUARANTINED))
OPEN = QueueFilter(states=(JobState.RECEIVING, JobState.QUEUED, JobState.ANALYSING))
QUESTIONS: dict[str, Callable[[Session, float], object]] = {
    "newest page": lambda session, _: list_queue(session, QueueFilter()),
    "oldest page": lambda session, _: list_queue(session, QueueFilter(oldest_first=True)),
    "a page from the middle": lambda session, _: list_queue(
        session, QueueFilter(), after=_middle(session)
    ),
    "failed and quarantined": lambda session, _: list_queue(session, FAILED),
    "under way": lambda session, _: list_queue(session, OPEN),
    "one reason": lambda session, _: list_queue(session, QueueFilter(code="thickness")),
    "one reason that no job has": lambda session, _: list_queue(session, QueueFilter(code="none")),
    "one sender, one state": lambda session, _: list_queue(
        session, QueueFilter(states=(JobState.NOT_ELIGIBLE,), calling_ae="CT_ONCO")
    ),
    "urgent and failed": lambda session, _: list_queue(
        session, replace(FAILED, priority=Priority.URGENT)
    ),
    "one day": lambda session, now: list_queue(
        session, QueueFilter(since=now - 20 * 86400, until=now - 19 * 86400)
    ),
    "not taken by a destination": lambda session, _: list_queue(
        session, QueueFilter(destination=DESTINATION)
    ),
    "a piece of a UID that no job has": lambda session, _: list_queue(
        session, QueueFilter(text="123454321.9")
    ),
    "counts": lambda session, _: count_queue(session, QueueFilter()),
    "counts of one sender": lambda session, _: count_queue(
        session, QueueFilter(calling_ae="CT_ER")
    ),
    "choices of the filters": lambda session, _: queue_choices(session),
    "overview": lambda session, now: look_over(session, now=now),
    "trends": lambda session, now: look_back(session, now=now),
    "recent events": lambda session, _: recent_events(session),
    "drift of scanners": lambda session, now: drift_by_scanner(session, now=now),
    "destinations": lambda session, now: list_backlogs(session, _settings(), now=now),
    "one job": lambda session, _: show_job(session, str(_middle(session))),
}


def bench_console(database: Database, *, jobs: int, runs: int, seed: int = 0) -> dict[str, Any]:
    """Fill a new database and ask everything `runs` times.

    Returns
    -------
    dict
        ``database``, ``jobs``, ``fill_s``, and per question the median ``ms`` and the worst.
    """
    database.migrate()
    now = clock_now()
    started = time.perf_counter()
    fill(database, jobs, now=now, seed=seed)
    fill_s = time.perf_counter() - started
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    questions = {name: _measure(database, ask, now, runs) for name, ask in QUESTIONS.items()}
    with database.read() as session:
        found = session.scalar(select(func.count()).select_from(Job)) or 0
    return {
        "database": database.engine.dialect.name,
        "jobs": int(found),
        "fill_s": round(fill_s, 1),
        "questions": questions,
    }


def _measure(
    database: Database, ask: Callable[[Session, float], object], now: float, runs: int
) -> dict[str, float]:
    taken_ms = []
    for _ in range(runs):
        with database.read() as session:
            started = time.perf_counter()
            ask(session, now)
            taken_ms.append(1000 * (time.perf_counter() - started))
    return {"ms": round(statistics.median(taken_ms), 2), "worst_ms": round(max(taken_ms), 2)}


def _middle(session: Session) -> int:
    newest = session.scalar(select(func.max(Job.id))) or 1
    return newest // 2


def _settings() -> Settings:
    pacs = DestinationSettings(name=DESTINATION, ae_title="PACS", host="pacs", port=104)
    return Settings(destinations=(pacs,))
