"""Rules beside any model: Lung-RADS v2022 at baseline, and the Brock (PanCan) risk.

Deliberately absent: category 1 or 2 from the mere absence of detections; modifiers S and 4X
and category 0, which a radiologist sets; growth, which needs a prior.

References
----------
ACR Lung-RADS v2022 assessment categories; Christensen et al., J Am Coll Radiol 2024;21:473.
McWilliams et al., N Engl J Med 2013;369:910 (full model with spiculation).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from inference.findings import (
    BrockEstimate,
    ClinicalContext,
    LungRadsAssessment,
    Measurements,
    NoduleType,
)

CATEGORY_ORDER = ("1", "2", "3", "4A", "4B")
MANAGEMENT = {
    "2": "12-month screening low-dose CT",
    "3": "6-month low-dose CT",
    "4A": "3-month low-dose CT; PET/CT may be considered with a solid part of 8 mm or more",
    "4B": "diagnostic chest CT, PET/CT, tissue sampling or referral as appropriate",
}
SOLID_LIMITS_MM = ((6.0, "2"), (8.0, "3"), (15.0, "4A"))
"""Mean diameter below the limit -> category, else 4B (solid nodules at baseline)."""
SOLID_PART_LIMITS_MM = ((6.0, "3"), (8.0, "4A"))
"""Mean diameter of the solid part, in part-solid nodules of 6 mm or more in total."""
PART_SOLID_TOTAL_MM = 6.0
GROUND_GLASS_LIMIT_MM = 30.0


def assess_nodule(
    measurements: Measurements, nodule_type: NoduleType, context: ClinicalContext
) -> LungRadsAssessment:
    """Lung-RADS v2022 category of one nodule at a baseline examination.

    The mean diameter is rounded to 0.1 mm first, as the guideline measures it.
    """
    applicable = _applicable(context)
    if applicable == "no":
        return LungRadsAssessment(applicable="no", category=None, why="not a screening examination")
    mean_mm = round_mm(measurements.mean_diameter_mm)
    category, why = _category(mean_mm, nodule_type, measurements.solid_mean_diameter_mm)
    return LungRadsAssessment(
        applicable=applicable,
        category=category,
        why=why,
        management=MANAGEMENT.get(category or ""),
    )


def round_mm(value_mm: float) -> float:
    """To 0.1 mm, halves away from zero (not to even, which people do not do)."""
    return math.floor(value_mm * 10 + 0.5) / 10


def _category(
    mean_mm: float, nodule_type: NoduleType, solid_part_mm: float | None
) -> tuple[str | None, str]:
    if nodule_type == "calcified":
        return None, (
            f"calcified nodule {mean_mm:.1f} mm: category 1 if the pattern is benign (complete, "
            "central, popcorn, rings), which a reader decides"
        )
    if nodule_type == "ground-glass":
        if mean_mm < GROUND_GLASS_LIMIT_MM:
            return "2", f"ground-glass nodule {mean_mm:.1f} mm, below 30 mm"
        return "3", f"ground-glass nodule {mean_mm:.1f} mm, 30 mm or more"
    if nodule_type == "part-solid":
        if mean_mm < PART_SOLID_TOTAL_MM:
            return "2", f"part-solid nodule {mean_mm:.1f} mm in total, below 6 mm"
        solid_mm = round_mm(solid_part_mm or 0.0)
        category = _below(solid_mm, SOLID_PART_LIMITS_MM)
        return category, f"part-solid nodule {mean_mm:.1f} mm with solid part {solid_mm:.1f} mm"
    return _below(mean_mm, SOLID_LIMITS_MM), f"solid nodule {mean_mm:.1f} mm at baseline"


def _below(value_mm: float, limits: Sequence[tuple[float, str]]) -> str:
    return next((category for limit, category in limits if value_mm < limit), "4B")


def _applicable(context: ClinicalContext) -> Literal["yes", "no", "unknown"]:
    if context.screening_exam is None:
        return "unknown"
    return "yes" if context.screening_exam else "no"


def assess_exam(
    nodules: Sequence[LungRadsAssessment],
    context: ClinicalContext,
    *,
    coverage: str,
    unseen: bool = False,
) -> LungRadsAssessment:
    """The examination's category: the highest of its nodules'; none without nodules.

    Lungs that are not all there (`coverage`), or of which a part could not be judged (`unseen`:
    effusion, consolidation, collapse ...), are said: a reader may have to choose category 0.
    """
    applicable = _applicable(context)
    doubt = ""
    if coverage == "partial":
        doubt = " Parts of the lungs are not covered: category 0 may apply."
    elif unseen:
        doubt = " Parts of the lungs could not be judged: category 0 may apply."
    if applicable == "no":
        return LungRadsAssessment(
            applicable="no", category=None, why=f"Not a screening examination.{doubt}"
        )
    categories = [item.category for item in nodules if item.category is not None]
    if not categories:
        return LungRadsAssessment(
            applicable=applicable,
            category=None,
            why=f"No nodule above the threshold; this does not exclude cancer.{doubt}"
            if not nodules
            else f"Only nodules whose category a reader decides.{doubt}",
        )
    highest = max(categories, key=CATEGORY_ORDER.index)
    count = f"{len(nodules)} nodule{'s' if len(nodules) > 1 else ''}"
    known = "" if applicable == "yes" else " It applies only to a screening examination."
    return LungRadsAssessment(
        applicable=applicable,
        category=highest,
        why=f"Highest category of {count}, as at baseline.{known}{doubt}",
        management=MANAGEMENT.get(highest),
    )


def brock(
    *,
    max_diameter_mm: float,
    nodule_type: NoduleType,
    nodule_count: int,
    context: ClinicalContext,
    upper_lobe: bool | None,
    spiculation: bool | None,
) -> BrockEstimate:
    """PanCan / Brock full model with spiculation (model 2b).

    Parameters
    ----------
    max_diameter_mm : float
        Longest diameter, mm; over 0.
    nodule_type : NoduleType
        Calcified nodules count as solid.
    nodule_count : int
        In the examination.
    context : ClinicalContext
        Age, sex, emphysema and family history.
    upper_lobe, spiculation : bool or None
        `None` is unknown.

    Returns
    -------
    BrockEstimate
        Probability of cancer, 0 to 1, only when every input is known.
    """
    inputs: dict[str, object] = {
        "age": context.age_years,
        "sex": context.sex,
        "family_history_lung_cancer": context.family_history_lung_cancer,
        "emphysema": context.emphysema,
        "upper_lobe": upper_lobe,
        "spiculation": spiculation,
    }
    missing = tuple(name for name, value in inputs.items() if value is None)
    if missing or context.age_years is None:
        return BrockEstimate(probability=None, missing=missing)
    density = {"ground-glass": -0.1276, "part-solid": 0.377}.get(nodule_type, 0.0)
    logit = (
        -6.7892
        + 0.0287 * (context.age_years - 62)
        + 0.6011 * (context.sex == "F")
        + 0.2961 * bool(context.family_history_lung_cancer)
        + 0.2953 * bool(context.emphysema)
        - 5.3854 * ((max_diameter_mm / 10) ** -0.5 - 1.58113883)
        + density
        + 0.6581 * bool(upper_lobe)
        - 0.0824 * (nodule_count - 4)
        + 0.7729 * bool(spiculation)
    )
    return BrockEstimate(probability=1 / (1 + math.exp(-logit)), missing=())
