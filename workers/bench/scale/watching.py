"""What waits, and how large each process is, looked at every second or so."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from workers.state.database import Database
from workers.state.schema import Delivery, DeliveryState, Job, JobState
from workers.supervisor import COMMAND

EVERY_S = 1.0
MEMORY_EVERY = 5
"""Looks between two at the processes' memory."""
SETTLED = 0.2
"""Share of the run that counts as the start: before, processes load what they need."""
OPEN = (
    JobState.RECEIVING,
    JobState.COMPLETE,
    JobState.QUEUED,
    JobState.ANALYSING,
    JobState.DELIVERING,
)
ROLES = {
    "valkey": "broker",
    "--queues analyse": "analyse",
    "--queues deliver": "deliver",
    f"{COMMAND} node": "node",
    "short_service": "up",
}
"""Words of a process's name or command line, and what it is; the first that fits."""


@dataclass(slots=True)
class Samples:
    """Seconds since the first look, and what was seen."""

    at_s: list[float] = field(default_factory=list)
    jobs: dict[str, list[int]] = field(default_factory=dict)
    """Of each state that is no end."""
    queued_s: list[float] = field(default_factory=list)
    """How long the longest waiting job has been queued."""
    undelivered_s: list[float] = field(default_factory=list)
    """How long the oldest delivery that no destination took has waited."""
    inbox: list[int] = field(default_factory=list)
    """Instances that were acknowledged and are not indexed yet."""
    memory_at_s: list[float] = field(default_factory=list)
    memory_mb: dict[str, list[float]] = field(default_factory=dict)
    """Resident, all processes of a role together."""
    cpu_s: dict[str, float] = field(default_factory=dict)
    """Of the processes of each role that were there at the last look."""
    missed: int = 0
    """Looks at which the database did not answer."""


class Watcher:
    """Looks until it is stopped.

    Parameters
    ----------
    database : Database
        Of the service.
    inbox : Path
        Of its spool.
    """

    def __init__(self, database: Database, inbox: Path) -> None:
        self.samples = Samples()
        self._database = database
        self._inbox = inbox
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        looks = 0
        stopped = False
        while not stopped:
            stopped = self._stop.wait(EVERY_S)
            at_s = time.monotonic() - began
            if stopped or looks % MEMORY_EVERY == 0:
                self._weigh(at_s)
            looks += 1
            try:
                self._look(at_s)
            except SQLAlchemyError:
                self.samples.missed += 1

    def _look(self, at_s: float) -> None:
        now = self._database.now()
        with self._database.read() as session:
            by_state = select(Job.state, func.count()).where(Job.state.in_(OPEN))
            counts = {
                JobState(row[0]): int(row[1])
                for row in session.execute(by_state.group_by(Job.state)).all()
            }
            queued = _oldest(session, JobState.QUEUED)
            undelivered = session.scalar(
                select(func.min(Delivery.created_at)).where(
                    Delivery.state.in_([DeliveryState.QUEUED, DeliveryState.SENDING])
                )
            )
        samples = self.samples
        samples.at_s.append(round(at_s, 2))
        samples.inbox.append(len(os.listdir(self._inbox)) if self._inbox.exists() else 0)
        for state in OPEN:
            samples.jobs.setdefault(str(state), []).append(counts.get(state, 0))
        samples.queued_s.append(round(now - queued, 2) if queued else 0.0)
        samples.undelivered_s.append(round(now - undelivered, 2) if undelivered else 0.0)

    def _weigh(self, at_s: float) -> None:
        together: Counter[str] = Counter()
        cpu_s: dict[str, float] = {}
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                role = _role(process)
                if role is not None:
                    together[role] += process.memory_info().rss
                    times = process.cpu_times()
                    cpu_s[role] = cpu_s.get(role, 0.0) + times.user + times.system
        self.samples.cpu_s = {role: round(seconds, 1) for role, seconds in cpu_s.items()}
        self.samples.memory_at_s.append(round(at_s, 2))
        for role in ROLES.values():
            sizes = self.samples.memory_mb.setdefault(role, [])
            sizes.append(round(together[role] / 2**20, 1))


def _oldest(session: Session, state: JobState) -> float | None:
    return session.scalar(select(func.min(Job.state_since)).where(Job.state == state))


def _role(process: psutil.Process) -> str | None:
    line = f"{process.name()} {' '.join(process.cmdline())}"
    return next((role for words, role in ROLES.items() if words in line), None)


def memory_summary(samples: Samples, *, studies: int) -> dict[str, dict[str, float]]:
    """Of each role: MB at the start, in the middle and at the end, the most, and its growth.

    Parameters
    ----------
    studies : int
        Of the whole run; growth is told per 100 of them, by least squares. All of it over what
        comes after `SETTLED`.
    """
    at_s = np.array(samples.memory_at_s)
    if len(at_s) == 0:
        return {}
    per_100 = (at_s[-1] or 1.0) * 100 / studies
    late = at_s >= SETTLED * at_s[-1]
    found = {}
    for role, sizes in samples.memory_mb.items():
        mb = np.array(sizes)
        if not mb.any():  # a broker that is not ours
            continue
        slope = float(np.polyfit(at_s[late], mb[late], 1)[0]) if late.sum() > 2 else 0.0
        found[role] = {
            "start": float(mb[late][0]),
            "middle": float(mb[late][late.sum() // 2]),
            "end": float(mb[-1]),
            "most": float(mb.max()),
            "mb_per_100_studies": round(slope * per_100, 2),
        }
    return found
