"""Which nodule of an earlier examination is which of now: one to one, the likeliest as a whole.

By place after registration; size and type only break ties and rule out what cannot be. Where
the places of then are not known, side, lobe, type and size must leave no choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from inference.findings import Nodule, NoduleType
from inference.follow_up.exam import PriorFinding

REACH_MM = 8.0
"""Error of the registration (mostly under 6 mm, docs/follow_up.md) and of the centres."""
SIZE_WEIGHT, TYPE_WEIGHT = 0.3, 0.2
DIAMETER_RATIO = (0.2, 6.0)
"""Now over then: growth of more is no growth of the same thing within a follow-up."""
BY_SIZE_RATIO = (0.6, 1.7)
IMPOSSIBLE = 1e6


def reach_mm(first_mm: float, second_mm: float) -> float:
    """How far apart two places may lie, for nodules of these mean diameters."""
    return REACH_MM + max(first_mm, second_mm) / 2


def plausible_size(now_mm: float, then_mm: float) -> bool:
    """Whether one nodule can have had both mean diameters."""
    return DIAMETER_RATIO[0] <= now_mm / then_mm <= DIAMETER_RATIO[1]


def types_differ(now: NoduleType, then: NoduleType) -> float:
    """0 for the same type, 1 for opposite ones; subsolid nodules turn into each other."""
    if now == then:
        return 0.0
    subsolid = {"part-solid", "ground-glass"}
    related = {now, then} <= subsolid or {now, then} == {"part-solid", "solid"}
    return 0.5 if related else 1.0


def match_by_place(
    nodules: Sequence[Nodule],
    places_then: Sequence[Sequence[float]],
    findings: Sequence[PriorFinding],
) -> dict[int, int]:
    """Pairs (index of the nodule, index of the finding) of least total cost (Hungarian method).

    Parameters
    ----------
    nodules : sequence of Nodule
        Of now.
    places_then : sequence of point
        Where each of them lay then by the registration, LPS mm of that examination.
    findings : sequence of PriorFinding
        Of then; those without a place are never matched here.
    """
    if not nodules or not findings:
        return {}
    costs = np.full((len(nodules), len(findings)), IMPOSSIBLE)
    for row, (nodule, place) in enumerate(zip(nodules, places_then, strict=True)):
        now_mm = nodule.measurements.mean_diameter_mm
        for column, finding in enumerate(findings):
            then_mm = finding.mean_diameter_mm
            if finding.centre_lps_mm is None or not plausible_size(now_mm, then_mm):
                continue
            share = math.dist(place, finding.centre_lps_mm) / reach_mm(now_mm, then_mm)
            if share <= 1:
                costs[row, column] = (
                    share
                    + SIZE_WEIGHT * abs(math.log(now_mm / then_mm))
                    + TYPE_WEIGHT * types_differ(nodule.type, finding.type)
                )
    pairs = zip(*linear_sum_assignment(costs), strict=True)
    return {int(row): int(column) for row, column in pairs if costs[row, column] < IMPOSSIBLE}


def match_by_size(nodules: Sequence[Nodule], findings: Sequence[PriorFinding]) -> dict[int, int]:
    """Pairs of the same side, lobe and type and of like size, where there is no other choice."""
    fits = [
        [column for column, finding in enumerate(findings) if _alike(nodule, finding)]
        for nodule in nodules
    ]
    return {
        row: columns[0]
        for row, columns in enumerate(fits)
        if len(columns) == 1 and sum(columns[0] in other for other in fits) == 1
    }


def _alike(nodule: Nodule, finding: PriorFinding) -> bool:
    ratio = nodule.measurements.mean_diameter_mm / finding.mean_diameter_mm
    if nodule.laterality is None or nodule.laterality != finding.laterality:
        return False
    if nodule.lobe is not None and finding.lobe is not None and nodule.lobe != finding.lobe:
        return False
    return nodule.type == finding.type and BY_SIZE_RATIO[0] <= ratio <= BY_SIZE_RATIO[1]
