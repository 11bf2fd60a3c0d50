"""Which series that wait need to be judged anew, so that not every look reads every header again.

Kept in the memory of the node alone: after a restart each is judged once more. What is asked here
is cheap; whatever it does not see is seen at the latest one quiet time later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from workers.settings import Settings
from workers.state.schema import Instance, Job


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    at: float
    state: tuple[object, ...]


class Waiting:
    """What the series that wait were like when they were judged last."""

    def __init__(self) -> None:
        self._looks: dict[int, _Look] = {}

    def due(
        self, session: Session, jobs: Sequence[Job], settings: Settings, *, now: float
    ) -> list[int]:
        """Numbers of the jobs that something changed for, that a wait ended for, or that nobody
        looked at for a quiet time; they count as judged from now on.

        Parameters
        ----------
        jobs : sequence of Job
            All that are quiet; others are forgotten.
        """
        known, self._looks = self._looks, {}
        found = []
        for job in jobs:
            look, state = known.get(job.id), _state(session, job)
            if look is None or look.state != state or _is_old(look, job, settings, now):
                found.append(job.id)
                look = _Look(at=now, state=state)
            self._looks[job.id] = look
        return found

    def forget(self, job_ids: Sequence[int]) -> None:
        """Have jobs judged at the next look."""
        for job_id in job_ids:
            self._looks.pop(job_id, None)


def _state(session: Session, job: Job) -> tuple[object, ...]:
    """What a judgement rests on, as far as it can change while a series waits."""
    not_here = or_(Instance.stored.is_(False), Instance.removed_at.is_not(None))
    missing = session.scalar(
        select(func.count()).where(Instance.series_uid == job.series_uid, not_here)
    )
    return (
        job.last_instance_at,
        job.instance_count,
        job.forced,
        job.correction,
        job.pacs_answer,
        job.pacs_answers_alike,
        job.pacs_agrees,
        missing,
    )


def _is_old(look: _Look, job: Job, settings: Settings, now: float) -> bool:
    if not 0 <= now - look.at < settings.quiet_time_s:
        return True
    quiet_s, wait_s = settings.quiet_time_s, settings.incomplete_wait_s
    # for a hole (dicom_node/receive/assembly.py), and for what the policy removed
    ends = (job.last_instance_at + max(wait_s, quiet_s), job.last_instance_at + quiet_s + wait_s)
    return any(look.at < end <= now for end in ends)
