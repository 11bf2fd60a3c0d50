"""Reports of others (SR) as text: TID 2000 and its like in lines, TID 1500 as measured nodules.

Headings are those of the containers, so that whoever reads the text knows what is a finding and
what is history. What a report repeats of earlier examinations is left out.

Deliberately absent: CDA that is encapsulated in DICOM, dose and CAD reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydicom.dataset import Dataset

from dicom_node.errors import UnreadableInstance
from dicom_node.read.header import InstanceHeader, read_header
from dicom_node.read.measurement_report import MEASUREMENT_GROUP, concept_of, measurement_groups
from dicom_node.read.patient_module import PatientModule, read_patient_module
from dicom_node.read.stored_file import MALFORMED, read_before_pixels

EARLIER = frozenset({("121066", "DCM"), ("121068", "DCM")})
"""Prior Procedure Descriptions, Previous Findings."""
UNHEADED = frozenset({("121071", "DCM"), ("121073", "DCM"), ("121075", "DCM"), ("121077", "DCM")})
"""Finding, Impression, Recommendation, Conclusion: their containers have the heading."""
FINDING = ("121071", "DCM")
NODULE = re.compile(r"(?i)nodul|pulmonary mass|结节")
LUNG = re.compile(r"(?i)lung|lobe|pulmon|lingula|肺")
LONG_AXIS = re.compile(r"(?i)long(?:est)?\b|major|maximum (?:\w+ )?diameter|长径|最大径")
SHORT_AXIS = re.compile(r"(?i)short(?:est)?\b|minor|perpendicular|短径")
DIAMETER = re.compile(r"(?i)\bdiameter|直径")
PER_UNIT_MM = {"mm": 1.0, "cm": 10.0}
LOBES = {
    ("right", "upper"): "right upper lobe",
    ("right", "middle"): "right middle lobe",
    ("right", "lower"): "right lower lobe",
    ("left", "upper"): "left upper lobe",
    ("left", "lower"): "left lower lobe",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredNodule:
    """A nodule of a measurement report; what it does not say is `None`.

    Attributes
    ----------
    long_axis_mm, short_axis_mm : float, optional
        A diameter of which no more is said is the long axis.
    side : {"left", "right"}, optional
    lobe : str, optional
        ``right upper lobe`` ...
    """

    long_axis_mm: float | None = None
    short_axis_mm: float | None = None
    side: Literal["left", "right"] | None = None
    lobe: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReport:
    """A report as text.

    Attributes
    ----------
    final : bool
        Neither partial nor preliminary (PS3.3 C.17.2).
    on : str
        Day of the study, else of the content; YYYY-MM-DD, may be empty.
    said_at : str
        Content date and time, ``YYYY-MM-DDThh:mm:ss``; may be empty.
    predecessors : tuple of str
        SOP Instance UIDs of the reports that it replaces.
    """

    header: InstanceHeader
    patient: PatientModule
    title: str
    text: str
    nodules: tuple[MeasuredNodule, ...]
    final: bool
    on: str
    said_at: str
    predecessors: tuple[str, ...]


def read_stored_report(path: Path) -> StoredReport:
    """Read a report.

    Raises
    ------
    UnreadableInstance
        If it is none, or its content tree is malformed.
    """
    header = read_header(path)
    ds = read_before_pixels(path)
    if header.modality != "SR" or "ContentSequence" not in ds:
        raise UnreadableInstance(str(path), "it is no Structured Report")
    try:
        patient = read_patient_module(ds)
        content_on = _day(str(ds.get("ContentDate") or ""))
        return StoredReport(
            header=header,
            patient=patient,
            title=_meaning(ds, "ConceptNameCodeSequence"),
            text="\n".join(_lines(ds)),
            nodules=tuple(_nodules(ds)),
            final=ds.get("CompletionFlag") != "PARTIAL"
            and ds.get("PreliminaryFlag") != "PRELIMINARY",
            on=patient.study_date or content_on,
            said_at=f"{content_on}T{_time(str(ds.get('ContentTime') or ''))}" if content_on else "",
            predecessors=tuple(_predecessors(ds)),
        )
    except MALFORMED as error:
        raise UnreadableInstance(str(path), " ".join(str(error).split())) from error


def _lines(item: Dataset) -> Iterator[str]:
    """Texts and coded findings below an item, each container under its heading."""
    for child in item.get("ContentSequence") or []:
        concept, kind = concept_of(child), str(child.get("ValueType", ""))
        if concept in EARLIER or concept == MEASUREMENT_GROUP:
            continue
        if kind == "TEXT":
            text = str(child.get("TextValue") or "").strip()
            name = _meaning(child, "ConceptNameCodeSequence")
            nested = item.get("ValueType") == "CONTAINER" and "RelationshipType" in item
            if text and name and not (nested and concept in UNHEADED):
                yield f"{name}:"
            if text:
                yield text
        elif kind == "CODE" and concept == FINDING:
            yield f"{_meaning(child, 'ConceptCodeSequence')}."
        lines = list(_lines(child))
        if lines and kind == "CONTAINER":
            yield f"{_meaning(child, 'ConceptNameCodeSequence')}:"
        yield from lines


def _nodules(ds: Dataset) -> Iterator[MeasuredNodule]:
    """The measurement groups that are of a nodule of the lungs."""
    for group in measurement_groups(ds):
        items = list(group.get("ContentSequence") or [])
        kind = " ".join(
            _meaning(item, "ConceptCodeSequence") for item in items if concept_of(item) == FINDING
        )
        sites = " ".join(_sites(items))
        if not NODULE.search(kind) or (sites and not LUNG.search(sites)):
            continue
        side = _one_of(sites, "right", "left")
        level = _one_of(sites, "upper", "middle", "lower")
        long_mm, short_mm = _axes(items)
        yield MeasuredNodule(
            long_axis_mm=long_mm,
            short_axis_mm=short_mm,
            side="right" if side == "right" else "left" if side == "left" else None,
            lobe=LOBES.get((side, level)),
        )


def _sites(items: list[Dataset]) -> Iterator[str]:
    """Meanings of Finding Site, and of Laterality beside or below it."""
    for item in items:
        name = _meaning(item, "ConceptNameCodeSequence").casefold()
        if item.get("ValueType") == "CODE" and ("site" in name or "laterality" in name):
            yield _meaning(item, "ConceptCodeSequence")
            yield from _sites(list(item.get("ContentSequence") or []))


def _one_of(text: str, *words: str) -> str:
    """The only one of some words that a text has; empty where it has none or several."""
    found = [word for word in words if re.search(rf"(?i)\b{word}\b", text)]
    return found[0] if len(found) == 1 else ""


def _axes(items: list[Dataset]) -> tuple[float | None, float | None]:
    """Long and short axis, mm."""
    found: dict[str, float] = {}
    for item in items:
        if item.get("ValueType") != "NUM" or not item.get("MeasuredValueSequence"):
            continue
        measured = item.MeasuredValueSequence[0]
        unit = str(measured.MeasurementUnitsCodeSequence[0].CodeValue)
        name = _meaning(item, "ConceptNameCodeSequence")
        if unit not in PER_UNIT_MM:
            continue
        for what, pattern in (("short", SHORT_AXIS), ("long", LONG_AXIS), ("any", DIAMETER)):
            if pattern.search(name):
                found.setdefault(what, float(measured.NumericValue) * PER_UNIT_MM[unit])
                break
    return found.get("long", found.get("any")), found.get("short")


def _predecessors(ds: Dataset) -> Iterator[str]:
    for study in ds.get("PredecessorDocumentsSequence") or []:
        for series in study.get("ReferencedSeriesSequence") or []:
            for item in series.get("ReferencedSOPSequence") or []:
                yield str(item.ReferencedSOPInstanceUID)


def _meaning(item: Dataset, keyword: str) -> str:
    found = item.get(keyword) or []
    return str(found[0].get("CodeMeaning") or "").strip() if len(found) else ""


def _day(text: str) -> str:
    match = re.fullmatch(r"(\d{4})(\d{2})(\d{2})", text)
    return "-".join(match.groups()) if match else ""


def _time(text: str) -> str:
    digits = re.sub(r"\D", "", text.split(".")[0])[:6].ljust(6, "0")
    return f"{digits[:2]}:{digits[2:4]}:{digits[4:]}"
