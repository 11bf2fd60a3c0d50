"""The table of items: which codes say what, in which unit it is kept, when it is stale."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workers.errors import ContextRefused

Kind = Literal["number", "flag", "smoking", "diagnosis"]
Group = Literal["history", "order", "body", "serology"]
LOINC = frozenset({"LN", "LOINC", "HTTP://LOINC.ORG", "2.16.840.1.113883.6.1"})
SNOMED = frozenset({"SCT", "SNM", "SNOMED", "HTTP://SNOMED.INFO/SCT", "2.16.840.1.113883.6.96"})
ICD10 = re.compile(
    r"I10.*|ICD-?10.*|10GM.*|HTTP://.*ICD-10.*|2\.16\.840\.1\.113883\.6\.(3|90)", re.I
)


class Item(BaseModel):
    """One thing that may be known of a patient."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Kind
    group: Group
    unit: str | None = None
    loinc: tuple[str, ...] = ()
    snomed: tuple[str, ...] = ()
    pattern: str | None = None
    stale_after_days: int | None = Field(default=None, ge=1)
    nearest: bool = False


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    items: dict[str, Item]
    units: dict[str, dict[str, float]]
    smoking: dict[str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A coded entry: what HL7 calls CWE and FHIR Coding."""

    code: str
    system: str = ""
    text: str = ""


class ItemTable:
    """The items of a site.

    Parameters
    ----------
    table : _Table
        As read from YAML.
    local_codes : mapping
        The site's own codes, ``SYSTEM^CODE`` or ``CODE``, to items.
    """

    def __init__(self, table: _Table, local_codes: Mapping[str, str]) -> None:
        self.items: Mapping[str, Item] = table.items
        self._smoking = table.smoking
        self._local = dict(local_codes)
        for code, name in local_codes.items():
            if name not in table.items:
                raise ContextRefused(
                    "PULMONODE_CONTEXT_CODES", f"{code}: there is no item {name}",
                    f"one of {', '.join(table.items)}",
                )  # fmt: skip
        self._loinc = {code: name for name, item in table.items.items() for code in item.loinc}
        self._snomed = {code: name for name, item in table.items.items() for code in item.snomed}
        self._patterns = {
            name: re.compile(item.pattern) for name, item in table.items.items() if item.pattern
        }
        self._units = {
            _plain(unit): (quantity, factor)
            for quantity, units in table.units.items()
            for unit, factor in units.items()
        }

    def find(self, code: Code) -> str | None:
        """The item that a code of a result says; the site's own codes come first."""
        local = self._local.get(f"{code.system}^{code.code}") or self._local.get(code.code)
        if local is not None:
            return local
        system = code.system.upper()
        if system in LOINC:
            return self._loinc.get(code.code)
        if system in SNOMED:
            return self._snomed.get(code.code)
        return None

    def find_diagnosis(self, code: Code) -> str | None:
        """The item that a code of a diagnosis means."""
        found = self.find(code)
        if found is not None:
            return found
        if ICD10.fullmatch(code.system):
            written = code.code.upper().strip()
            if re.fullmatch(r"[A-Z]\d\d\w+", written):  # the point was left out
                written = f"{written[:3]}.{written[3:]}"
            for name, pattern in self._patterns.items():
                if pattern.fullmatch(written):
                    return name
        return None

    def ever_smoked(self, code: Code) -> bool | None:
        """What an answer to the smoking status says."""
        return self._smoking.get(code.code)

    def convert(self, name: str, value: float, unit: str) -> float | None:
        """A value in its item's unit; `None` where the unit is none of the same quantity."""
        wanted = self.items[name].unit
        if wanted is None or not math.isfinite(value):
            return None
        to = self._units.get(_plain(wanted))
        found = self._units.get(_plain(unit))
        if to is None or found is None or to[0] != found[0]:
            return None
        return value * found[1] / to[1]


def _plain(unit: str) -> str:
    """A unit as it is looked up: micro signs and case of litre are written in several ways.

    Case counts otherwise (UCUM): ``mg`` is no ``Mg``.
    """
    unit = unit.strip().replace("μ", "u").replace("µ", "u").replace(" ", "")
    return re.sub(r"(?<=/)([munp]?)l\b", r"\1L", unit)


@lru_cache(maxsize=8)
def load_items(file: Path | None, local_codes: tuple[tuple[str, str], ...] = ()) -> ItemTable:
    """Read the table: the packaged one, or the site's.

    Raises
    ------
    ContextRefused
        If the site's file is wrong.
    """
    if file is None:
        text = resources.files("workers.context").joinpath("items.yaml").read_text("utf-8")
    else:
        try:
            text = file.read_text("utf-8")
        except OSError as error:
            raise ContextRefused(
                str(file), f"cannot be read ({error.strerror})", "mend it"
            ) from None
    try:
        return ItemTable(_Table.model_validate(yaml.safe_load(text)), dict(local_codes))
    except (ValidationError, yaml.YAMLError, re.error) as error:
        raise ContextRefused(str(file), str(error), "see the packaged items.yaml") from None
