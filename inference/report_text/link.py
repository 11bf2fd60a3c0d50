"""Which reported nodule is which detected one: by side, lobe, size and type, one to one.

A report gives no coordinates, so a link is a judgement: each has its reasons. What is left of the
report is listed for a search at a lower threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from inference.findings import Nodule
from inference.report_text.facts import LOBE_NAMES, LOBE_SIDES, ReportedNodule

SIZE_SHARE, SIZE_LEAST_MM = 0.4, 3.0
"""Readers differ in diameter by some 2 mm (Revel, Radiology 2004;231:453), and a report may be of
another plane: further apart than both of these is another nodule. Assumed."""
SURE_OF_LOBE = 0.8
"""From this probability on a lobe that we found speaks against another that is reported."""
OTHER_LOBE, OTHER_TYPE, NO_PLACE, NO_SIZE = 0.6, 0.3, 0.5, 0.5
"""Costs, beside the difference in size from 0 to 1; they only rank what the limits allow."""
IMPOSSIBLE = 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A reported nodule that is a detected one.

    Attributes
    ----------
    reported : int
        Place in the report's list, from 0.
    detected : int
        `Nodule.id`.
    why : tuple of str
        What agrees, and what does not.
    """

    reported: int
    detected: int
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """A reported nodule that none of the detected ones is: where to search again.

    Attributes
    ----------
    lobes : tuple of str
        Names as in `inference.lobes`; empty where the whole side, or both, may hold it.
    size_mm : tuple of float, optional
        Smallest and largest long axis to look for.
    """

    reported: int
    why: str
    side: str | None
    lobes: tuple[str, ...]
    size_mm: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """What became of both lists."""

    links: tuple[Link, ...]
    to_search: tuple[Unmatched, ...]
    detected_only: tuple[int, ...]
    """Ids of detected nodules that the report does not name."""


def link_nodules(reported: Sequence[ReportedNodule], detected: Sequence[Nodule]) -> Linked:
    """Pair both lists so that the sum of disagreements is least.

    Denied and resolved nodules, and those of which neither place nor size is told, are neither
    linked nor searched for. A group is linked by its largest member.
    """
    asked = [
        number
        for number, nodule in enumerate(reported)
        if nodule.certainty != "negated"
        and nodule.change != "resolved"
        and (nodule.laterality or nodule.size_mm)
    ]
    costs = np.full((len(asked), len(detected)), IMPOSSIBLE)
    reasons: dict[tuple[int, int], tuple[str, ...]] = {}
    for row, number in enumerate(asked):
        for column, found in enumerate(detected):
            judged = _compare(reported[number], found)
            if judged is not None:
                costs[row, column], reasons[row, column] = judged
    pairs = _pairs(costs)
    taken = {row for row, _ in pairs}
    known = {column for _, column in pairs}
    return Linked(
        links=tuple(
            Link(reported=asked[row], detected=detected[column].id, why=reasons[row, column])
            for row, column in pairs
        ),
        to_search=tuple(
            _to_search(number, reported[number], bool(detected))
            for row, number in enumerate(asked)
            if row not in taken
        ),
        detected_only=tuple(
            nodule.id for column, nodule in enumerate(detected) if column not in known
        ),
    )


def _pairs(costs: NDArray[np.float64]) -> list[tuple[int, int]]:
    if costs.size == 0:
        return []
    rows, columns = linear_sum_assignment(costs)
    return [
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if costs[row, column] < IMPOSSIBLE
    ]


def _compare(told: ReportedNodule, found: Nodule) -> tuple[float, tuple[str, ...]] | None:
    """Cost and reasons; None where they cannot be one nodule."""
    cost, why = 0.0, []
    side = told.laterality if told.laterality != "bilateral" else None
    if side and found.laterality and side != found.laterality:
        return None
    if told.lobe and found.lobe:
        if found.lobe == LOBE_NAMES[told.lobe]:
            why.append(f"lobe {told.lobe}")
        elif (found.lobe_probability or 0.0) >= SURE_OF_LOBE:
            return None
        else:
            cost += OTHER_LOBE
            why.append(f"reported in {told.lobe}, found near the border of {found.lobe}")
    elif side and found.laterality:
        cost += NO_PLACE / 2
        why.append(f"{side} side")
    else:
        cost += NO_PLACE
        why.append("place not known")
    if told.size_mm is None:
        cost += NO_SIZE
        why.append("no size reported")
    else:
        measured = _measured_mm(told, found)
        limit = max(SIZE_LEAST_MM, SIZE_SHARE * max(measured, told.size_mm))
        apart = abs(measured - told.size_mm)
        if apart > limit:
            return None
        cost += apart / limit
        why.append(f"reported {told.size_mm:g} mm, measured {measured:.1f} mm")
    if told.type and not _type_fits(told.type, found.type):
        cost += OTHER_TYPE
        why.append(f"reported {told.type}, seen as {found.type}")
    return cost, tuple(why)


def _measured_mm(told: ReportedNodule, found: Nodule) -> float:
    if told.mean_mm is not None and told.mean_mm == told.size_mm:
        return found.measurements.mean_diameter_mm
    return found.measurements.long_axis.length_mm


def _type_fits(told: str, found: str) -> bool:
    if told == "subsolid":
        return found in ("part-solid", "ground-glass")
    return told == found


def _to_search(number: int, told: ReportedNodule, any_found: bool) -> Unmatched:
    side = told.laterality if told.laterality in ("left", "right") else None
    limits = None
    if told.size_mm is not None:
        room = max(SIZE_LEAST_MM, SIZE_SHARE * told.size_mm)
        limits = (max(0.0, told.size_mm - room), told.size_mm + room)
    return Unmatched(
        reported=number,
        why="no detected nodule fits in place and size" if any_found else "nothing was detected",
        side=LOBE_SIDES[told.lobe] if told.lobe else side,
        lobes=(LOBE_NAMES[told.lobe],) if told.lobe else (),
        size_mm=limits,
    )
