"""A result that messages and resources tell of: findings, and a report with sentences."""

from __future__ import annotations

from typing import Any

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.compose import codes
from workers.outbound.told import ToldResult, tell

STUDY_UID = "1.2.826.0.1.3680043.8.498.1"
REPORT_UID = "1.2.826.0.1.3680043.8.498.2"
COMMITTED_AT = 1_772_445_600.0
"""2026-03-02 10:00 UTC."""
LINES = ("For research use, not for diagnosis.", "2 nodules | 1 > 8 mm & solid\\here")


def nodule(number: int, **others: Any) -> dict[str, Any]:
    return {
        "id": number,
        "tracking_uid": f"1.2.3.{number}",
        "lobe": {"name": "right upper lobe", "probability": 0.9},
        "laterality": "right",
        "long_axis_mm": 12.34,
        "short_axis_mm": 9.87,
        "volume_mm3": 812.6,
        "type": "part-solid",
        "grade": {"level": "III", "suspicion": 0.71234},
        "guidelines": {
            "lung_rads": {"category": "4A", "applicable": "yes"},
            "brock": {"probability": 0.1234},
        },
        **others,
    }


def findings(*nodules: dict[str, Any]) -> dict[str, Any]:
    return {
        "status": "analysed",
        "series_instance_uid": "1.2.3",
        "algorithm": {"name": "Pulmonode", "version": "0.1.0"},
        "nodules": list(nodules),
        "exam": {"lung_rads": {"category": "4A", "applicable": "yes"}},
    }


def coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def add_sentences(ds: Dataset, lines: tuple[str, ...] = LINES) -> None:
    """Put sentences where a report of ours has them."""
    texts = []
    for line in lines:
        text = Dataset()
        text.ValueType, text.TextValue = "TEXT", line
        text.ConceptNameCodeSequence = [coded(codes.COMMENT)]
        texts.append(text)
    container = Dataset()
    container.ValueType = "CONTAINER"
    container.ConceptNameCodeSequence = [coded(codes.QUALITATIVE_EVALUATIONS)]
    container.ContentSequence = texts
    ds.ContentSequence = [container]


def report(lines: tuple[str, ...] = LINES, **values: str) -> Dataset:
    ds = Dataset()
    for keyword, value in {
        "SOPInstanceUID": REPORT_UID,
        "StudyInstanceUID": STUDY_UID,
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientID": "4711",
        "IssuerOfPatientID": "HOSP",
        "PatientName": "Roe^Jane^Q^Dr^MD=小東^王",
        "PatientBirthDate": "19600402",
        "PatientSex": "F",
        "StudyDate": "20260302",
        "StudyTime": "0915",
        "AccessionNumber": "A-77",
        **values,
    }.items():
        with config.disable_value_validation():  # senders' odd values come as they are
            setattr(ds, keyword, value)
    add_sentences(ds, lines)
    return ds


def told(*nodules: dict[str, Any], revision: int = 1, **values: str) -> ToldResult:
    chosen = nodules or (nodule(1), nodule(2))
    return tell(findings(*chosen), report(**values), revision=revision, committed_at=COMMITTED_AT)
