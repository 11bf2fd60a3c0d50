"""A job's way as stretches of time: which state, from when, how long; from its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workers.state.schema import ENDS, JobState

RESTS = ENDS | {JobState.DELIVERED, JobState.ANALYSED}
"""States in which a job may stand for ever; how long it does says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Time in one state.

    Attributes
    ----------
    began_at : float
        Seconds since the epoch.
    lasted_s : float or None
        `None` for a state in which the job rests.
    now : bool
        Whether it still stands there.
    """

    state: JobState
    began_at: float
    lasted_s: float | None
    now: bool


def timeline(
    history: Sequence[dict[str, Any]], *, state: str, created_at: float, now: float
) -> tuple[Stretch, ...]:
    """The stretches of a job, oldest first; times that go back count as none.

    Parameters
    ----------
    history : sequence of dict
        ``at`` and ``state`` of each line (`workers.usecases.describe.show_job`), oldest first.
    state : str
        In which it stands.
    created_at, now : float
        Seconds since the epoch.
    """
    changes: list[tuple[JobState, float]] = []
    for line in history:
        found = JobState(line["state"])
        if not changes or changes[-1][0] is not found:
            began = float(line["at"]) if changes else min(created_at, float(line["at"]))
            changes.append((found, began))
    if not changes or changes[-1][0] != state:
        changes.append((JobState(state), changes[-1][1] if changes else created_at))
    ends = [began for _, began in changes[1:]]
    stretches = [
        Stretch(state=name, began_at=began, lasted_s=max(0.0, end - began), now=False)
        for (name, began), end in zip(changes[:-1], ends, strict=True)
    ]
    last, began = changes[-1]
    lasted = None if last in RESTS else max(0.0, now - began)
    return (*stretches, Stretch(state=last, began_at=began, lasted_s=lasted, now=True))
