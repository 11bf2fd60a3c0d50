"""What 3D Slicer with its QuantitativeReporting extension makes of a TID 1500 report.

Its rules, in our words, from its public source (``DICOMTID1500Plugin.py``); like it, this reads
with highdicom. A report with a planar Image Region is drawn: as boxes when one of its regions is
"Bounded by", of the first four points, else as lines. Only a report without planar regions goes
to dcmqi's reader, which makes a table and loads the segmentations that the evidence names.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import highdicom
import numpy as np
from highdicom.sr import GraphicTypeValues
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    SegmentationStorage,
)

IMAGE_REGION = Code("111030", "DCM", "Image Region")
GEOMETRIC_PURPOSE = Code("130400", "DCM", "Geometric purpose of region")
BOUNDED_BY = Code("75958009", "SCT", "Bounded by")
CLASSES: Mapping[str, Any] = {
    EnhancedSRStorage: highdicom.sr.EnhancedSR,
    ComprehensiveSRStorage: highdicom.sr.ComprehensiveSR,
    Comprehensive3DSRStorage: highdicom.sr.Comprehensive3DSR,
}


class Refused(Exception):
    """Slicer does not offer the report, or fails while loading it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Markup:
    """A box or line that is drawn."""

    name: str
    finding: str
    site: str
    sop_instance_uid: str
    points_lps_mm: tuple[tuple[float, float, float], ...]
    """Corners of a box, or points of a line, where Slicer draws them: it takes coordinates
    for counted from the centre of the first pixel, and slices for upright and square."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A report as it is loaded."""

    how: Literal["boxes", "lines", "table"]
    markups: tuple[Markup, ...] = ()
    segmentations: tuple[str, ...] = ()
    """Series that are loaded with the report."""


def load_report(ds: Dataset, images: Mapping[str, Dataset]) -> Loaded:
    """What is shown of a report.

    Parameters
    ----------
    ds : Dataset
        The report.
    images : mapping
        Headers of the images in Slicer's database, by SOP Instance UID.

    Raises
    ------
    Refused
        If Slicer does not take it; says why.
    """
    templates = ds.get("ContentTemplateSequence")
    if (
        ds.get("Modality") != "SR"
        or ds.get("SOPClassUID") not in CLASSES
        or not templates
        or templates[0].TemplateIdentifier != "1500"
    ):
        raise Refused("no TID 1500 report")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The string .* is unlikely to represent")
        content = CLASSES[ds.SOPClassUID].from_dataset(ds).content
    try:
        planar = content.get_planar_roi_measurement_groups()
        regions = [group for group in planar if group.reference_type == IMAGE_REGION]
        lines = content.get_planar_roi_measurement_groups(
            reference_type=IMAGE_REGION, graphic_type=GraphicTypeValues.POLYLINE
        )
    except (ValueError, RuntimeError, AttributeError) as error:
        raise Refused(f"highdicom: {error}") from error
    if not regions:
        return Loaded(how="table", segmentations=_segmentations(ds))
    boxed = any(_is_bounded(group) for group in lines)
    series = _first_series(ds)
    markups = tuple(_markup(group, 4 if boxed else None, series, images) for group in lines)
    return Loaded(how="boxes" if boxed else "lines", markups=markups)


def _is_bounded(group: Any) -> bool:
    evaluations = group.get_qualitative_evaluations(name=GEOMETRIC_PURPOSE)
    return any(each.value == BOUNDED_BY for each in evaluations)


def _markup(
    group: Any, first_points: int | None, series_uid: str, images: Mapping[str, Dataset]
) -> Markup:
    """One region; its image must be of the first series that the evidence names."""
    uid = str(group.roi.ContentSequence[0].referenced_sop_instance_uid)
    image = images.get(uid)
    if image is None or str(image.SeriesInstanceUID) != series_uid:
        raise Refused(f"image {uid} is not of the first series of the evidence")
    if group.finding_type is None or not group.finding_sites:
        raise Refused("a group without finding or finding site")
    points = np.asarray(group.roi.value)[:first_points]
    if first_points:
        low, high = points.min(axis=0), points.max(axis=0)
        points = np.array([low, (high[0], low[1]), high, (low[0], high[1])])
    spacing = float(image.PixelSpacing[0])
    x, y, z = (float(value) for value in image.ImagePositionPatient)
    return Markup(
        name=str(group.tracking_identifier),
        finding=str(group.finding_type.meaning),
        site=str(group.finding_sites[0].value.meaning),
        sop_instance_uid=uid,
        points_lps_mm=tuple(
            (float(column) * spacing + x, float(row) * spacing + y, z) for column, row in points
        ),
    )


def _first_series(ds: Dataset) -> str:
    try:
        study = ds.CurrentRequestedProcedureEvidenceSequence[0]
        return str(study.ReferencedSeriesSequence[0].SeriesInstanceUID)
    except (AttributeError, IndexError):
        raise Refused("no evidence") from None


def _segmentations(ds: Dataset) -> tuple[str, ...]:
    return tuple(
        str(series.SeriesInstanceUID)
        for study in ds.get("CurrentRequestedProcedureEvidenceSequence") or ()
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
        if instance.ReferencedSOPClassUID == SegmentationStorage
    )
