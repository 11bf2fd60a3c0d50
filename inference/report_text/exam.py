"""What all reports of one examination say of its nodules: each once, with the report it is from.

An addendum, or the same report by two ways, tells of nodules again. What two reports tell alike
is one nodule. Within one report `extract` has seen to that; what it leaves is a nodule of the same
lobe and size of which nothing new is said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

from inference.report_text.extract import extract
from inference.report_text.facts import LOBE_SIDES, ReportedNodule, ReportFacts
from inference.report_values import ReportUsed

SAME_SIZE_MM = 1.0
"""Sizes that were rounded to the millimetre, or to half of it, differ by no more."""
ANOTHER = re.compile(
    r"(?i)\b(?:another|second|third|additional|further|other|adjacent|also)\b|另|还|第[二三]|[两二三]"
)
"""Words by which two nodules that are described alike are two."""
DESCRIBED = (
    "count", "type", "margin", "spiculation", "lobulation", "calcification", "cavity",
    "mean_mm", "solid_part_mm", "change", "prior_size_mm",
)  # fmt: skip


@lru_cache(maxsize=128)
def read_once(text: str) -> ReportFacts:
    """What `extract` gives; the same reports are asked for at each look at a patient."""
    return extract(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamText:
    """One report of the examination.

    Attributes
    ----------
    nodules : tuple of ReportedNodule
        What it says in codes, beside the text.
    """

    report: ReportUsed
    text: str
    nodules: tuple[ReportedNodule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedExam:
    """The nodules that the reports of an examination describe.

    Attributes
    ----------
    nodules : tuple of ReportedNodule
    told_in : tuple of tuple of int
        For each nodule the places in `reports` of those that tell of it, the oldest first.
    reports : tuple of ReportUsed
        In the order in which they were given, the oldest first.
    """

    nodules: tuple[ReportedNodule, ...]
    told_in: tuple[tuple[int, ...], ...]
    reports: tuple[ReportUsed, ...]

    def reports_of(self, number: int) -> tuple[ReportUsed, ...]:
        """The reports that describe a nodule, the oldest first."""
        return tuple(self.reports[place] for place in self.told_in[number])


def read_exam(texts: Sequence[ExamText]) -> ReportedExam:
    """Read the reports of one examination, the oldest first.

    Raises
    ------
    ValueError
        If a text is too long to be a report.
    """
    nodules: list[ReportedNodule] = []
    told_in: list[tuple[int, ...]] = []
    for place, item in enumerate(texts):
        before = len(nodules)
        taken: set[int] = set()
        for told in (*read_once(item.text).nodules, *item.nodules):
            same = next(
                (
                    number
                    for number, one in enumerate(nodules)
                    if (number < before and number not in taken and _alike(one, told))
                    or (number >= before and _is_echo(one, told))
                ),
                None,
            )
            if same is None:
                nodules.append(told)
                told_in.append((place,))
            else:
                taken.add(same)
                nodules[same] = _completed(nodules[same], told)
                if place not in told_in[same]:
                    told_in[same] += (place,)
    return ReportedExam(
        nodules=tuple(nodules),
        told_in=tuple(told_in),
        reports=tuple(item.report for item in texts),
    )


def _alike(one: ReportedNodule, other: ReportedNodule) -> bool:
    """Whether two reports may speak of one nodule: nothing differs, place or size is told twice."""
    if one.certainty != other.certainty and "negated" in (one.certainty, other.certainty):
        return False
    sides = {_side(one), _side(other)} - {None}
    lobes = {one.lobe, other.lobe} - {None}
    types = {one.type, other.type} - {None}
    if len(sides) > 1 or len(lobes) > 1 or (len(types) > 1 and "subsolid" not in types):
        return False
    if one.size_mm is None or other.size_mm is None:
        return one.size_mm == other.size_mm and one.lobe is not None and one.lobe == other.lobe
    return abs(one.size_mm - other.size_mm) <= SAME_SIZE_MM


def _is_echo(one: ReportedNodule, later: ReportedNodule) -> bool:
    """Whether a report names a nodule again and says nothing new of it: "LUL nodule 6 mm"."""
    source = later.sources.get("nodule")
    return (
        later.lobe is not None
        and (one.lobe, one.size_mm) == (later.lobe, later.size_mm)
        and one.size_mm is not None
        and all(getattr(later, name) in (None, (), getattr(one, name)) for name in DESCRIBED)
        and one.certainty == later.certainty
        and not (source is not None and ANOTHER.search(source.sentence))
    )


def _side(nodule: ReportedNodule) -> str | None:
    return LOBE_SIDES[nodule.lobe] if nodule.lobe else nodule.laterality


def _completed(one: ReportedNodule, other: ReportedNodule) -> ReportedNodule:
    """One nodule with what a later telling of it says; what that leaves out stays."""
    told = {item.name: getattr(other, item.name) for item in fields(ReportedNodule)}
    told.pop("sources")
    changes: dict[str, Any] = {
        name: value for name, value in told.items() if value not in (None, ())
    }
    return replace(one, **changes)
