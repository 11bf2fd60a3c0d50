"""An edited report against our nodules: what it says of each, and why that is concluded.

A group belongs to a nodule by its Tracking UID; in a report that replaces ours also by its
place, because viewers give every group a new Tracking UID when they save. What cannot be told
becomes `UNCLEAR` with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from dicom_node.read.edited_report import EditedReport
from dicom_node.read.measurement_report import TrackedFinding
from workers.answers.known import (
    KnownNodule,
    Point,
    level_of,
    lung_rads_of,
    measures_of,
    type_of,
)
from workers.answers.words import Spoken, read_label, says_nodule, says_rejected
from workers.state.answer_tables import Verdict

SAME_PLACE_MM = 5.0
"""As for nodules of two revisions: closer than this, or than half their diameter, are one."""
RATING = ("READER_RATING", "99PULMONODE")
"""Our own question for a rating, 1 to 5, in reports by systems that write codes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoke:
    """What a report says of one nodule.

    Attributes
    ----------
    said : dict
        What was said beside the verdict; only what was.
    why : str
        How the verdict was come to, for people.
    """

    tracking_uid: str
    verdict: Verdict
    said: dict[str, Any] = field(default_factory=dict)
    why: str


def judge_report(
    report: EditedReport,
    nodules: Sequence[KnownNodule],
    places: Mapping[str, Point | None],
    *,
    replaced: Set[str] | None,
) -> tuple[Spoke, ...]:
    """What a report says of our nodules, in their order, then of what it adds.

    Parameters
    ----------
    report : EditedReport
        By somebody else.
    nodules : sequence of KnownNodule
        Of the result that it is about.
    places : mapping
        Tracking UID of each of its findings to the middle of what is drawn, LPS mm.
    replaced : set of str or None
        Tracking UIDs in the reports that this one replaces; `None` when it replaces none of
        ours, and then a nodule that it leaves out says nothing.
    """
    by_uid = {nodule.tracking_uid: nodule for nodule in nodules}
    matched = {uid: finding for uid, finding in report.findings.items() if uid in by_uid}
    how = dict.fromkeys(matched, "by its Tracking UID")
    loose = [finding for uid, finding in report.findings.items() if uid not in by_uid]
    if replaced is not None:
        for finding, nodule in _pairs(loose, nodules, places):
            if nodule.tracking_uid not in matched:
                matched[nodule.tracking_uid] = finding
                how[nodule.tracking_uid] = "by its place, under a new Tracking UID"
                loose.remove(finding)
    spoken = [
        _of_nodule(nodule, matched[nodule.tracking_uid], how[nodule.tracking_uid], report)
        for nodule in nodules
        if nodule.tracking_uid in matched
    ]
    if replaced is not None:
        spoken += [
            _of_absent(nodule, report)
            for nodule in nodules
            if nodule.tracking_uid in replaced and nodule.tracking_uid not in matched
        ]
    return (*spoken, *(_of_loose(one, nodules, places[one.tracking_uid]) for one in loose))


def _pairs(
    loose: Sequence[TrackedFinding],
    nodules: Sequence[KnownNodule],
    places: Mapping[str, Point | None],
) -> list[tuple[TrackedFinding, KnownNodule]]:
    """Findings and nodules at one place, the nearest first, each at most once."""
    near = sorted(
        (
            (math.dist(place, nodule.centre_lps_mm), at, number)
            for at, finding in enumerate(loose)
            if (place := places[finding.tracking_uid]) is not None
            for number, nodule in enumerate(nodules)
            if _is_at(place, nodule)
        )
    )
    pairs: dict[int, int] = {}
    for _, at, number in near:
        if at not in pairs and number not in pairs.values():
            pairs[at] = number
    return [(loose[at], nodules[number]) for at, number in pairs.items()]


def _is_at(place: Point, nodule: KnownNodule) -> bool:
    limit_mm = max(SAME_PLACE_MM, (nodule.diameter_mm or 0.0) / 2)
    return math.dist(place, nodule.centre_lps_mm) <= limit_mm


