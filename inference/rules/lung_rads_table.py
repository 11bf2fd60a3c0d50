"""Lung-RADS v2022: categories, management, and the rows that size and type alone decide.

References
----------
ACR Lung-RADS v2022 assessment categories (November 2022); Christensen et al., J Am Coll Radiol
2024;21:473.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inference.findings import Applicable, ClinicalContext, Measurements, NoduleType, PriorNodule
from inference.rules.rounding import round_tenth_mm

CATEGORY_ORDER = ("1", "2", "3", "4A", "4B")
"""What may be compared; 0 and 4X are a radiologist's."""
MANAGEMENT = {
    "2": "12-month screening low-dose CT",
    "3": "6-month low-dose CT",
    "4A": "3-month low-dose CT; PET/CT may be considered with a solid part of 8 mm or more",
    "4B": "diagnostic chest CT, PET/CT, tissue sampling or referral as appropriate",
}
NOT_SCREENING = "not a screening examination"
SOLID_LIMITS_MM = ((6.0, "2"), (8.0, "3"), (15.0, "4A"))
"""Mean diameter below the limit -> category, else 4B (solid nodules at baseline)."""
NEW_SOLID_LIMITS_MM = ((4.0, "2"), (6.0, "3"), (8.0, "4A"))
"""The same for solid nodules that an earlier examination did not show."""
GROWING_SOLID_LIMITS_MM = ((8.0, "4A"),)
SOLID_PART_LIMITS_MM = ((6.0, "3"), (8.0, "4A"))
"""Mean diameter of the solid part, in part-solid nodules of 6 mm or more in total."""
CHANGED_SOLID_PART_LIMITS_MM = ((4.0, "4A"),)
"""Of a solid part that is new or grew."""
PART_SOLID_TOTAL_MM = 6.0
GROUND_GLASS_LIMIT_MM = 30.0
JUXTAPLEURAL_LIMIT_MM = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedNodule:
    """Type and mean diameters of a nodule, rounded to 0.1 mm as the guideline measures."""

    nodule_type: NoduleType
    mean_mm: float
    solid_mm: float | None
    """Of what is solid: the whole, its solid part, 0 in ground glass; `None` is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """A category and the row that gave it."""

    category: str | None
    why: str
    offered: tuple[str, ...] = ()


def applicability(context: ClinicalContext) -> Applicable:
    """Lung-RADS is for screening examinations only."""
    if context.screening_exam is None:
        return "unknown"
    return "yes" if context.screening_exam else "no"


def size_now(measurements: Measurements, nodule_type: NoduleType) -> SizedNodule:
    """A measured nodule; a part-solid one whose solid part was not measured has none."""
    return _sized(
        nodule_type, measurements.mean_diameter_mm, measurements.solid_mean_diameter_mm or 0.0
    )


def size_before(prior: PriorNodule) -> SizedNodule:
    """A nodule at an earlier examination."""
    return _sized(prior.nodule_type, prior.mean_diameter_mm, prior.solid_mean_diameter_mm)


def _sized(nodule_type: NoduleType, mean_mm: float, part_mm: float | None) -> SizedNodule:
    mean_mm = round_tenth_mm(mean_mm)
    solid_mm: float | None = mean_mm
    if nodule_type == "ground-glass":
        solid_mm = 0.0
    elif nodule_type == "part-solid":
        solid_mm = None if part_mm is None else round_tenth_mm(part_mm)
    return SizedNodule(nodule_type=nodule_type, mean_mm=mean_mm, solid_mm=solid_mm)


def rule_first_seen(
    nodule: SizedNodule, *, new: bool = False, juxtapleural: bool = False
) -> Ruling:
    """The row of a nodule that is seen for the first time.

    Parameters
    ----------
    nodule : SizedNodule
        As it is.
    new : bool
        An earlier examination did not show it; else it is at baseline.
    juxtapleural : bool
        At pleura or fissure, with smooth margin, and oval, lentiform or triangular.
    """
    mean_mm, when = nodule.mean_mm, "new" if new else "at baseline"
    if nodule.nodule_type == "calcified":
        return Ruling(
            category=None,
            why=(
                f"calcified nodule {mean_mm:.1f} mm: category 1 if the pattern is benign "
                "(complete, central, popcorn, rings), which a reader decides"
            ),
            offered=("1: if the calcification is complete, central, popcorn or in rings",),
        )
    if nodule.nodule_type == "ground-glass":
        if mean_mm < GROUND_GLASS_LIMIT_MM:
            return Ruling(category="2", why=f"ground-glass nodule {mean_mm:.1f} mm, below 30 mm")
        return Ruling(category="3", why=f"ground-glass nodule {mean_mm:.1f} mm, 30 mm or more")
    if nodule.nodule_type == "part-solid":
        return _rule_part_solid(nodule, new=new)
    if juxtapleural and mean_mm < JUXTAPLEURAL_LIMIT_MM:
        return Ruling(
            category="2", why=f"juxtapleural solid nodule {mean_mm:.1f} mm, below 10 mm, {when}"
        )
    limits = NEW_SOLID_LIMITS_MM if new else SOLID_LIMITS_MM
    return Ruling(category=below(mean_mm, limits), why=f"solid nodule {mean_mm:.1f} mm {when}")


def _rule_part_solid(nodule: SizedNodule, *, new: bool) -> Ruling:
    mean_mm, solid_mm = nodule.mean_mm, nodule.solid_mm or 0.0
    if mean_mm < PART_SOLID_TOTAL_MM:
        why = f"part-solid nodule {mean_mm:.1f} mm in total, below 6 mm"
        return Ruling(category="3" if new else "2", why=f"{why}, new" if new else why)
    why = f"part-solid nodule {mean_mm:.1f} mm with solid part {solid_mm:.1f} mm"
    if new:
        return Ruling(category=below(solid_mm, CHANGED_SOLID_PART_LIMITS_MM), why=f"{why}, new")
    return Ruling(category=below(solid_mm, SOLID_PART_LIMITS_MM), why=why)


def below(value_mm: float, limits: Sequence[tuple[float, str]]) -> str:
    """Category of the first limit that the value is below, else 4B."""
    return next((category for limit, category in limits if value_mm < limit), "4B")


def rank(category: str | None) -> int:
    """Place in `CATEGORY_ORDER`; -1 for what has none there."""
    return CATEGORY_ORDER.index(category) if category in CATEGORY_ORDER else -1
