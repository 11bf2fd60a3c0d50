"""Lung-RADS v2022: what counts as growth.

More than 1.5 mm of mean diameter within 12 months. Where examinations lie further apart, growth is
taken as even in between, which the guideline does not say; nearer ones are never extrapolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

GROWTH_MM = 1.5
YEAR_DAYS = 365.25

History = Sequence[tuple[float, float]]
"""(mean diameter to 0.1 mm, days before), the latest first; not empty."""


def grows(now_mm: float, history: History) -> bool:
    """More than 1.5 mm within 12 months, and more than at the latest examination.

    Beside the latest examination those within 12 months count, so that four times 0.5 mm a
    quarter are growth. What has not changed since the latest is stable now, however it grew
    before: else a growing nodule could never be found stable after three months.
    """
    latest_mm = history[0][0]
    if _step_mm(now_mm, latest_mm) <= 0:
        return False
    return any(
        _step_mm(now_mm, before_mm) / max(1.0, days / YEAR_DAYS) > GROWTH_MM
        for place, (before_mm, days) in enumerate(history)
        if place == 0 or days <= YEAR_DAYS
    )


def grows_slowly(now_mm: float, history: History) -> bool:
    """Larger at each of three or more examinations, by more than 1.5 mm in all.

    The guideline gives no amount for slow growth over several examinations; below the 1.5 mm of
    growth itself it would be the error of measurement.
    """
    sizes_mm = [now_mm, *(before_mm for before_mm, _ in history)]
    steps_mm = [_step_mm(new, old) for new, old in pairwise(sizes_mm)]
    return (
        len(sizes_mm) >= 3
        and all(step > 0 for step in steps_mm)
        and _step_mm(now_mm, sizes_mm[-1]) > GROWTH_MM
    )


def _step_mm(now_mm: float, before_mm: float) -> float:
    """Difference of two values with one decimal, without binary residue."""
    return round(now_mm - before_mm, 1)
