"""What reports say of an examination's nodules, beside what was found: values of the findings.

Words of a report are never kept here, only what was read from them (`inference.report_text`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportUsed:
    """A report of the examination that is analysed."""

    source: str
    """``hl7``, ``fhir``, ``dicom sr`` or ``file``."""
    message_id: str
    """By which the sender knows it: message control ID, resource, SOP Instance UID, file name."""
    on: str = ""
    """Its day, YYYY-MM-DD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedAs:
    """What a report says of a nodule that was found.

    Attributes
    ----------
    reports : tuple of ReportUsed
        Those that tell of it, the oldest first: a later one adds to it or corrects it.
    said : mapping
        Fields of `inference.report_text.facts.ReportedNodule` that are told; lengths in mm.
    words : str
        The same in few English words.
    why : tuple of str
        Why the nodule is taken for this one: what agrees, and what does not.
    listed_for_it : bool
        Found by looking again where the report says, and listed for that reason alone.
    spiculation : bool, optional
        What Brock and Mayo were given; `None` where the report does not say.
    """

    reports: tuple[ReportUsed, ...]
    said: Mapping[str, Any]
    words: str
    why: tuple[str, ...]
    listed_for_it: bool = False
    spiculation: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedOnly:
    """A nodule that a report describes and that was not found."""

    reports: tuple[ReportUsed, ...]
    said: Mapping[str, Any]
    words: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportComparison:
    """The reports of an examination against what was found in it.

    Attributes
    ----------
    detected_only : tuple of int
        `Nodule.id` of those that no report describes.
    """

    reports: tuple[ReportUsed, ...]
    not_found: tuple[ReportedOnly, ...] = ()
    detected_only: tuple[int, ...] = ()
