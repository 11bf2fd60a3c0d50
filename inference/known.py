"""What is known of a patient beside the pixels, value by value, with where each came from.

`inference` shows it and goes by `ClinicalContext`; who collects it decides what may be used.
"""

from __future__ import annotations

from dataclasses import dataclass

CT_REPORT, CLINICAL, SEROLOGY, PET = "ct_report", "clinical", "serology", "pet"
BESIDE_PIXELS = (CT_REPORT, CLINICAL, SEROLOGY, PET)
"""Modalities of the grader that do not come from the CT's pixels."""
BY_DEFAULT = (CT_REPORT,)
"""What may count unless somebody says otherwise: what was learned from real readings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownValue:
    """One value beside the pixels, and where it came from."""

    item: str
    """Name of the caller's table, such as ``cea`` or ``emphysema``."""
    number: float | None = None
    """In `unit`."""
    unit: str = ""
    """UCUM."""
    flag: bool | None = None
    text: str = ""
    comparator: str = ""
    """``<`` or ``>`` where the number is a limit."""
    on: str = ""
    """Day, YYYY-MM-DD: of the specimen, the examination, or when it was stated."""
    since: str = ""
    """Onset of a diagnosis, YYYY, YYYY-MM or YYYY-MM-DD."""
    source: str
    """``ct header``, ``hl7``, ``fhir``, ``file``, ``report text`` or ``dicom sr``."""
    message_id: str = ""
    """By which the sender knows the message; empty for the header."""
    code: str = ""
    """As sent, with its system."""
    reference_range: str = ""
    abnormal: str = ""
    """H, L, N ... (HL7 table 0078)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownContext:
    """What was known when an analysis began, and what was not used."""

    values: tuple[KnownValue, ...] = ()
    missing: tuple[str, ...] = ()
    """Inputs of rules (fields of `ClinicalContext`) that nobody said."""
    held: tuple[str, ...] = ()
    """Held back, because the patient may be another one."""
    left_out: tuple[str, ...] = ()
    """Stale, of another unit, another examination's."""
