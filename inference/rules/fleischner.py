"""Fleischner 2017: follow-up of nodules that were found incidentally.

For adults of 35 years or more without a known cancer that may have spread and without
immunosuppression, outside screening. Deliberately absent: the judgement of risk, which a clinician
makes; and which nodule is the most suspicious beyond type and size.

References
----------
MacMahon et al., Radiology 2017;284:228 (table 1, recommendations 1 to 5). Diameters are means of
long and short axis, to 1 mm: Bankier et al., Radiology 2017;285:584.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from inference.findings import (
    Applicable,
    ClinicalContext,
    FleischnerAssessment,
    NoduleType,
)
from inference.rules.rounding import round_whole_mm

Measure = Literal["diameter", "volume"]
ADULT_YEARS = 35
SMALL_MM, SMALL_MM3 = 6, 100.0
"""Below: hardly ever followed."""
LARGE_MM, LARGE_MM3 = 8, 250.0
"""Above: a solid nodule asks for more than a CT in half a year."""
MASS_MM = 30
"""Above it is no nodule (Fleischner glossary, Radiology 2008;246:697)."""

NONE = "no routine follow-up"
OPTIONAL = "optional CT at 12 months"


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedNodule:
    """What the guideline asks of a nodule; unrounded."""

    nodule_type: NoduleType
    mean_diameter_mm: float
    solid_mean_diameter_mm: float | None = None
    """Of the solid part of a part-solid nodule."""
    volume_mm3: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A row of the table; the higher `rank`, the sooner something is done."""

    rank: int
    low: str
    high: str


def assess_nodule(
    nodule: SizedNodule,
    context: ClinicalContext,
    *,
    others: Sequence[SizedNodule] = (),
    by: Measure = "diameter",
) -> FleischnerAssessment:
    """What the guideline recommends for one nodule.

    Parameters
    ----------
    nodule : SizedNodule
        The nodule.
    context : ClinicalContext
        Age, risk and what excludes the patient.
    others : sequence of SizedNodule
        Of the same examination. Nodules are multiple among their like: solid, or subsolid.
    by : {"diameter", "volume"}
        What decides the size; the solid part is always judged by its diameter.

    Raises
    ------
    ValueError
        If the volume shall decide and is not known.
    """
    refused = _refused(context)
    if refused is not None:
        return refused
    what = _describe(nodule, others, by)
    if nodule.nodule_type == "calcified":
        return FleischnerAssessment(
            applicable=_applicable(context),
            recommendation=None,
            why=f"{what}: benign if the pattern is, which a reader decides",
            missing=_unknown(context),
        )
    return _assessment(_row(nodule, others, by), what, nodule, context)


def assess_exam(
    nodules: Sequence[SizedNodule], context: ClinicalContext, *, by: Measure = "diameter"
) -> FleischnerAssessment:
    """What the guideline recommends for the examination: as its most suspicious nodule asks.

    The most suspicious one by type and size; a reader may see another. Nodules that are not
    given are not counted.
    """
    refused = _refused(context)
    if refused is not None:
        return refused
    if all(item.nodule_type == "calcified" for item in nodules):
        return FleischnerAssessment(
            applicable=_applicable(context),
            recommendation=None,
            why="Only calcified nodules: benign if the pattern is, which a reader decides"
            if nodules
            else "No nodule above the threshold; this does not exclude cancer",
            missing=_unknown(context),
        )
    rows = []
    for place, item in enumerate(nodules):
        others = (*nodules[:place], *nodules[place + 1 :])
        if item.nodule_type != "calcified":
            rows.append((_row(item, others, by), item, _describe(item, others, by)))
    row, nodule, what = max(rows, key=lambda entry: (entry[0].rank, entry[1].mean_diameter_mm))
    if len(nodules) > 1:
        what = f"Most suspicious by type and size of {len(nodules)} nodules: {what}"
    return _assessment(row, what, nodule, context)


def _assessment(
    row: _Row, what: str, nodule: SizedNodule, context: ClinicalContext
) -> FleischnerAssessment:
    unknown = _unknown(context)
    missing = list(unknown)
    if row.low == row.high:
        recommendation = row.low
    elif context.high_risk is None:
        recommendation = f"low risk: {row.low}; high risk: {row.high}"
        missing.append("high_risk")
    else:
        recommendation = row.high if context.high_risk else row.low
    if nodule.nodule_type == "part-solid" and nodule.solid_mean_diameter_mm is None:
        missing.append("solid_mean_diameter_mm")
    known = f". It applies only if these allow it: {', '.join(unknown)}" if unknown else ""
    return FleischnerAssessment(
        applicable=_applicable(context),
        recommendation=recommendation,
        why=f"{what}{known}",
        missing=tuple(missing),
    )


