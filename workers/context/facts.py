"""What one message says, as values: the type between HL7 or FHIR and the database.

Deliberately absent: whether any of it may be used. That is decided when a CT of the patient is
analysed (`resolve`), from all that is known by then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

FINAL = frozenset({"F", "C", "U"})
"""Statuses of results that may be used: final, corrected, final without being sent anew
(HL7 table 0085)."""
GONE = frozenset({"D", "W", "X"})
"""Deleted, wrong (the wrong patient's, say), cannot be obtained."""
TITLE_LENGTH = 200
"""Letters of a report's title, or of a value as it was written, that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """A patient ID and who assigned it, as the message names them."""

    patient_id: str
    authority: str
    kind: str = ""
    """MR, PI ... (HL7 table 0203)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who a message says that the patient is; empty is unknown."""

    names: tuple[str, ...] = ()
    """``FAMILY^GIVEN``, each as it was written."""
    birth_date: str = ""
    """YYYYMMDD."""
    sex: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One result, diagnosis or fact."""

    item: str
    code: str
    """As sent, with its system: ``LN^2039-6``."""
    key: str
    """Equal for a result and its corrections."""
    status: str
    """HL7 table 0085."""
    observed_on: str
    """YYYY-MM-DD; of a diagnosis the day it was stated."""
    number: float | None = None
    """In the item's unit."""
    comparator: str = ""
    """``<`` or ``>`` where the value is a limit."""
    flag: bool | None = None
    since: str = ""
    """Of a diagnosis: its onset, YYYY, YYYY-MM or YYYY-MM-DD."""
    written: str = ""
    """Value and unit as sent."""
    reference_range: str = ""
    abnormal: str = ""
    """H, L, N ... (HL7 table 0078)."""
    accession: str = ""
    """Of the order that it belongs to."""
    problem: str = ""
    """Why it cannot be used; empty where it can."""
    reference: str = ""
    """What names it more closely than its message does: ``Observation/17``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedNodule:
    """A nodule of a measurement report; what it does not say is `None`."""

    size_mm: float | None = None
    """Long axis."""
    short_mm: float | None = None
    lobe: str | None = None
    """``RUL`` ... ``LLL``."""
    side: Literal["left", "right"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportText:
    """A report, or the reason for an examination, as text."""

    kind: Literal["report", "indication"]
    key: str
    status: str
    observed_on: str
    title: str
    text: str
    accession: str = ""
    orders: tuple[str, ...] = ()
    """Numbers of its order, any of which may be the accession number."""
    study_uid: str = ""
    """Of the examination that it reports, where it says so."""
    nodules: tuple[CodedNodule, ...] = ()
    """Of an SR that measures them."""
    reference: str = ""
    """What names it more closely than its message does: ``DiagnosticReport/17``."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ReportText:
        """Inverse of `dataclasses.asdict`; of an earlier release too."""
        known = {**content, "orders": tuple(content.get("orders", ()))}
        known["nodules"] = tuple(CodedNodule(**item) for item in content.get("nodules", ()))
        return cls(**known)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientFacts:
    """What a message says of one patient."""

    identifiers: tuple[Identifier, ...]
    person: Person
    is_identity: bool
    """It was sent to say who the patient is (ADT, Patient)."""
    values: tuple[Value, ...] = ()
    reports: tuple[ReportText, ...] = ()
    merged: tuple[Identifier, ...] = ()
    """Prior identifiers that became these (A40)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFacts:
    """What a message says."""

    source: Literal["hl7", "fhir", "dicom sr"]
    sender: str
    control_id: str
    kind: str
    at: str
    """When the sender says it was: ``YYYY-MM-DDThh:mm:ss``, its local time; may be empty."""
    patients: tuple[PatientFacts, ...]


def iso_date(text: str) -> str:
    """YYYY-MM-DD of an HL7 or FHIR moment that names a day; empty where it names none."""
    match = re.match(r"(\d{4})-?(\d{2})-?(\d{2})", text)
    if match is None:
        return ""
    try:
        return date(int(match[1]), int(match[2]), int(match[3])).isoformat()
    except ValueError:
        return ""


def iso_onset(text: str) -> str:
    """YYYY, YYYY-MM or YYYY-MM-DD of a moment; empty where it is none."""
    whole = iso_date(text)
    if whole:
        return whole
    match = re.match(r"(\d{4})(?:-?(\d{2}))?", text)
    if match is None or not 1850 <= int(match[1]) <= 2200:
        return ""
    month = match[2]
    return f"{match[1]}-{month}" if month and 1 <= int(month) <= 12 else match[1]


def iso_moment(text: str) -> str:
    """``YYYY-MM-DDThh:mm:ss`` of an HL7 moment; missing parts are zero, empty without a day."""
    day = iso_date(text)
    if not day:
        return ""
    digits = re.sub(r"[^0-9]", "", re.split(r"[.+Zz]", text)[0])[8:14].ljust(6, "0")
    hour, minute, second = int(digits[:2]), int(digits[2:4]), int(digits[4:6])
    if hour > 23 or minute > 59 or second > 59:
        return f"{day}T00:00:00"
    return f"{day}T{digits[:2]}:{digits[2:4]}:{digits[4:6]}"
