"""The nodules of now against an earlier examination: matched, looked for, judged.

Where the earlier CT is at hand, both lungs are registered and places decide. What is listed in
one only is looked for in the other by outlining there: ``new`` is said only where the earlier CT
covers the place and shows nothing. Without that CT, or where the lungs cannot be laid over each
other, nothing is ever called new or resolved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.errors import NotAnalysable
from inference.findings import (
    ClinicalContext,
    EarlierNodule,
    FollowUp,
    Nodule,
    NoduleChange,
    PointLps,
    PriorNodule,
)
from inference.follow_up.change import as_listed, as_seen, change_since
from inference.follow_up.exam import PriorExam, PriorFinding
from inference.follow_up.look import Seen, look_at, why_not_visible
from inference.follow_up.matching import match_by_place, match_by_size, reach_mm
from inference.follow_up.registration import Registration, register
from inference.lungs import LungMask, segment_lungs
from inference.rules import lung_rads
from inference.rules.lung_rads_growth import GROWTH_MM
from inference.segmentation import Segmenter
from inference.volume import Volume

ALSO_LOOK_AT = 3
"""Candidates near a place that are looked at as well."""
LIKE_AT_LEAST = 0.7
"""Correlation of the densities in both lungs: different patients' lie below it, bent copies of one
CT above (tests/unit/inference/follow_up/test_registration.py)."""
SPACING_RATIO = 1.5
"""Slices that differ more than this measure volumes differently."""
ALL_COVERED = 0.97
"""Share of the lungs from which nothing is said of the rest."""
NEVER_VALIDATED = (
    "change since an earlier CT was tested on simulation and on deformed copies only, never on "
    "patients' real follow-ups"
)
NO_PRIOR_LIMIT = "no earlier examination was compared: growth is not judged"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """One examination of the two."""

    volume: Volume
    lungs: LungMask


def compare(
    exam: PriorExam,
    nodules: Sequence[Nodule],
    *,
    volume: Volume,
    lungs: LungMask,
    segmenter: Segmenter,
    context: ClinicalContext,
) -> tuple[tuple[Nodule, ...], FollowUp]:
    """Say of each nodule what became of it, and of each earlier one where it went.

    Parameters
    ----------
    exam : PriorExam
        Of the same patient.
    nodules : sequence of Nodule
        Of now, assessed as at baseline.
    volume, lungs : Volume, LungMask
        The CT of now.
    segmenter : Segmenter
        The one that outlined the nodules; it measures in the earlier CT as well.
    context : ClinicalContext
        Whether Lung-RADS applies.

    Returns
    -------
    nodules : tuple of Nodule
        The same in the same order, with their change, and Lung-RADS by its follow-up rows.
    follow_up : FollowUp
        The comparison as a whole.
    """
    if exam.volume is None:
        return _without_ct(exam, nodules, context, "the earlier CT is not at hand")
    try:
        then = _Scene(volume=exam.volume, lungs=segment_lungs(exam.volume))
        laid = register(volume, lungs, then.volume, then.lungs)
    except NotAnalysable as error:
        return _without_ct(exam, nodules, context, f"earlier CT: {error.why}")
    except (ValueError, np.linalg.LinAlgError, MemoryError) as error:
        return _without_ct(exam, nodules, context, f"the CTs could not be registered: {error}")
    if laid.why_not is not None:
        return _without_ct(exam, nodules, context, laid.why_not, laid)
    now = _Scene(volume=volume, lungs=lungs)
    places = [_point(p) for p in laid.to_prior(np.array([n.centre_lps_mm for n in nodules]))]
    pairs = match_by_place(nodules, places, exam.findings)
    taken = [exam.findings[column].centre_lps_mm for column in pairs.values()]
    changed = []
    for row, (nodule, place) in enumerate(zip(nodules, places, strict=True)):
        if row in pairs:
            change = _listed_then(nodule, exam.findings[pairs[row]], place, exam, then, segmenter)
        else:
            change = _not_listed_then(nodule, place, exam, then, segmenter, taken)
        changed.append(_assessed(nodule, change, context))
    unlisted = tuple(
        _not_listed_now(finding, laid, now, segmenter, nodules)
        for column, finding in enumerate(exam.findings)
        if column not in pairs.values()
    )
    return tuple(changed), FollowUp(
        exam=exam.key,
        days_before=exam.days_before,
        source=exam.source,
        compared=True,
        why=(
            f"lungs laid over those of {exam.days_before:.0f} days before (overlap "
            f"{laid.overlap:.2f}); matched by place"
        ),
        overlap=laid.overlap,
        common=laid.common,
        unlisted=unlisted,
        warnings=_warnings(now, then, laid),
    )


def _listed_then(
    nodule: Nodule,
    finding: PriorFinding,
    place: PointLps,
    exam: PriorExam,
    then: _Scene,
    segmenter: Segmenter,
) -> NoduleChange:
    """Listed in both; measured anew in the earlier CT where another method measured it."""
    prior = as_listed(finding, exam)
    centre = finding.centre_lps_mm or place
    if not exam.same_method:
        seen = look_at(then.volume, then.lungs, [centre], finding.mean_diameter_mm, segmenter)
        if seen is not None:
            prior = as_seen(seen, exam, finding.category)
    return change_since(
        nodule,
        prior,
        matched_by="place",
        key=finding.key,
        distance_mm=math.dist(place, centre),
    )


def _not_listed_then(
    nodule: Nodule,
    place: PointLps,
    exam: PriorExam,
    then: _Scene,
    segmenter: Segmenter,
    taken: Sequence[PointLps | None],
) -> NoduleChange:
    """Listed now only: seen then after all, new, or not to be told."""
    now_mm = nodule.measurements.mean_diameter_mm
    near = sorted(
        (item for item in exam.places if math.dist(item, place) <= reach_mm(now_mm, now_mm)),
        key=lambda item: math.dist(item, place),
    )
    seen = look_at(then.volume, then.lungs, [place, *near[:ALSO_LOOK_AT]], now_mm, segmenter)
    if seen is not None and not _is_one_of(seen, taken):
        return change_since(
            nodule,
            as_seen(seen, exam),
            matched_by="search",
            key=None,
            distance_mm=seen.distance_mm,
        )
    blind = why_not_visible(then.volume, then.lungs, place, now_mm)
    if blind is not None:
        return NoduleChange(status="unknown", why=f"not listed then; {blind}")
    return NoduleChange(
        status="new",
        why=f"nothing at this place {exam.days_before:.0f} days before, and that CT covers it",
    )


def _is_one_of(seen: Seen, taken: Sequence[PointLps | None]) -> bool:
    """Whether what was found is a nodule that is another one's earlier self."""
    radius_mm = seen.measurements.mean_diameter_mm / 2
    return any(
        centre is not None and math.dist(centre, seen.centre_lps_mm) <= radius_mm
        for centre in taken
    )


