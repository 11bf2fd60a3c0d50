"""Lung-RADS v2022 of nodules and examinations.

Deliberately absent: category 1 or 2 from the mere absence of detections. What a radiologist sets
(0, 1, 4X and the modifier S) is offered with its reason, never set. Sizes are mean diameters; the
volumes that the guideline allows instead are not used. Which nodule of an earlier examination is
the same is told from outside.

References
----------
ACR Lung-RADS v2022 assessment categories (November 2022); Christensen et al., J Am Coll Radiol
2024;21:473.
"""

from __future__ import annotations

from collections.abc import Sequence

from inference.findings import (
    ClinicalContext,
    LungRadsAssessment,
    Measurements,
    NoduleType,
    PriorNodule,
)
from inference.rules.lung_rads_follow_up import rule_seen_before
from inference.rules.lung_rads_growth import YEAR_DAYS
from inference.rules.lung_rads_table import (
    MANAGEMENT,
    NOT_SCREENING,
    Ruling,
    applicability,
    rank,
    rule_first_seen,
    size_now,
)

INFLAMMATION = "if infection or inflammation is likely (1-3 month low-dose CT)"
NEW_LARGE_MM = 8.0
NEW_MANY = 6
"""More new nodules than this, or a new solid one of `NEW_LARGE_MM`, may be an infection."""


def assess_nodule(
    measurements: Measurements,
    nodule_type: NoduleType,
    context: ClinicalContext,
    *,
    new: bool = False,
    priors: Sequence[PriorNodule] = (),
    juxtapleural: bool = False,
    proven_benign: bool = False,
    suspicious: Sequence[str] = (),
) -> LungRadsAssessment:
    """Lung-RADS v2022 category of one nodule; at baseline if neither `new` nor `priors` is given.

    The mean diameter is rounded to 0.1 mm first, as the guideline measures it.

    Parameters
    ----------
    measurements : Measurements
        Unrounded.
    nodule_type : NoduleType
        Calcified nodules get no category.
    context : ClinicalContext
        Whether this is a screening examination.
    new : bool
        An earlier examination did not show the nodule.
    priors : sequence of PriorNodule
        The nodule at earlier examinations, in any order.
    juxtapleural : bool
        At pleura or fissure, with smooth margin, and oval, lentiform or triangular; only solid
        nodules are judged by it.
    proven_benign : bool
        By an appropriate work-up.
    suspicious : sequence of str
        Features that raise suspicion (spiculation, lymphadenopathy ...): 4X is offered for them
        in categories 3 and 4.

    Raises
    ------
    ValueError
        If a new nodule has priors.
    """
    if new and priors:
        raise ValueError(f"a new nodule has {len(priors)} priors, wanted none")
    applicable = applicability(context)
    if applicable == "no":
        return LungRadsAssessment(applicable="no", category=None, why=NOT_SCREENING)
    now = size_now(measurements, nodule_type)
    if priors:
        ruling = rule_seen_before(
            now, priors, juxtapleural=juxtapleural, proven_benign=proven_benign
        )
    else:
        ruling = rule_first_seen(now, new=new, juxtapleural=juxtapleural)
    offered = list(ruling.offered)
    if rank(ruling.category) >= rank("3"):
        offered += [f"4X: {feature}" for feature in suspicious]
    if any(prior.category == "4X" for prior in priors):
        offered.append("4X: so judged before")
    if nodule_type == "ground-glass" and _doubled_within_a_year(measurements, priors):
        offered.append("4X: ground glass that doubled within a year")
    if new and nodule_type == "solid" and now.mean_mm >= NEW_LARGE_MM:
        offered.append(f"0: large new solid nodule, {INFLAMMATION}")
    return to_assessment(
        Ruling(category=ruling.category, why=ruling.why, offered=tuple(offered)), context
    )


def to_assessment(ruling: Ruling, context: ClinicalContext) -> LungRadsAssessment:
    """A row as the guideline's answer, with its management."""
    return LungRadsAssessment(
        applicable=applicability(context),
        category=ruling.category,
        why=ruling.why,
        management=MANAGEMENT.get(ruling.category or ""),
        offered=ruling.offered,
    )


def _doubled_within_a_year(measurements: Measurements, priors: Sequence[PriorNodule]) -> bool:
    """By volume where it is known, else by diameter; the guideline says "size"."""
    return any(
        measurements.volume_mm3 >= 2 * prior.volume_mm3
        if prior.volume_mm3 is not None
        else measurements.mean_diameter_mm >= 2 * prior.mean_diameter_mm
        for prior in priors
        if prior.days_before <= YEAR_DAYS
    )


def assess_exam(
    nodules: Sequence[LungRadsAssessment],
    context: ClinicalContext,
    *,
    coverage: str,
    unseen: bool = False,
    baseline: bool = True,
    new_count: int = 0,
    prior_awaited: bool = False,
    significant: Sequence[str] = (),
) -> LungRadsAssessment:
    """The examination's category: the highest of its nodules'; none without nodules.

    Lungs that are not all there (`coverage`), or of which a part could not be judged (`unseen`:
    effusion, consolidation, collapse ...), are said: a reader may have to choose category 0.

    Parameters
    ----------
    nodules : sequence of LungRadsAssessment
        Of everything that was assessed, airways and cysts included.
    context : ClinicalContext
        Whether this is a screening examination.
    coverage : str
        ``full`` or ``partial``.
    unseen : bool
        A part of the lungs could not be judged.
    baseline : bool
        The nodules were assessed as at baseline.
    new_count : int
        Nodules that an earlier examination did not show.
    prior_awaited : bool
        An earlier CT is being located.
    significant : sequence of str
        Findings beside lung cancer that need attention: S is offered for them.
    """
    applicable = applicability(context)
    doubt, offered = "", []
    if coverage == "partial":
        doubt = " Parts of the lungs are not covered: category 0 may apply."
        offered.append("0: parts of the lungs are not covered")
    elif unseen:
        doubt = " Parts of the lungs could not be judged: category 0 may apply."
        offered.append("0: parts of the lungs could not be judged")
    if applicable == "no":
        return LungRadsAssessment(
            applicable="no", category=None, why=f"Not a screening examination.{doubt}"
        )
    if prior_awaited:
        offered.append("0: an earlier CT is being located")
    if new_count > NEW_MANY:
        offered.append(f"0: {new_count} new nodules, {INFLAMMATION}")
    categories = [item.category for item in nodules if item.category is not None]
    of_nodules = ("0:", "4X:") if categories else ("0:", "1:", "4X:")
    offered += [text for item in nodules for text in item.offered if text.startswith(of_nodules)]
    offered += [f"S: {finding}" for finding in significant]
    unique = tuple(dict.fromkeys(offered))
    if not categories:
        return LungRadsAssessment(
            applicable=applicable,
            category=None,
            why=f"No nodule above the threshold; this does not exclude cancer.{doubt}"
            if not nodules
            else f"Only nodules whose category a reader decides.{doubt}",
            offered=unique,
        )
    highest = max(categories, key=rank)
    count = f"{len(nodules)} nodule{'s' if len(nodules) > 1 else ''}"
    known = "" if applicable == "yes" else " It applies only to a screening examination."
    as_at = ", as at baseline" if baseline else ""
    return LungRadsAssessment(
        applicable=applicable,
        category=highest,
        why=f"Highest category of {count}{as_at}.{known}{doubt}",
        management=MANAGEMENT.get(highest),
        offered=unique,
    )
