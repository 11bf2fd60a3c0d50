"""Measurement reports (SR, TID 1500): what is said of each tracked finding, and where it is.

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
COMMENT = ("121106", "DCM")
FINDING = ("121071", "DCM")

Concept = tuple[str, str]
"""Code value and coding scheme."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePoints:
    """Spatial coordinates on an image (SCOORD, PS3.3 C.18.6).

    Attributes
    ----------
    sop_instance_uid : str
        Of the image.
    points : tuple of (float, float)
        Column and row; the corner of the top left pixel is ``(0.0, 0.0)``.
    """

    sop_instance_uid: str
    points: tuple[tuple[float, float], ...]


@dataclass(slots=True, kw_only=True)
class TrackedFinding:
    """What a report says of one finding.

    Attributes
    ----------
    measurements : dict
        Value by (code value, coding scheme, UCUM unit) of the concept.
    codes : dict
        Code value of each coded answer by (code value, coding scheme) of its question.
    meanings : dict
        Its meaning, likewise.
    schemes : dict
        Its coding scheme, likewise.
    comments : list of str
        Texts under Comment.
    image_points : list of ImagePoints
        Every SCOORD, in the report's order.
    points_lps_mm : list of (float, float, float)
        The points of every SCOORD3D (PS3.3 C.18.9).
    """

    tracking_uid: str
    measurements: dict[tuple[str, str, str], float] = field(default_factory=dict)
    codes: dict[Concept, str] = field(default_factory=dict)
    meanings: dict[Concept, str] = field(default_factory=dict)
    schemes: dict[Concept, str] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    image_points: list[ImagePoints] = field(default_factory=list)
    points_lps_mm: list[tuple[float, float, float]] = field(default_factory=list)


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
    try:
        return find_tracked(ds)
    except MALFORMED as error:
        raise UnreadableInstance(str(path), " ".join(str(error).split())) from error


def find_tracked(ds: Dataset) -> dict[str, TrackedFinding]:
    """The findings of a report's content tree by Tracking Unique Identifier.

    Raises what pydicom raises for items that are not what they claim to be.
    """
    found: dict[str, TrackedFinding] = {}
    for group in measurement_groups(ds):
        items = list(group.get("ContentSequence") or [])
        uid = next((str(item.UID) for item in items if concept_of(item) == TRACKING_UID), "")
        if not uid:
            continue
        finding = found.setdefault(uid, TrackedFinding(tracking_uid=uid))
        for item in items:
            _add(finding, item)
        _add_places(finding, group)
    return found


def measurement_groups(item: Dataset) -> Iterator[Dataset]:
    """Every measurement group below an item, in document order."""
    for child in item.get("ContentSequence") or []:
        if concept_of(child) == MEASUREMENT_GROUP:
            yield child
        else:
            yield from measurement_groups(child)


def _add(finding: TrackedFinding, item: Dataset) -> None:
    concept = concept_of(item)
    if item.ValueType == "NUM" and item.get("MeasuredValueSequence"):
        measured = item.MeasuredValueSequence[0]
        unit = str(measured.MeasurementUnitsCodeSequence[0].CodeValue)
        finding.measurements[(*concept, unit)] = float(measured.NumericValue)
    elif item.ValueType == "CODE" and item.get("ConceptCodeSequence"):
        value = item.ConceptCodeSequence[0]
        finding.codes[concept] = str(value.CodeValue)
        finding.meanings[concept] = str(value.get("CodeMeaning", ""))
        finding.schemes[concept] = str(value.get("CodingSchemeDesignator", ""))
    elif item.ValueType == "TEXT" and concept == COMMENT:
        finding.comments.append(str(item.get("TextValue", "")).strip())


def _add_places(finding: TrackedFinding, item: Dataset) -> None:
    for child in item.get("ContentSequence") or []:
        values = [float(value) for value in child.get("GraphicData") or []]
        if child.ValueType == "SCOORD3D":
            finding.points_lps_mm += [
                (values[at], values[at + 1], values[at + 2]) for at in range(0, len(values) - 2, 3)
            ]
        elif child.ValueType == "SCOORD":
            images = [
                str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
                for image in child.get("ContentSequence") or []
                if image.get("ReferencedSOPSequence")
            ]
            if images:
                points = tuple(zip(values[::2], values[1::2], strict=False))
                finding.image_points.append(ImagePoints(sop_instance_uid=images[0], points=points))
        _add_places(finding, child)


def concept_of(item: Dataset) -> Concept:
    """Code value and coding scheme of an item's name; empty without one."""
    names = item.get("ConceptNameCodeSequence") or []
    if not len(names):
        return "", ""
    return str(names[0].get("CodeValue", "")), str(names[0].get("CodingSchemeDesignator", ""))
