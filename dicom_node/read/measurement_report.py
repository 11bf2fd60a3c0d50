"""Measurement reports (SR, TID 1500): numbers and codes of each tracked finding.

Groups of one Tracking Unique Identifier are taken together, in whatever template they stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_node.errors import UnreadableInstance
from dicom_node.read.stored_file import MALFORMED, read_before_pixels

MEASUREMENT_GROUP = ("125007", "DCM")
TRACKING_UID = ("112040", "DCM")


@dataclass(slots=True, kw_only=True)
class TrackedFinding:
    """What a report says of one finding.

    Attributes
    ----------
    measurements : dict
        Value by (code value, coding scheme, UCUM unit) of the concept.
    codes : dict
        Code value of each coded answer by (code value, coding scheme) of its question.
    """

    tracking_uid: str
    measurements: dict[tuple[str, str, str], float] = field(default_factory=dict)
    codes: dict[tuple[str, str], str] = field(default_factory=dict)


def read_measurements(path: Path) -> dict[str, TrackedFinding]:
    """The findings of a report by Tracking Unique Identifier.

    Raises
    ------
    UnreadableInstance
        If it is no Structured Report.
    """
    ds = read_before_pixels(path)
    if ds.get("Modality") != "SR" or "ContentSequence" not in ds:
        raise UnreadableInstance(str(path), "it is no Structured Report")
    found: dict[str, TrackedFinding] = {}
    try:
        for group in _groups(ds):
            items = list(group.get("ContentSequence") or [])
            uid = next((str(item.UID) for item in items if _concept(item) == TRACKING_UID), "")
            if not uid:
                continue
            finding = found.setdefault(uid, TrackedFinding(tracking_uid=uid))
            for item in items:
                _add(finding, item)
    except MALFORMED as error:
        raise UnreadableInstance(str(path), " ".join(str(error).split())) from error
    return found


def _groups(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence") or []:
        if _concept(child) == MEASUREMENT_GROUP:
            yield child
        else:
            yield from _groups(child)


def _add(finding: TrackedFinding, item: Dataset) -> None:
    concept = _concept(item)
    if item.ValueType == "NUM" and item.get("MeasuredValueSequence"):
        measured = item.MeasuredValueSequence[0]
        unit = str(measured.MeasurementUnitsCodeSequence[0].CodeValue)
        finding.measurements[(*concept, unit)] = float(measured.NumericValue)
    elif item.ValueType == "CODE":
        finding.codes[concept] = str(item.ConceptCodeSequence[0].CodeValue)


def _concept(item: Dataset) -> tuple[str, str]:
    names = item.get("ConceptNameCodeSequence") or []
    if not len(names):
        return "", ""
    return str(names[0].get("CodeValue", "")), str(names[0].get("CodingSchemeDesignator", ""))