def _not_listed_now(
    finding: PriorFinding,
    laid: Registration,
    now: _Scene,
    segmenter: Segmenter,
    nodules: Sequence[Nodule],
) -> EarlierNodule:
    """Listed then only: resolved, smaller, still there unlisted, or not to be told."""
    base = EarlierNodule(
        key=finding.key,
        status="unknown",
        why="its place was not recorded",
        type=finding.type,
        mean_diameter_mm=finding.mean_diameter_mm,
    )
    if finding.centre_lps_mm is None:
        return base
    place = _point(laid.to_current(np.array([finding.centre_lps_mm]))[0])
    base = replace(base, place_lps_mm=place)
    seen = look_at(now.volume, now.lungs, [place], finding.mean_diameter_mm, segmenter)
    if seen is not None and not _is_one_of(seen, [n.centre_lps_mm for n in nodules]):
        now_mm = seen.measurements.mean_diameter_mm
        smaller = finding.mean_diameter_mm - now_mm > GROWTH_MM
        return replace(
            base,
            status="smaller" if smaller else "present",
            mean_diameter_now_mm=now_mm,
            why=(
                f"{finding.mean_diameter_mm:.1f} mm then; at that place now {now_mm:.1f} mm, "
                "not listed by itself"
            ),
        )
    blind = why_not_visible(now.volume, now.lungs, place, finding.mean_diameter_mm)
    if blind is not None:
        return replace(base, why=f"not listed now; {blind}")
    return replace(
        base,
        status="resolved",
        why=f"{finding.mean_diameter_mm:.1f} mm then; nothing at that place now",
    )


