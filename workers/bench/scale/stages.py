"""How long the jobs of a replayed day were in each state, by their own histories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from sqlalchemy import select

from workers.state.database import Database
from workers.state.schema import Event, Job, JobState

STAGES = {
    "queue": (JobState.QUEUED, JobState.ANALYSING),
    "analysis and objects": (JobState.ANALYSING, JobState.ANALYSED),
    "delivery and proof": (JobState.ANALYSED, JobState.CONFIRMED),
}


def time_stages(database: Database, series_uids: Sequence[str]) -> dict[str, dict[str, float]]:
    """Median, 95th percentile and longest of each stage, seconds of the clock.

    From the first line of a job's history with one state to the first with the other.
    """
    wanted = set(series_uids)
    first: dict[int, dict[str, float]] = defaultdict(dict)
    with database.read() as session:
        lines = session.execute(
            select(Job.series_uid, Event.job_id, Event.state, Event.at)
            .join(Event, Event.job_id == Job.id)
            .order_by(Event.id)
        )
        for series_uid, job_id, state, at in lines:
            if series_uid in wanted:
                first[job_id].setdefault(state, at)
    return {
        name: _told([at[end] - at[start] for at in first.values() if start in at and end in at])
        for name, (start, end) in STAGES.items()
    }


def _told(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    return {
        "median": round(float(np.median(seconds)), 3),
        "p95": round(float(np.percentile(seconds, 95)), 3),
        "longest": round(max(seconds), 3),
        "jobs": float(len(seconds)),
    }
