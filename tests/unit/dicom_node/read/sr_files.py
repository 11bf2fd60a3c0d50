"""Reports of others as files: a Basic Text SR (TID 2000), and a TID 1500 of another maker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import BasicTextSRStorage, ComprehensiveSRStorage, ExplicitVRLittleEndian

SR_UID = "1.2.840.113619.9.1"
Code = tuple[str, str, str]
"""Value, scheme, meaning."""
REPORT = ("126000", "DCM", "Imaging Measurement Report")
CHEST_CT_REPORT = ("18747-6", "LN", "CT Report")
GROUP = ("125007", "DCM", "Measurement Group")
FINDING = ("121071", "DCM", "Finding")
NODULE = ("27925004", "SCT", "Nodule")
SITE = ("363698007", "SCT", "Finding Site")


def coded(code: Code) -> Dataset:
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = code
    return ds


def item(kind: str, name: Code, *children: Dataset, relation: str = "CONTAINS") -> Dataset:
    ds = Dataset()
    ds.RelationshipType, ds.ValueType = relation, kind
    ds.ConceptNameCodeSequence = [coded(name)]
    if children:
        ds.ContentSequence = list(children)
    return ds


def text(name: Code, words: str) -> Dataset:
    ds = item("TEXT", name)
    ds.TextValue = words
    return ds


def code(name: Code, value: Code, *children: Dataset) -> Dataset:
    ds = item("CODE", name, *children)
    ds.ConceptCodeSequence = [coded(value)]
    return ds


def number(name: Code, value: float, unit: str = "mm") -> Dataset:
    ds = item("NUM", name)
    measured = Dataset()
    measured.NumericValue = str(value)
    measured.MeasurementUnitsCodeSequence = [coded((unit, "UCUM", unit))]
    ds.MeasuredValueSequence = [measured]
    return ds


def group(*children: Dataset) -> Dataset:
    return item("CONTAINER", GROUP, *children)


def write_sr(
    path: Path, title: Code, content: Sequence[Dataset], uid: str = SR_UID, **values: Any
) -> Path:
    ds = Dataset()
    measured = title == REPORT
    ds.SOPClassUID = ComprehensiveSRStorage if measured else BasicTextSRStorage
    ds.SOPInstanceUID, ds.SeriesInstanceUID = uid, f"{uid}.8"
    ds.StudyInstanceUID, ds.Modality = "1.2.840.99.1", "SR"
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientID, ds.IssuerOfPatientID, ds.PatientName = "4711", "HOSP", "Roe^Jane"
    ds.PatientBirthDate, ds.PatientSex = "19600402", "F"
    ds.StudyDate, ds.AccessionNumber = "20260302", "A1"
    ds.ContentDate, ds.ContentTime = "20260302", "101500.250"
    ds.Manufacturer, ds.ManufacturerModelName = "Another maker", "Reporter"
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [coded(title)]
    ds.ContentSequence = list(content)
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = uid
    ds.save_as(path, enforce_file_format=True)
    return path


def basic_text(path: Path, findings: str, history: str = "", **values: Any) -> Path:
    """TID 2000: containers with headings, and texts in them."""
    content = [
        item("CONTAINER", ("121060", "DCM", "History"),
             text(("121060", "DCM", "History"), history)),
        item("CONTAINER", ("121068", "DCM", "Previous Findings"),
             text(FINDING, "12 mm nodule in the left lower lobe.")),
        item("CONTAINER", ("121070", "DCM", "Findings"), text(FINDING, findings)),
    ]  # fmt: skip
    return write_sr(path, CHEST_CT_REPORT, content if history else content[1:], **values)