def _without_ct(
    exam: PriorExam,
    nodules: Sequence[Nodule],
    context: ClinicalContext,
    why: str,
    laid: Registration | None = None,
) -> tuple[tuple[Nodule, ...], FollowUp]:
    """What side, lobe, type and size allow to say; nothing where the lungs did not fit."""
    pairs = {} if laid is not None else match_by_size(nodules, exam.findings)
    changed = []
    for row, nodule in enumerate(nodules):
        if row in pairs:
            finding = exam.findings[pairs[row]]
            change = change_since(
                nodule,
                as_listed(finding, exam),
                matched_by="size",
                key=finding.key,
                distance_mm=None,
            )
        else:
            change = NoduleChange(status="unknown", why=f"not compared: {why}")
        changed.append(_assessed(nodule, change, context))
    unlisted = tuple(
        EarlierNodule(
            key=finding.key,
            status="unknown",
            why=f"not matched: {why}",
            type=finding.type,
            mean_diameter_mm=finding.mean_diameter_mm,
        )
        for column, finding in enumerate(exam.findings)
        if column not in pairs.values()
    )
    return tuple(changed), FollowUp(
        exam=exam.key,
        days_before=exam.days_before,
        source=exam.source,
        compared=bool(pairs),
        why=f"{why}; matched by side, lobe, type and size, which is less certain" if pairs else why,
        overlap=laid.overlap if laid else None,
        common=laid.common if laid else None,
        unlisted=unlisted,
        warnings=(f"earlier examination: {why}",),
    )


def _assessed(nodule: Nodule, change: NoduleChange, context: ClinicalContext) -> Nodule:
    """The nodule with its change, and Lung-RADS's row for what was seen before or is new.

    A match by size alone does not move a category: it may be another nodule.
    """
    priors: tuple[PriorNodule, ...] = ()
    if change.prior is not None and change.matched_by != "size":
        priors = (change.prior,)
    new = change.status == "new"
    if not priors and not new:
        return replace(nodule, change=change)
    return replace(
        nodule,
        change=change,
        lung_rads=lung_rads.assess_nodule(
            nodule.measurements, nodule.type, context, new=new, priors=priors
        ),
    )


def _warnings(now: _Scene, then: _Scene, laid: Registration) -> tuple[str, ...]:
    first, second = float(now.volume.spacing_mm[0]), float(then.volume.spacing_mm[0])
    warnings = []
    if max(first, second) / min(first, second) > SPACING_RATIO:
        warnings.append(
            f"slices every {first:g} mm now and {second:g} mm then: volumes compare less well"
        )
    if laid.likeness < LIKE_AT_LEAST:
        warnings.append(
            f"the lungs of both CTs look unlike (correlation {laid.likeness:.2f}): check that "
            "they are one patient's before believing the comparison"
        )
    if laid.common < ALL_COVERED:
        warnings.append(f"the earlier CT covers {100 * laid.common:.0f} % of the lungs")
    return tuple(warnings)


def _point(values: NDArray[np.float64]) -> PointLps:
    x, y, z = (float(value) for value in values)
    return x, y, z
