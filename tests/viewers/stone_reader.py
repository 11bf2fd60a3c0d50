"""What the Stone Web Viewer (3.0, December 2025) makes of a Structured Report.

Its rules, in our words, from its public source (``DicomStructuredReport.cpp``): every report is
a tree of text; graphics only come from Comprehensive SR with root 126000 and template 1500, and
there only from groups of template 1410. What is not as it expects makes it give up the whole
report, with an error and not with a smaller picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

SR_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.88.11",
    "1.2.840.10008.5.1.4.1.1.88.22",
    str(ComprehensiveSRStorage),
    "1.2.840.10008.5.1.4.1.1.88.34",
)


class Refused(Exception):
    """The viewer opens nothing of this report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A line or point that is drawn on an image."""

    sop_instance_uid: str
    frame: int | None
    graphic_type: str
    points: tuple[tuple[float, float], ...]
    """(column, row) from the corner of the top left pixel, as they stand in the report."""
    cancer_percent: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A report as it is shown."""

    title: str
    text: tuple[str, ...]
    """One line per item, indented by its depth."""
    graphics: bool
    """Whether it is taken for a measurement report."""
    regions: tuple[Region, ...]


def open_report(ds: Dataset) -> Opened:
    """What is shown of a report.

    Raises
    ------
    Refused
        If the viewer gives the report up; says why.
    """
    if ds.get("SOPClassUID") not in SR_CLASSES or ds.get("Modality") != "SR":
        raise Refused("no structured report")
    graphics = (
        ds.SOPClassUID == ComprehensiveSRStorage
        and _is(ds, "126000")
        and _template(ds) == "1500"
        and "CurrentRequestedProcedureEvidenceSequence" in ds
    )
    return Opened(
        title=str(ds.ConceptNameCodeSequence[0].CodeMeaning),
        text=tuple(_lines(ds, "")),
        graphics=graphics,
        regions=tuple(_regions(ds, _evidence(ds))) if graphics else (),
    )


def _evidence(ds: Dataset) -> Mapping[str, str]:
    """SOP Class UID by SOP Instance UID; each instance may stand once."""
    found: dict[str, str] = {}
    for study in ds.CurrentRequestedProcedureEvidenceSequence:
        for series in _need(study, "ReferencedSeriesSequence"):
            for instance in _need(series, "ReferencedSOPSequence"):
                uid = str(_need(instance, "ReferencedSOPInstanceUID"))
                if uid in found:
                    raise Refused(f"evidence names {uid} twice")
                found[uid] = str(_need(instance, "ReferencedSOPClassUID"))
    return found


def _regions(ds: Dataset, evidence: Mapping[str, str]) -> Iterator[Region]:
    for measurements in _children(ds, "CONTAINS", "CONTAINER", "126010"):
        for group in _children(measurements, "CONTAINS", "CONTAINER", "125007"):
            if _template(group) == "1410":
                yield from _regions_of(group, evidence)


def _regions_of(group: Dataset, evidence: Mapping[str, str]) -> Iterator[Region]:
    cancer_percent = None
    for item in _children(group, "CONTAINS", "NUM", "111047"):
        (value,) = item.MeasuredValueSequence
        if value.MeasurementUnitsCodeSequence[0].CodeValue == "%":
            cancer_percent = float(value.NumericValue)
    for item in _children(group, "CONTAINS", "SCOORD", "111030"):
        for image in _children(item, "SELECTED FROM", "IMAGE", "111040"):
            references = _need(image, "ReferencedSOPSequence")
            if len(references) != 1:
                raise Refused("a region of several images")
            uid = str(references[0].ReferencedSOPInstanceUID)
            if uid not in evidence:
                raise Refused(f"a region of {uid}, which the evidence does not name")
            if item.GraphicType not in ("POINT", "POLYLINE"):
                continue
            numbers = [float(value) for value in item.GraphicData]
            frame = references[0].get("ReferencedFrameNumber")
            yield Region(
                sop_instance_uid=uid,
                frame=None if frame is None else int(frame),
                graphic_type=str(item.GraphicType),
                points=tuple(zip(numbers[::2], numbers[1::2], strict=True)),
                cancer_percent=cancer_percent,
            )


def _lines(parent: Dataset, indent: str) -> Iterator[str]:
    """Text of each item with a value type and a name; other values as their type."""
    for item in parent.get("ContentSequence") or ():
        kind, names = item.get("ValueType"), item.get("ConceptNameCodeSequence")
        if not kind or not names:
            continue
        value = _value(item, kind)
        yield f"{indent}{names[0].CodeMeaning}" + (f": {value}" if value else "")
        yield from _lines(item, indent + "  ")


def _value(item: Dataset, kind: str) -> str:
    if kind == "CONTAINER":
        return ""
    if kind == "TEXT":
        return str(item.TextValue)
    if kind == "UIDREF":
        return str(item.UID)
    if kind == "CODE":
        return str(item.ConceptCodeSequence[0].CodeMeaning)
    if kind == "NUM":
        (measured,) = item.MeasuredValueSequence
        unit = measured.MeasurementUnitsCodeSequence[0].CodeValue
        return f"{measured.NumericValue} {unit}"
    return f"<{kind}>"


def _children(parent: Dataset, relationship: str, value_type: str, code: str) -> Iterator[Dataset]:
    """Children of one kind; every child must say what it is, and one of the kind its name."""
    for item in _need(parent, "ContentSequence"):
        if (
            _need(item, "RelationshipType") == relationship
            and _need(item, "ValueType") == value_type
            and _is(item, code)
        ):
            yield item


def _is(item: Dataset, code: str) -> bool:
    """Whether an item's name is that DCM code."""
    names = _need(item, "ConceptNameCodeSequence")
    return (
        len(names) == 1
        and _need(names[0], "CodingSchemeDesignator") == "DCM"
        and _need(names[0], "CodeValue") == code
    )


def _template(item: Dataset) -> str:
    """Identifier of an item's one DCMR template; a group without any is an error."""
    templates = _need(item, "ContentTemplateSequence")
    if len(templates) != 1 or _need(templates[0], "MappingResource") != "DCMR":
        return ""
    return str(_need(templates[0], "TemplateIdentifier"))


def _need(ds: Dataset, keyword: str) -> Any:
    value = ds.get(keyword)
    if value is None:
        raise Refused(f"{keyword} is missing")
    return value
