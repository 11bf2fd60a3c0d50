"""Which states jobs came into and how long they stood in the one before, read from their history.

Writing transactions follow each other (workers/state/database.py), so lines of history become
visible in the order of their numbers: what comes after the last one read is all that is new. One
read costs what happened since the one before, however many jobs there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client.core import Metric
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workers.metrics.exposed import Durations, family
from workers.state.schema import Event, JobState

LINES_AT_ONCE = 20_000
"""Of history in one read; the rest comes with the next."""
JOBS_AT_ONCE = 500


class Transitions:
    """What jobs did since this was first asked."""

    def __init__(self) -> None:
        self._read_until: int | None = None
        self._counts: Counter[str] = Counter({str(state): 0 for state in JobState})
        self._durations = Durations("pulmonode_job_state_seconds")

    def read(self, session: Session) -> None:
        """Take what is new in the history."""
        if self._read_until is None:
            self._read_until = session.scalar(select(func.max(Event.id))) or 0
            return
        new = session.execute(
            select(Event.id, Event.job_id)
            .where(Event.id > self._read_until)
            .order_by(Event.id)
            .limit(LINES_AT_ONCE)
        ).all()
        if not new:
            return
        jobs = sorted({job_id for _, job_id in new})
        first, last = new[0][0], new[-1][0]
        for start in range(0, len(jobs), JOBS_AT_ONCE):
            self._follow(session, jobs[start : start + JOBS_AT_ONCE], first, last)
        self._read_until = last

    def _follow(self, session: Session, jobs: Sequence[int], first: int, last: int) -> None:
        lines = session.execute(
            select(Event.job_id, Event.id, Event.state, Event.at)
            .where(Event.job_id.in_(jobs), Event.id <= last)
            .order_by(Event.job_id, Event.id)
        )
        job, state, since = 0, "", 0.0
        for job_id, number, found, at in lines:
            if job_id != job:
                job, state, since = job_id, "", at
            if found == state:
                continue
            if number >= first:
                self._counts[found] += 1
                if state:
                    self._durations.add((state,), max(0.0, at - since))
            state, since = found, at

    def collect(self) -> Iterator[Metric]:
        """The figures so far."""
        by_state = {(state,): float(count) for state, count in self._counts.items()}
        yield family("pulmonode_job_transitions_total", by_state)
        yield family("pulmonode_series_assembled_total", self._counts[JobState.COMPLETE])
        yield self._durations.family()
