"""The form of a rules file, and the header fields that its rules may look at."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Literal, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dicom_node.read.geometry import SeriesGeometry
from dicom_node.read.header import InstanceHeader

Value = str | float | tuple[str, ...] | None
AGE_PATTERN = re.compile(r"(\d{1,3})([DWMY])")
"""PS3.5 section 6.2, AS; fewer than three digits are let through."""
UNITS_PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}
NUMBER_TOLERANCE = 1e-3
"""A limit of 5 mm must not refuse the 5.0000004 mm that positions of five digits give."""
PROCEDURE_FIELDS = ("study_description", "series_description", "protocol_name")


def age_years(header: InstanceHeader) -> float | None:
    """Age at the study: from Patient's Age, else from birth date and study date."""
    match = AGE_PATTERN.fullmatch(header.patient_age)
    if match:
        years = int(match[1]) / UNITS_PER_YEAR[match[2]]
        return math.floor(years * 10) / 10  # never rounded up: 17.96 years are not 18
    try:
        born = datetime.strptime(header.identity.birth_date, "%Y%m%d").date()
        seen = datetime.strptime(header.identity.study_date, "%Y%m%d").date()
    except ValueError:
        return None
    return float(_whole_years(born, seen))


def _whole_years(born: date, seen: date) -> int:
    return seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))


def _procedure_text(header: InstanceHeader) -> str:
    return " | ".join(getattr(header, name) for name in PROCEDURE_FIELDS)


def _region_text(header: InstanceHeader) -> str:
    texts = (header.body_part_examined, _procedure_text(header).replace(" | ", " "))
    return " ".join(text.strip() for text in texts if text.strip())


def _all_text(header: InstanceHeader) -> str:
    name = header.identity.patient_name.replace("^", " ")
    return " | ".join((name, header.identity.patient_id, _procedure_text(header)))


FIELDS: dict[str, Callable[[InstanceHeader, SeriesGeometry], Value]] = {
    "modality": lambda header, _: header.modality,
    "sop_class_uid": lambda header, _: header.sop_class_uid,
    "image_type": lambda header, _: header.image_type,
    "series_description": lambda header, _: header.series_description,
    "study_description": lambda header, _: header.study_description,
    "protocol_name": lambda header, _: header.protocol_name,
    "body_part_examined": lambda header, _: header.body_part_examined.upper().replace(" ", ""),
    "manufacturer": lambda header, _: header.manufacturer,
    "manufacturer_model_name": lambda header, _: header.manufacturer_model_name,
    "convolution_kernel": lambda header, _: header.convolution_kernel,
    "lossy_image_compression": lambda header, _: header.lossy_image_compression,
    "burned_in_annotation": lambda header, _: header.burned_in_annotation.upper(),
    "photometric_interpretation": lambda header, _: header.photometric_interpretation,
    "rescale_type": lambda header, _: header.rescale_type.upper(),
    "rescale_slope": lambda header, _: header.rescale_slope,
    "rescale_intercept": lambda header, _: header.rescale_intercept,
    "contrast_agent": lambda header, _: header.contrast_agent,
    "number_of_frames": lambda header, _: header.number_of_frames,
    "samples_per_pixel": lambda header, _: header.samples_per_pixel,
    "age_years": lambda header, _: age_years(header),
    "slice_thickness_mm": lambda header, _: header.slice_thickness_mm,
    "pixel_spacing_mm": lambda header, _: max(header.pixel_spacing_mm or (), default=None),
    "slice_spacing_mm": lambda _, geometry: geometry.spacing_mm,
    "procedure_text": lambda header, _: _procedure_text(header),
    "region_text": lambda header, _: _region_text(header),
    "all_text": lambda header, _: _all_text(header),
}
"""What a rule may look at. Text is compared without regard to case."""
PRIVATE_FIELDS = frozenset({"all_text"})
"""May name the patient: never repeated in a check's text."""


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
            return value >= self.at_least - NUMBER_TOLERANCE
        return self.at_most is not None and value <= self.at_most + NUMBER_TOLERANCE

    def matched(self, value: Value) -> str:
        """The words that `matches` finds in a value; empty for other operators."""
        texts = value if isinstance(value, tuple) else (str(value),)
        found = (self._pattern.search(text) for text in texts) if self.matches else ()
        return next((match.group() for match in found if match), "")

    @property
    def limit(self) -> str:
        """The number it compares with, for a reason's text; empty when it has none."""
        number = self.at_least if self.at_least is not None else self.at_most
        return "" if number is None else f"{number:g}"


class Exemption(BaseModel):
    """A field and what it holds, for example where a rule is not asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str
    when: Condition


class Rule(BaseModel):
    """One rule; see the head of `rules.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    field: str
    require: Condition | None = None
    refuse: Condition | None = None
    unless: Exemption | None = None
    absent: Literal["pass", "warn", "refuse"] = "pass"
    outcome: Literal["not_eligible", "warn"] = "not_eligible"
    reason: str
    tells: bool = False
    """Whether somebody waits for a result of what it refuses: a chest CT that is not good
    enough, not a localizer."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Rule:
        if (self.require is None) == (self.refuse is None):
            raise ValueError(f"rule {self.id}: needs either require or refuse")
        for name in (self.field, self.unless.field if self.unless else self.field):
            if name not in FIELDS:
                raise ValueError(f"rule {self.id}: no field {name}, there are {sorted(FIELDS)}")
        unknown = set(re.findall(r"\{(\w*)\}", self.reason)) - {"found", "match", "limit"}
        if unknown or (self.field in PRIVATE_FIELDS and "{found}" in self.reason):
            raise ValueError(f"rule {self.id}: the reason may not name {unknown or '{found}'}")
        return self

    @property
    def condition(self) -> Condition:
        """Whichever of `require` and `refuse` is given."""
        return self.require if self.require is not None else cast(Condition, self.refuse)


class RuleSet(BaseModel):
    """Rules in the order in which they are tried."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: tuple[Rule, ...] = Field(min_length=1)
    chest: Exemption | None = None
    """What a series of the chest says of itself; without it every series may be one."""

    @model_validator(mode="after")
    def _ids_are_unique(self) -> RuleSet:
        ids = [rule.id for rule in self.rules]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"rule ids stand twice: {', '.join(twice)}")
        if self.chest is not None and self.chest.field not in FIELDS:
            raise ValueError(f"chest: no field {self.chest.field}, there are {sorted(FIELDS)}")
        return self


class InvalidRules(ValueError):
    """A rules file is not YAML, or not of the rules' form."""


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
    data = (path or files("dicom_node.read").joinpath("rules.yaml")).read_bytes()
    try:
        return RuleSet.model_validate(yaml.safe_load(data))
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
        raise InvalidRules(f"{where}: {error}") from error
