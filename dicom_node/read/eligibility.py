"""Ordered header rules: whether a series may be analysed, and if not, why.

The rules are data (`rules.yaml`, or a hospital's own file). Rules that need pixels are not
here: they run in the worker.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from dicom_node.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME
from dicom_node.read.geometry import SeriesGeometry
from dicom_node.read.header import InstanceHeader
from dicom_node.read.rules import (
    FIELDS,
    PRIVATE_FIELDS,
    InvalidRules,
    Rule,
    RuleSet,
    Value,
    age_years,
    load_rules,
)

__all__ = [
    "EligibilityVerdict",
    "InvalidRules",
    "RuleCheck",
    "RuleSet",
    "age_years",
    "is_of_its_kind",
    "is_own_header",
    "judge",
    "load_rules",
    "names_chest",
    "rank_series",
]

Outcome = Literal["pass", "warn", "not_eligible"]
SHARP_KERNEL = re.compile(
    r"(?i)^(b[6-9]\d|(b[lr]|i|q?r|y)[6-9]\d|bl5\d|lung|bone|edge|l$|y[c-e]$|fc[58]\d|[67]\d)"
)
"""Edge-enhancing reconstruction kernels of the common vendors: noisier, wrong densities."""
PREFERRED_SPACING_MM = 2.5
"""Thinner than this does not make a series better (ACR-STR practice parameter for screening)."""

COVERAGE_STEP_MM = 50.0
UNKNOWN_SPACING_MM = 99.0
"""Ranks a series without geometry behind every other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCheck:
    """What one rule found."""

    rule_id: str
    passed: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EligibilityVerdict:
    """What the rules say of a series; `code` and `reason` are of the first that refuses."""

    eligible: bool
    code: str | None
    reason: str
    warnings: tuple[str, ...]
    checks: tuple[RuleCheck, ...]
    refused_by: tuple[str, ...] = ()
    """Every rule that refuses, by its id."""


def is_own_header(header: InstanceHeader) -> bool:
    """Tell whether an instance is one of our own results (loop guard)."""
    return (
        header.manufacturer == MANUFACTURER
        and header.manufacturer_model_name == MANUFACTURER_MODEL_NAME
        and header.modality != "CT"
    )


def judge(
    headers: Sequence[InstanceHeader], geometry: SeriesGeometry, rules: RuleSet
) -> EligibilityVerdict:
    """Judge a series by the headers of all its instances and by its geometry.

    A rule looks at every value that the instances have, so the verdict does not depend on
    which of them arrived first, and one instance that must not be there refuses the series.

    Parameters
    ----------
    headers : sequence of InstanceHeader
        At least one.
    geometry : SeriesGeometry
        Of the same instances; its own problems are not judged here.
    rules : RuleSet
        Every rule is tried, so that the checks are complete; the first refusal decides.
    """
    checks: list[RuleCheck] = []
    warnings: list[str] = []
    refused_by: list[str] = []
    refusal: tuple[str, str] | None = None
    if any(map(is_own_header, headers)):
        refusal = ("own_object", "our own result came back: never analysed (loop guard)")

    @cache
    def values(field: str) -> tuple[Value, ...]:
        found = dict.fromkeys(FIELDS[field](header, geometry) for header in headers)
        return tuple(sorted((value for value in found if value not in (None, "", ())), key=str))

    for rule in rules.rules:
        exempt = rule.unless is not None and any(
            rule.unless.when.holds(value) for value in values(rule.unless.field)
        )
        verdict, text = _exempt(rule) if exempt else _try(rule, values(rule.field))
        checks.append(RuleCheck(rule_id=rule.id, passed=verdict == "pass", text=text))
        if verdict == "warn":
            warnings.append(text)
        elif verdict == "not_eligible":
            refused_by.append(rule.id)
            refusal = refusal or (rule.id, text)
    code, reason = refusal or (None, "")
    return EligibilityVerdict(
        eligible=refusal is None,
        code=code,
        reason=reason,
        warnings=tuple(warnings),
        checks=tuple(checks),
        refused_by=tuple(refused_by),
    )


def is_of_its_kind(
    headers: Sequence[InstanceHeader], verdict: EligibilityVerdict, rules: RuleSet
) -> bool:
    """Tell whether a series is of the kind that is analysed, good enough or not.

    False for what a result is never expected of: localizers, reformats, dose sheets, other
    modalities and regions, our own results. Which rules say so, they say themselves (`tells`).
    """
    telling = {rule.id for rule in rules.rules if rule.tells}
    return not any(map(is_own_header, headers)) and telling.issuperset(verdict.refused_by)


def names_chest(
    headers: Sequence[InstanceHeader], geometry: SeriesGeometry, rules: RuleSet
) -> bool | None:
    """Tell whether a series says that it is of the chest; `None` when it names no region."""
    if rules.chest is None:
        return None
    regions = {FIELDS[rules.chest.field](header, geometry) for header in headers}
    named = [region for region in regions if region not in (None, "", ())]
    return any(map(rules.chest.when.holds, named)) if named else None


def _exempt(rule: Rule) -> tuple[Outcome, str]:
    return "pass", f"not asked, by its exemption: {rule.unless.field if rule.unless else ''}"


def _try(rule: Rule, values: Sequence[Value]) -> tuple[Outcome, str]:
    """A rule's verdict on the distinct values of a series, and what it found."""
    if not values:
        name = rule.field.removesuffix("_years").removesuffix("_mm").replace("_", " ")
        outcome: dict[str, Outcome] = {"refuse": "not_eligible", "warn": "warn", "pass": "pass"}
        return outcome[rule.absent], f"{name} is unknown"
    for value in values:
        if rule.condition.holds(value) is (rule.require is None):
            text = rule.reason.replace("{found}", _shown(value))
            text = text.replace("{match}", rule.condition.matched(value))
            return rule.outcome, text.replace("{limit}", rule.condition.limit)
    shown = "checked" if rule.field in PRIVATE_FIELDS else ", ".join(map(_shown, values))
    return "pass", f"{rule.field}: {shown}"


def _shown(value: Value) -> str:
    if isinstance(value, tuple):
        return "\\".join(value)
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def rank_series(headers: Sequence[InstanceHeader], geometry: SeriesGeometry) -> tuple[float, ...]:
    """A key by which the best series of a study sorts last.

    In this order, each deciding only among equals in the former:

    1. spacing and thickness, as far as they exceed 2.5 mm: what is thinner than a screening
       protocol asks for detects no better, what is thicker misses nodules;
    2. coverage along the body, in steps of 5 cm: both lungs whole before anything finer;
    3. original before derived: reformats resample densities;
    4. a kernel that does not sharpen: noise makes false positives, overshoot wrong densities;
    5. the finer spacing, for the measurements;
    6. more slices.
    """
    header = headers[0]
    spacing_mm = geometry.spacing_mm or UNKNOWN_SPACING_MM
    coarsest_mm = max(spacing_mm, header.slice_thickness_mm or 0.0)
    return (
        -round(max(coarsest_mm, PREFERRED_SPACING_MM), 2),
        round(geometry.extent_mm / COVERAGE_STEP_MM),
        float("DERIVED" not in header.image_type),
        float(not SHARP_KERNEL.match(header.convolution_kernel)),
        -spacing_mm,
        float(len(headers)),
    )
