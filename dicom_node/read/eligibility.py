"""Ordered header rules: whether a series may be analysed, and if not, why.

The rules are data (`rules.yaml`, or a hospital's own file). Rules that need pixels are not
here: they run in the worker.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dicom_node.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME
from dicom_node.read.geometry import SeriesGeometry
from dicom_node.read.header import InstanceHeader

Value = str | float | tuple[str, ...] | None
AGE_PATTERN = re.compile(r"(\d{3})([DWMY])")
UNITS_PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}
SHARP_KERNEL = re.compile(r"(?i)^(b[6-9]\d|lung|bone|edge|[by]?[67]\d)")
"""Edge-enhancing reconstruction kernels of the common vendors: noisier, wrong densities."""
PREFERRED_SPACING_MM = 2.5
"""Thinner than this does not make a series better (ACR-STR practice parameter for screening)."""


def age_years(header: InstanceHeader) -> float | None:
    """Age at the study: from Patient's Age, else from birth date and study date."""
    match = AGE_PATTERN.fullmatch(header.patient_age)
    if match:
        return round(int(match[1]) / UNITS_PER_YEAR[match[2]], 1)
    try:
        born = datetime.strptime(header.identity.birth_date, "%Y%m%d").date()
        seen = datetime.strptime(header.identity.study_date, "%Y%m%d").date()
    except ValueError:
        return None
    return float(_whole_years(born, seen))


def _whole_years(born: date, seen: date) -> int:
    return seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))


def _all_text(header: InstanceHeader) -> str:
    return " | ".join(
        (
            header.identity.patient_name.replace("^", " "),
            header.identity.patient_id,
            header.study_description,
            header.series_description,
            header.protocol_name,
        )
    )


FIELDS: dict[str, Callable[[InstanceHeader, SeriesGeometry], Value]] = {
    "modality": lambda header, _: header.modality,
    "sop_class_uid": lambda header, _: header.sop_class_uid,
    "image_type": lambda header, _: header.image_type,
    "series_description": lambda header, _: header.series_description,
    "study_description": lambda header, _: header.study_description,
    "protocol_name": lambda header, _: header.protocol_name,
    "body_part_examined": lambda header, _: header.body_part_examined.upper().replace(" ", ""),
    "manufacturer": lambda header, _: header.manufacturer,
    "convolution_kernel": lambda header, _: header.convolution_kernel,
    "lossy_image_compression": lambda header, _: header.lossy_image_compression,
    "burned_in_annotation": lambda header, _: header.burned_in_annotation.upper(),
    "samples_per_pixel": lambda header, _: header.samples_per_pixel,
    "age_years": lambda header, _: age_years(header),
    "slice_thickness_mm": lambda header, _: header.slice_thickness_mm,
    "pixel_spacing_mm": lambda header, _: max(header.pixel_spacing_mm or (), default=None),
    "slice_spacing_mm": lambda _, geometry: geometry.spacing_mm,
    "all_text": lambda header, _: _all_text(header),
}
"""What a rule may look at. Text is compared without regard to case."""


