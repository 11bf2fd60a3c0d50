"""Lung-RADS v2022: airway nodules and atypical cysts, as somebody describes them.

Neither is found or measured here; these rows answer what a reader or a report says.

References
----------
ACR Lung-RADS v2022 assessment categories (November 2022); Christensen et al., J Am Coll Radiol
2024;21:473.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inference.findings import ClinicalContext, LungRadsAssessment
from inference.rules.lung_rads import to_assessment
from inference.rules.lung_rads_follow_up import STEP_DOWN
from inference.rules.lung_rads_table import NOT_SCREENING, Ruling, applicability

AirwayPlace = Literal["subsegmental", "segmental or more proximal"]
Change = Literal["baseline", "new", "stable", "growing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cyst:
    """A cyst with an air-filled cavity, as a reader describes it."""

    thick_walled: bool
    """Wall of 2 mm or more, asymmetric or nodular."""
    multilocular: bool
    """Had internal septa before, or has them at baseline."""
    became_multilocular: bool = False
    cavity_grew: bool = False
    """In mean diameter."""
    wall_grew: bool = False
    """In thickness or nodularity."""
    denser: bool = False
    """More loculated, or new or increased opacity."""
    stable_days: float | None = None
    """Since an earlier examination that showed the same cyst as category 4A; `None` without."""


def assess_airway_nodule(
    place: AirwayPlace, change: Change, context: ClinicalContext
) -> LungRadsAssessment:
    """Lung-RADS v2022 category of a nodule in an airway.

    A new segmental nodule is taken as one at baseline, for which alone there is a row; a growing
    subsegmental one has no row.
    """
    if applicability(context) == "no":
        return LungRadsAssessment(applicable="no", category=None, why=NOT_SCREENING)
    why = f"airway nodule, {place}, {change}"
    if place == "subsegmental":
        if change == "growing":
            return to_assessment(Ruling(category=None, why=f"{why}: a reader decides"), context)
        return to_assessment(Ruling(category="2", why=why), context)
    category = "4A" if change in ("baseline", "new") else "4B"
    return to_assessment(Ruling(category=category, why=why), context)


def assess_cyst(cyst: Cyst, context: ClinicalContext) -> LungRadsAssessment:
    """Lung-RADS v2022 category of a cyst; thin-walled unilocular ones are not classified."""
    if applicability(context) == "no":
        return LungRadsAssessment(applicable="no", category=None, why=NOT_SCREENING)
    return to_assessment(_rule_cyst(cyst), context)


def _rule_cyst(cyst: Cyst) -> Ruling:
    if cyst.thick_walled and cyst.wall_grew:
        return Ruling(category="4B", why="thick-walled cyst, wall thicker or more nodular")
    if cyst.multilocular and cyst.cavity_grew:
        return Ruling(category="4B", why="growing multilocular cyst")
    if cyst.multilocular and cyst.denser:
        return Ruling(category="4B", why="multilocular cyst, more loculated or more opaque")
    if cyst.became_multilocular:
        return Ruling(category="4A", why="cyst that became multilocular")
    if cyst.thick_walled and cyst.cavity_grew:
        return Ruling(category="3", why="thick-walled cyst with a growing cavity")
    if not (cyst.thick_walled or cyst.multilocular):
        return Ruling(category=None, why="thin-walled unilocular cyst: not classified")
    kind = "multilocular" if cyst.multilocular else "thick-walled"
    lower, from_days, appointment = STEP_DOWN["4A"]
    if cyst.stable_days is not None and cyst.stable_days >= from_days:
        return Ruling(
            category=lower, why=f"{kind} cyst: category 4A stable at {appointment} follow-up"
        )
    return Ruling(category="4A", why=f"{kind} cyst")
