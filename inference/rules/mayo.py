"""Mayo Clinic risk of malignancy of a pulmonary nodule of 4 to 30 mm.

The model was made on indeterminate nodules of patients without a cancer in the last five years:
it is withheld for others.

References
----------
Swensen et al., Arch Intern Med 1997;157:849. The coefficients agree in three sources;
PMC6717521 prints the intercept as -6.872, a misprint.
"""

from __future__ import annotations

import math

from inference.findings import ClinicalContext, MayoEstimate, NoduleType

INTERCEPT = -6.8272
PER_YEAR = 0.0391
EVER_SMOKER = 0.7917
EXTRATHORACIC_CANCER = 1.3388
PER_MM = 0.1274
SPICULATION = 1.0407
UPPER_LOBE = 0.7838
SIZE_MM = (4.0, 30.0)


def mayo(
    *,
    diameter_mm: float,
    nodule_type: NoduleType,
    context: ClinicalContext,
    upper_lobe: bool | None,
    spiculation: bool | None,
) -> MayoEstimate:
    """Mayo Clinic model.

    Parameters
    ----------
    diameter_mm : float
        Longest diameter, mm.
    nodule_type : NoduleType
        The model knows no types; calcified nodules are outside it.
    context : ClinicalContext
        Age, smoking, cancers.
    upper_lobe, spiculation : bool or None
        `None` is unknown.

    Returns
    -------
    MayoEstimate
        Probability of malignancy, 0 to 1, only when every input is known and the model holds.
    """
    withheld = _outside(diameter_mm, nodule_type, context)
    if withheld is not None:
        return MayoEstimate(probability=None, withheld=withheld)
    inputs: dict[str, object] = {
        "age": context.age_years,
        "ever_smoker": context.ever_smoker,
        "extrathoracic_cancer_over_5_years": context.extrathoracic_cancer_over_5_years,
        "known_cancer": context.known_cancer,
        "upper_lobe": upper_lobe,
        "spiculation": spiculation,
    }
    missing = tuple(name for name, value in inputs.items() if value is None)
    if missing or context.age_years is None:
        return MayoEstimate(probability=None, missing=missing)
    logit = (
        INTERCEPT
        + PER_YEAR * context.age_years
        + EVER_SMOKER * bool(context.ever_smoker)
        + EXTRATHORACIC_CANCER * bool(context.extrathoracic_cancer_over_5_years)
        + PER_MM * diameter_mm
        + SPICULATION * bool(spiculation)
        + UPPER_LOBE * bool(upper_lobe)
    )
    return MayoEstimate(probability=1 / (1 + math.exp(-logit)))


def _outside(diameter_mm: float, nodule_type: NoduleType, context: ClinicalContext) -> str | None:
    smallest, largest = SIZE_MM
    if not smallest <= diameter_mm <= largest:
        return f"made for {smallest:g} to {largest:g} mm, this nodule has {diameter_mm:.1f} mm"
    if nodule_type == "calcified":
        return "made for nodules without calcification"
    if context.known_cancer:
        return "made for patients without lung cancer or a cancer in the last five years"
    return None
