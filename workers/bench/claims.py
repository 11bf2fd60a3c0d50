"""How long what node and workers ask the database again and again takes, with few and many jobs.

The use cases themselves are called, with what they write: every question is one that a node asks
at each look (about once a second) or a worker for each piece of work.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text

from dicom_node.read.eligibility import RuleSet, load_rules
from workers.application import Application, open_application
from workers.bench.many_jobs import DESTINATION, fill, fill_waiting
from workers.clock import now as clock_now
from workers.peer_settings import DestinationSettings
from workers.settings import Settings
from workers.state.schema import Job
from workers.usecases.assemble import assemble_due, queue_due
from workers.usecases.begin_deliveries import release_by_mode
from workers.usecases.choose import most_urgent_due
from workers.usecases.confirm import expire_commitments
from workers.usecases.notice import give_notice_due
from workers.usecases.prune import prune
from workers.usecases.record import record_due
from workers.usecases.recover import due_hints, expire_leases
from workers.usecases.take_answers import take_answers
from workers.usecases.take_facts import take_facts
from workers.usecases.watch_destinations import watch_destinations
from workers.usecases.watch_workers import watch_workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """How many jobs a database holds: over, and waiting (half for analysis, half for delivery)."""

    over: int
    waiting: int = 0

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.over:,} over" + (f", {self.waiting:,} waiting" if self.waiting else "")


STOCKS = (Stock(over=100), Stock(over=100_000), Stock(over=100_000, waiting=10_000))


@cache
def _rules() -> RuleSet:
    return load_rules(None)


def _choose(app: Application, now: float) -> object:
    with app.database.read() as session:
        return most_urgent_due(session, now=now, starvation_s=app.settings.starvation_s)


ROUNDS: dict[str, Callable[[Application, float], object]] = {
    "worker: choose an analysis": _choose,
    "worker: records not kept yet": lambda app, _: record_due(app),
    "node: whom to wake": lambda app, now: due_hints(app, now=now),
    "node: leases and clocks": lambda app, now: expire_leases(app, now=now),
    "node: series that are quiet": lambda app, now: assemble_due(app, _rules(), now=now),
    "node: best series": lambda app, now: queue_due(app, now=now),
    "node: studies without a result": lambda app, now: give_notice_due(app, _rules(), now=now),
    "node: commitments overdue": lambda app, now: expire_commitments(app, now=now),
    "node: answers": lambda app, _: take_answers(app),
    "node: what is withheld": lambda app, now: release_by_mode(app, now=now),
    "node: silent destinations": lambda app, now: watch_destinations(app, now=now),
    "node: idle workers": lambda app, now: watch_workers(app, now=now),
    "maintenance: results to count": lambda app, _: take_facts(app),
    "every five minutes: what may go": lambda app, _: prune(app),
}


def bench_claims(
    stocks: tuple[Stock, ...] = STOCKS,
    *,
    runs: int,
    state_url: str | None = None,
    between: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Fill a database of its own with each stock, one upon the other, and ask `runs` times.

    Parameters
    ----------
    stocks : tuple of Stock
        None smaller than the one before it.
    state_url : str, optional
        An empty PostgreSQL database instead of a SQLite file; it is filled.
    between : callable
        Called before each stock, for progress.

    Returns
    -------
    dict
        ``database``, and for each stock under its name ``jobs`` and per question ``ms`` (median)
        and ``worst_ms``.
    """
    with tempfile.TemporaryDirectory(prefix="pulmonode-bench-") as folder:
        app = open_application(_settings(Path(folder), state_url), migrate=True)
        try:
            found = {}
            held = Stock(over=0)
            for stock in stocks:
                between()
                now = clock_now()
                fill(
                    app.database,
                    stock.over - held.over,
                    now=now - 3600.0,
                    seed=stock.over,
                    under_way=False,
                    proved=False,
                )
                fill_waiting(app.database, stock.waiting - held.waiting, now=now, seed=1)
                held = stock
                found[stock.name] = ask_all(app, runs=runs)
            return {"database": app.database.engine.dialect.name, "stocks": found}
        finally:
            app.database.close()


def ask_all(app: Application, *, runs: int) -> dict[str, Any]:
    """Ask everything `runs` times; medians and worst, in ms, with the number of jobs there."""
    engine = app.database.engine
    if engine.dialect.name == "postgresql":  # it does so by itself, a little later
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
    questions = {name: _measure(app, ask, runs) for name, ask in ROUNDS.items()}
    with app.database.read() as session:
        jobs = session.scalar(select(func.count()).select_from(Job)) or 0
    return {"jobs": int(jobs), "questions": questions}


def _measure(
    app: Application, ask: Callable[[Application, float], object], runs: int
) -> dict[str, float]:
    taken_ms = []
    for _ in range(runs):
        now = app.now()
        started = time.perf_counter()
        ask(app, now)
        taken_ms.append(1000 * (time.perf_counter() - started))
    return {"ms": round(statistics.median(taken_ms), 2), "worst_ms": round(max(taken_ms), 2)}


def _settings(folder: Path, state_url: str | None) -> Settings:
    pacs = DestinationSettings(name=DESTINATION, ae_title="PACS", host="pacs", port=104)
    return Settings(
        data_dir=folder, state_url=state_url, destinations=(pacs,), worker_alarm_s=604_800
    )