class Condition(BaseModel):
    """One condition on a field's value; exactly one operator."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    equals: str | None = None
    one_of: tuple[str, ...] | None = None
    contains_any: tuple[str, ...] | None = None
    matches: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    @field_validator("matches")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"{value!r} is no regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _one_operator(self) -> Condition:
        if len(self.model_fields_set) != 1:
            raise ValueError("exactly one operator is needed")
        return self

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self.matches or "", re.IGNORECASE)

    def holds(self, value: Value) -> bool:
        """Tell whether a value meets the condition."""
        texts = [item.casefold() for item in ([value] if isinstance(value, str) else value or ())] \
            if not isinstance(value, int | float) else [f"{value:g}"]  # fmt: skip
        if self.equals is not None:
            return texts == [self.equals.casefold()]
        if self.one_of is not None:
            return any(text == item.casefold() for text in texts for item in self.one_of)
        if self.contains_any is not None:
            return any(text == item.casefold() for text in texts for item in self.contains_any)
        if self.matches is not None:
            return any(self._pattern.search(text) for text in texts)
        if not isinstance(value, int | float):
            return False
        if self.at_least is not None:
            return value >= self.at_least
        return self.at_most is not None and value <= self.at_most


class Rule(BaseModel):
    """One rule; see the head of `rules.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    field: str
    require: Condition | None = None
    refuse: Condition | None = None
    absent: Literal["pass", "warn", "refuse"] = "pass"
    outcome: Literal["not_eligible", "warn"] = "not_eligible"
    reason: str

    @model_validator(mode="after")
    def _makes_sense(self) -> Rule:
        if (self.require is None) == (self.refuse is None):
            raise ValueError(f"rule {self.id}: needs either require or refuse")
        if self.field not in FIELDS:
            raise ValueError(f"rule {self.id}: no field {self.field}, there are {sorted(FIELDS)}")
        return self


class RuleSet(BaseModel):
    """Rules in the order in which they are tried."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: tuple[Rule, ...]


class InvalidRules(ValueError):
    """A rules file is not YAML, or not of the rules' form."""


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


def load_rules(path: Path | None = None) -> RuleSet:
    """Read rules from a file, or the packaged ones.

    Raises
    ------
    InvalidRules
        With the place and what is wrong.
    OSError
        If the file cannot be read.
    """
    where = str(path or "rules.yaml")
    text = (path or files("dicom_node.read").joinpath("rules.yaml")).read_text(encoding="utf-8")
    try:
        return RuleSet.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise InvalidRules(f"{where}: {error}") from error


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
    """Judge a series by its first instance's header and its geometry.

    Parameters
    ----------
    headers : sequence of InstanceHeader
        At least one.
    geometry : SeriesGeometry
        Of the same instances; its own problems are not judged here.
    rules : RuleSet
        Every rule is tried, so that the checks are complete; the first refusal decides.
    """
    header = headers[0]
    checks: list[RuleCheck] = []
    warnings: list[str] = []
    refusal: tuple[str, str] | None = None
    if is_own_header(header):
        refusal = ("own_object", "our own result came back: never analysed (loop guard)")
    for rule in rules.rules:
        value = FIELDS[rule.field](header, geometry)
        verdict, text = _try(rule, value)
        checks.append(RuleCheck(rule_id=rule.id, passed=verdict == "pass", text=text))
        if verdict == "warn":
            warnings.append(text)
        elif verdict == "not_eligible" and refusal is None:
            refusal = (rule.id, text)
    code, reason = refusal or (None, "")
    return EligibilityVerdict(
        eligible=refusal is None,
        code=code,
        reason=reason,
        warnings=tuple(warnings),
        checks=tuple(checks),
    )


def _try(rule: Rule, value: Value) -> tuple[Literal["pass", "warn", "not_eligible"], str]:
    found = "\\".join(value) if isinstance(value, tuple) else f"{value:g}" \
        if isinstance(value, int | float) else value  # fmt: skip
    if found in (None, ""):
        name = rule.field.removesuffix("_years").removesuffix("_mm").replace("_", " ")
        text = f"{name} is unknown"
        if rule.absent == "refuse":
            return "not_eligible", text
        return ("warn" if rule.absent == "warn" else "pass"), text
    if rule.require is not None:
        broken = not rule.require.holds(value)
    else:
        broken = rule.refuse is not None and rule.refuse.holds(value)
    if broken:
        return rule.outcome, rule.reason.replace("{found}", str(found))
    shown = "checked" if rule.field == "all_text" else found
    return "pass", f"{rule.field}: {shown}"


def rank_series(headers: Sequence[InstanceHeader], geometry: SeriesGeometry) -> tuple[float, ...]:
    """A key by which the best series of a study sorts last.

    In this order: thin enough, covers more, original rather than derived, a kernel that does
    not sharpen (noise and edge overshoot mislead densities), thinner, more slices.
    """
    header = headers[0]
    spacing_mm = geometry.spacing_mm or 99.0
    return (
        -max(spacing_mm, PREFERRED_SPACING_MM, header.slice_thickness_mm or 0.0),
        round(geometry.extent_mm / 50.0),
        float("DERIVED" not in header.image_type),
        float(not SHARP_KERNEL.match(header.convolution_kernel)),
        -spacing_mm,
        float(len(headers)),
    )