def _of_nodule(
    nodule: KnownNodule, finding: TrackedFinding, how: str, report: EditedReport
) -> Spoke:
    """A nodule that the report still holds."""
    spoken = _labels(nodule, finding)
    said: dict[str, Any] = {}
    comments = [text for text in finding.comments if text and text not in nodule.comments]
    if comments:
        said["comment"] = "; ".join(comments)
    if spoken.rejected or says_rejected(finding):
        return Spoke(
            tracking_uid=nodule.tracking_uid,
            verdict=Verdict.REJECT,
            said=said,
            why=f"marked as no nodule; found {how}",
        )
    coded, label = level_of(finding), spoken.level
    told = (
        ("type", type_of(finding), nodule.type),
        ("lung_rads", lung_rads_of(finding), nodule.lung_rads),
        ("lung_rads", spoken.lung_rads, nodule.lung_rads),
        ("level", coded, nodule.level),
        ("level", label, nodule.level),
    )
    said |= {name: value for name, value, ours in told if value is not None and value != ours}
    rating = _rating(finding)
    rating = spoken.rating if rating is None else rating
    if rating is not None:
        said["rating"] = rating
    changed = {
        name: value
        for name, value in measures_of(finding).items()
        if not nodule.is_measured_so(name, value)
    }
    if changed:
        said["measures"] = changed
    contradicts = ""
    if rating is not None and not 1 <= rating <= 5:
        contradicts = f"it gives a rating of {rating:g}, on a scale of 1 to 5"
    elif label is not None and coded not in (None, nodule.level, label):
        contradicts = f"its code says level {coded}, its label level {label}"
    if spoken.unclear or contradicts:
        why = spoken.unclear or contradicts
        return Spoke(tracking_uid=nodule.tracking_uid, verdict=Verdict.UNCLEAR, said=said, why=why)
    regraded = [name for name in ("level", "rating", "lung_rads") if name in said]
    if coded is not None and not regraded:
        said["same_level"] = nodule.level
    if regraded:
        why = f"other {', '.join(regraded).replace('lung_rads', 'Lung-RADS category')}"
    else:
        why = "verified as it was" if report.verified and not said else "still there"
    return Spoke(
        tracking_uid=nodule.tracking_uid,
        verdict=Verdict.REGRADE if regraded else Verdict.ACCEPT,
        said=said,
        why=f"{why}; found {how}",
    )


def _labels(nodule: KnownNodule, finding: TrackedFinding) -> Spoken:
    """What new labels say; those that our own reports gave say nothing."""
    read = [read_label(text) for text in finding.comments if text not in nodule.comments]
    plain = [one for one in read if one != Spoken()]
    if not plain:
        return Spoken()
    if len(plain) > 1:
        return Spoken(unclear="two of its labels say something of it")
    return plain[0]


def _rating(finding: TrackedFinding) -> float | None:
    return next((value for key, value in finding.measurements.items() if key[:2] == RATING), None)


def _of_absent(nodule: KnownNodule, report: EditedReport) -> Spoke:
    """A nodule whose group is gone from a report that replaces the one that held it."""
    if not report.is_measurement_report:
        verdict, why = Verdict.UNCLEAR, "the report that replaces ours is no TID 1500 report"
    elif report.is_partial:
        verdict, why = Verdict.UNCLEAR, "it is left out of a report that is flagged PARTIAL"
    else:
        verdict, why = Verdict.REJECT, "its group is gone from a report that replaces ours"
    return Spoke(tracking_uid=nodule.tracking_uid, verdict=verdict, why=why)


def _of_loose(
    finding: TrackedFinding, nodules: Sequence[KnownNodule], place: Point | None
) -> Spoke:
    """A group that belongs to none of our nodules."""
    said: dict[str, Any] = {}
    comments = [text for text in finding.comments if text]
    if comments:
        said["comment"] = "; ".join(comments)
    measures = measures_of(finding)
    if measures:
        said["measures"] = measures
    if place is not None:
        said["centre_lps_mm"] = list(place)
    there = [nodule.name for nodule in nodules if place is not None and _is_at(place, nodule)]
    spoken = [read_label(text) for text in comments]
    if place is None:
        why = "a new group without a place on an image that is known here"
    elif there:
        why = f"a new group at the place of {there[0]}"
    elif not says_nodule(finding):
        why = "a new group that does not call itself a nodule"
    elif says_rejected(finding) or any(one.rejected or one.unclear for one in spoken):
        why = "a new group whose label contradicts it"
    else:
        for one in spoken:
            said |= {
                name: value
                for name, value in (
                    ("level", one.level), ("rating", one.rating), ("lung_rads", one.lung_rads)
                )
                if value is not None
            }  # fmt: skip
        if (level := level_of(finding)) is not None:
            said["level"] = level
        if (rating := _rating(finding)) is not None:
            said["rating"] = rating
        if (kind := type_of(finding)) is not None:
            said["type"] = kind
        why = "a nodule that we did not list"
        return Spoke(tracking_uid=finding.tracking_uid, verdict=Verdict.ADDED, said=said, why=why)
    return Spoke(tracking_uid=finding.tracking_uid, verdict=Verdict.UNCLEAR, said=said, why=why)
