"""Brock (PanCan) risk of cancer, full model with spiculation (model 2b).

Deliberately absent: model 2a, without spiculation. Its coefficients were found in one secondary
source only, and a report must not rest on that.

References
----------
McWilliams et al., N Engl J Med 2013;369:910. The coefficients agree with table 2 of PMC6717521.
"""

from __future__ import annotations

import math

from inference.findings import BrockEstimate, ClinicalContext, NoduleType

INTERCEPT = -6.7892
PER_YEAR = 0.0287
AGE_YEARS = 62
FEMALE = 0.6011
FAMILY_HISTORY = 0.2961
EMPHYSEMA = 0.2953
SIZE = -5.3854
"""Per (d / 10 mm) ** -0.5, centred at 4 mm."""
SIZE_CENTRE = 1.58113883
DENSITY = {"ground-glass": -0.1276, "part-solid": 0.377}
UPPER_LOBE = 0.6581
PER_NODULE = -0.0824
NODULES = 4
SPICULATION = 0.7729


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
    logit = (
        INTERCEPT
        + PER_YEAR * (context.age_years - AGE_YEARS)
        + FEMALE * (context.sex == "F")
        + FAMILY_HISTORY * bool(context.family_history_lung_cancer)
        + EMPHYSEMA * bool(context.emphysema)
        + SIZE * ((max_diameter_mm / 10) ** -0.5 - SIZE_CENTRE)
        + DENSITY.get(nodule_type, 0.0)
        + UPPER_LOBE * bool(upper_lobe)
        + PER_NODULE * (nodule_count - NODULES)
        + SPICULATION * bool(spiculation)
    )
    return BrockEstimate(probability=1 / (1 + math.exp(-logit)), missing=())
