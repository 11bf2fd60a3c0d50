"""Which analysis comes next: whoever waited too long, then by priority, then by age.

Asked for each analysis, under the write lock. It must not take longer when more jobs wait, so the
oldest due job of each priority is looked for by its index, and chosen among these.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from workers.state.schema import Job, JobState, Priority


def most_urgent_due(session: Session, *, now: float, starvation_s: float) -> int | None:
    """The due job to take first, or `None`.

    Parameters
    ----------
    now : float
        Seconds since the epoch.
    starvation_s : float
        A job that was created so long ago comes first, whatever its priority.
    """
    oldest = [
        found for priority in Priority if (found := _oldest_due(session, priority, now)) is not None
    ]
    if not oldest:
        return None
    starving = [item for item in oldest if item[0] <= now - starvation_s]
    if starving:
        return min(starving)[1]
    return oldest[-1][1]  # `Priority` rises


def _oldest_due(session: Session, priority: Priority, now: float) -> tuple[float, int] | None:
    """(Created at, number) of the oldest due job of a priority."""
    row = session.execute(
        select(Job.created_at, Job.id)
        .where(Job.state == JobState.QUEUED, Job.priority == priority, Job.next_attempt_at <= now)
        .order_by(Job.created_at, Job.id)
        .limit(1)
    ).first()
    return None if row is None else (row[0], row[1])
