"""Values out of FHIR's JSON, whatever stands there: a wrong type is an absent value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workers.context.items import Code

Json = Mapping[str, Any]


def codes(concept: Any) -> list[Code]:
    """The codings of a CodeableConcept, as codes."""
    return [
        Code(
            code=as_text(item.get("code")),
            system=as_text(item.get("system")),
            text=as_text(item.get("display")),
        )
        for item in codings(concept)
    ]


def codes_of_all(concepts: Any) -> list[Code]:
    """Those of several concepts, one after the other."""
    return [code for concept in as_list(concepts) for code in codes(concept)]


def codings(concept: Any) -> list[Json]:
    """The codings of a CodeableConcept, as they stand."""
    return as_mappings(as_mapping(concept).get("coding"))


def as_text(value: Any) -> str:
    """A string or number as text; anything else is empty."""
    if isinstance(value, bool) or value is None:
        return ""
    return str(value).strip() if isinstance(value, str | int | float) else ""


def as_mapping(value: Any) -> Json:
    """An object; anything else is an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """An array; anything else is an empty one."""
    return value if isinstance(value, list) else []


def as_mappings(value: Any) -> list[Json]:
    """The objects of an array."""
    return [item for item in as_list(value) if isinstance(item, dict)]