def _row(nodule: SizedNodule, others: Sequence[SizedNodule], by: Measure) -> _Row:
    """The row of a nodule that is not calcified."""
    alone = _single(nodule, by)
    if alone.rank > 5 or not _multiple(nodule, others):
        return alone
    small = _is_small(nodule, by)
    if nodule.nodule_type == "solid":
        if small:
            return _Row(rank=1, low=NONE, high=OPTIONAL)
        row = _Row(
            rank=max(3, alone.rank),
            low="CT at 3-6 months, then consider CT at 18-24 months",
            high="CT at 3-6 months, then CT at 18-24 months",
        )
    elif small:
        return _both(2, "CT at 3-6 months; if stable, consider CT at 2 and 4 years")
    else:
        row = _both(max(3, alone.rank), "CT at 3-6 months, then as the most suspicious nodule asks")
    if alone.rank < 5:
        return row
    more = f"; this nodule alone: {alone.low}"
    return _Row(rank=row.rank, low=row.low + more, high=row.high + more)


def _single(nodule: SizedNodule, by: Measure) -> _Row:
    if round_whole_mm(nodule.mean_diameter_mm) > MASS_MM:
        return _both(6, "over 30 mm: beyond this guideline, a clinician decides")
    small = _is_small(nodule, by)
    if nodule.nodule_type == "ground-glass":
        if small:
            return _both(0, NONE)
        return _both(2, "CT at 6-12 months; if persistent, CT every 2 years until 5 years")
    if nodule.nodule_type == "part-solid":
        return _both(0, NONE) if small else _part_solid(nodule.solid_mean_diameter_mm)
    if small:
        return _Row(rank=1, low=NONE, high=OPTIONAL)
    if _is_large(nodule, by):
        return _both(5, "consider CT at 3 months, PET/CT or tissue sampling")
    return _Row(
        rank=2,
        low="CT at 6-12 months, then consider CT at 18-24 months",
        high="CT at 6-12 months, then CT at 18-24 months",
    )


def _part_solid(solid_part_mm: float | None) -> _Row:
    """Recommendation 4, for 6 mm or more in total."""
    first = "CT at 3-6 months to confirm persistence"
    if solid_part_mm is None:
        return _both(3, f"{first}, then by the size of the solid part")
    solid_mm = round_whole_mm(solid_part_mm)
    if solid_mm < SMALL_MM:
        return _both(3, f"{first}; if unchanged, CT every year for 5 years")
    if solid_mm <= LARGE_MM:
        return _both(4, f"{first}; persistent with such a solid part it is highly suspicious")
    return _both(5, f"{first}; PET/CT, biopsy or resection are recommended")


def _both(rank: int, text: str) -> _Row:
    return _Row(rank=rank, low=text, high=text)


def _is_small(nodule: SizedNodule, by: Measure) -> bool:
    if by == "volume":
        return _volume(nodule) < SMALL_MM3
    return round_whole_mm(nodule.mean_diameter_mm) < SMALL_MM


def _is_large(nodule: SizedNodule, by: Measure) -> bool:
    if by == "volume":
        return _volume(nodule) > LARGE_MM3
    return round_whole_mm(nodule.mean_diameter_mm) > LARGE_MM


def _volume(nodule: SizedNodule) -> float:
    if nodule.volume_mm3 is None:
        raise ValueError("the volume shall decide and is not known")
    return nodule.volume_mm3


def _multiple(nodule: SizedNodule, others: Sequence[SizedNodule]) -> bool:
    solid = nodule.nodule_type == "solid"
    return any(
        item.nodule_type != "calcified" and (item.nodule_type == "solid") == solid
        for item in others
    )


def _describe(nodule: SizedNodule, others: Sequence[SizedNodule], by: Measure) -> str:
    size = (
        f"{_volume(nodule):.0f} mm3"
        if by == "volume"
        else f"{round_whole_mm(nodule.mean_diameter_mm)} mm"
    )
    part = ""
    if nodule.nodule_type == "part-solid" and nodule.solid_mean_diameter_mm is not None:
        part = f" with solid part {round_whole_mm(nodule.solid_mean_diameter_mm)} mm"
    many = "one of several" if _multiple(nodule, others) else "the only one"
    return f"{nodule.nodule_type} nodule {size}{part}, {many} of its kind"


def _refused(context: ClinicalContext) -> FleischnerAssessment | None:
    """The answer for a patient whom the guideline excludes, with every reason."""
    reasons = []
    if context.screening_exam:
        reasons.append("a screening examination")
    if context.age_years is not None and context.age_years < ADULT_YEARS:
        reasons.append(f"under {ADULT_YEARS} years")
    if context.known_cancer:
        reasons.append("a known cancer")
    if context.immunosuppressed:
        reasons.append("immunosuppression")
    if not reasons:
        return None
    return FleischnerAssessment(
        applicable="no", recommendation=None, why=f"Not meant for: {', '.join(reasons)}"
    )


def _unknown(context: ClinicalContext) -> tuple[str, ...]:
    """Inputs on which it depends whether the guideline is meant for the patient."""
    inputs: dict[str, object] = {
        "screening_exam": context.screening_exam,
        "age": context.age_years,
        "known_cancer": context.known_cancer,
        "immunosuppressed": context.immunosuppressed,
    }
    return tuple(name for name, value in inputs.items() if value is None)


def _applicable(context: ClinicalContext) -> Applicable:
    return "unknown" if _unknown(context) else "yes"
