"""Our own check of a segmentation, and of whether report, segmentation and CT agree in space.

A half-pixel or off-by-one shift passes every validator and every viewer draws it; only a
comparison of the drawn line with the voxels shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from dicom_node.compose import codes
from dicom_node.compose.content_tree import code_of, items, template_of, tracking_uid_of
from dicom_node.read.ct_series import CtSeries

POSITION_TOLERANCE_MM = 1e-3
"""What OHIF allows between the planes of a SEG and of its CT."""
CENTRE_TOLERANCE_PX = 0.25
"""Between the centres of contour and segment: half of the half pixel that would be a fault."""
BOX_TOLERANCE_PX = 1.5
"""Between sizes of a box and of the voxels in it: an outline may pass half a pixel outside."""
END_TOLERANCE_PX = 1.0
"""An axis ends on the nodule's border, which lies within a pixel of its outermost voxels."""
LENGTH_TOLERANCE_MM = 0.05
"""Coordinates are 32-bit floats and lengths are rounded to 0.01 mm."""
CORNER_TO_CENTRE_PX = 0.5
"""SCOORD counts from the corner of the first pixel (PS3.3 C.18.6.1.1)."""


def check_seg(ds: Dataset, series: CtSeries) -> list[str]:
    """What a segmentation breaks.

    Parameters
    ----------
    ds : Dataset
        The segmentation with its pixels, read from a file.
    series : CtSeries
        The CT that it belongs to.

    Returns
    -------
    list of str
        One line per breach.
    """
    return [
        *_check_document(ds, series),
        *_check_segments(ds),
        *_check_frames(ds, series),
        *_check_references(ds, series),
    ]


def segment_masks(ds: Dataset, series: CtSeries) -> dict[int, NDArray[np.bool_]]:
    """The segments on the series' grid, each of shape (D, H, W), by segment number."""
    slices = {uid: k for k, uid in enumerate(series.sop_instance_uids)}
    masks = {
        int(segment.SegmentNumber): np.zeros(series.hu.shape, dtype=np.bool_)
        for segment in ds.SegmentSequence
    }
    for frame, pixels in zip(ds.PerFrameFunctionalGroupsSequence, _frames(ds), strict=True):
        k = slices.get(_source_uid(frame))
        mask = masks.get(_segment_number(frame, ds))
        if k is not None and mask is not None:
            mask[k] |= pixels.astype(np.bool_)
    return masks


def measure_agreement(
    report: Dataset,
    segmentation: Dataset,
    series: CtSeries,
    *,
    centre_tolerance_px: float = CENTRE_TOLERANCE_PX,
) -> list[str]:
    """Where the lines of a report do not lie on the voxels of its segmentation.

    Parameters
    ----------
    report, segmentation : Dataset
        As composed from the same content.
    series : CtSeries
        Their CT.
    centre_tolerance_px : float
        Largest distance between the centre of area of contour and segment in the key slice.

    Returns
    -------
    list of str
        One line per disagreement: axis ends off the segment, lengths that do not follow from
        the ends, contours that are shifted.
    """
    masks = segment_masks(segmentation, series)
    by_tracking_uid = {
        str(segment.get("TrackingUID")): masks[int(segment.SegmentNumber)]
        for segment in segmentation.SegmentSequence
    }
    problems: list[str] = []
    for container in items(report, codes.IMAGING_MEASUREMENTS):
        for group in items(container, codes.MEASUREMENT_GROUP):
            uid = tracking_uid_of(group)
            mask = by_tracking_uid.get(uid)
            if mask is None:
                problems.append(f"tracking UID {uid} has no segment")
            elif template_of(group) == "1501":
                problems += _check_axes(group, mask, series)
            elif template_of(group) == "1410":
                problems += _check_contour(group, mask, series, centre_tolerance_px)
    return problems


def _frames(ds: Dataset) -> NDArray[np.generic]:
    pixels: NDArray[np.generic] = ds.pixel_array
    return pixels[np.newaxis] if pixels.ndim == 2 else pixels


def _source_uid(frame: Dataset) -> str:
    """The CT instance that a frame was derived from (PS3.3 C.7.6.16.2.6)."""
    for derivation in frame.get("DerivationImageSequence") or ():
        for source in derivation.get("SourceImageSequence") or ():
            return str(source.ReferencedSOPInstanceUID)
    return ""


def _segment_number(frame: Dataset, ds: Dataset) -> int:
    """Per frame, or shared where there is one segment alone (PS3.3 C.8.20.3.1)."""
    shared = ds.get("SharedFunctionalGroupsSequence") or [Dataset()]
    identification = list(
        frame.get("SegmentIdentificationSequence")
        or shared[0].get("SegmentIdentificationSequence")
        or ()
    )
    return int(identification[0].ReferencedSegmentNumber) if identification else 0


def _check_document(ds: Dataset, series: CtSeries) -> Iterator[str]:
    if ds.get("SOPClassUID") != SegmentationStorage:
        yield f"SOP class {ds.get('SOPClassUID')} is not Segmentation"
    if ds.get("SegmentationType") != "BINARY":
        yield f"Segmentation Type is {ds.get('SegmentationType')}, BINARY wanted"
    if ds.file_meta.TransferSyntaxUID != ExplicitVRLittleEndian:
        yield f"transfer syntax is {ds.file_meta.TransferSyntaxUID.name}"
    if ds.get("FrameOfReferenceUID") != series.headers[0].get("FrameOfReferenceUID"):
        yield "Frame of Reference UID is not the CT's"
    if ds.get("StudyInstanceUID") != series.study_instance_uid:
        yield "Study Instance UID is not the CT's"
    if (ds.get("Rows"), ds.get("Columns")) != series.hu.shape[1:]:
        yield f"{ds.get('Rows')} x {ds.get('Columns')} pixels, the CT has {series.hu.shape[1:]}"
    if not any(
        code_of(item, "PurposeOfReferenceCodeSequence") == codes.PROCESSING_EQUIPMENT
        and item.get("DeviceUID")
        for item in ds.get("ContributingEquipmentSequence") or ()
    ):
        yield "Contributing Equipment: no Processing Equipment with a Device UID"


def _check_segments(ds: Dataset) -> Iterator[str]:
    """Segment Description (PS3.3 C.8.20.4)."""
    segments = list(ds.get("SegmentSequence") or ())
    numbers = [int(segment.SegmentNumber) for segment in segments]
    if numbers != list(range(1, len(segments) + 1)):
        yield f"segment numbers are {numbers}"
    uids = Counter(str(segment.get("TrackingUID") or "") for segment in segments)
    for segment in segments:
        name = f"segment {segment.SegmentNumber}"
        uid = str(segment.get("TrackingUID") or "")
        if not uid or uids[uid] > 1:
            yield f"{name}: Tracking UID is missing or not its own"
        if not segment.get("SegmentLabel") or segment.SegmentLabel != segment.get("TrackingID"):
            yield f"{name}: label and Tracking ID differ"
        if len(segment.get("RecommendedDisplayCIELabValue") or ()) != 3:
            yield f"{name}: no colour"
        for keyword, wanted in (
            ("SegmentedPropertyCategoryCodeSequence", codes.MORPHOLOGICALLY_ABNORMAL),
            ("SegmentedPropertyTypeCodeSequence", codes.NODULE),
        ):
            if code_of(segment, keyword) != wanted:
                yield f"{name}: {keyword} is not {wanted.meaning}"
        if segment.get("SegmentAlgorithmType") != "AUTOMATIC":
            yield f"{name}: algorithm type is {segment.get('SegmentAlgorithmType')}"
        if not segment.get("SegmentAlgorithmName"):
            yield f"{name}: no algorithm name"


def _check_frames(ds: Dataset, series: CtSeries) -> Iterator[str]:
    """Frames: each on a slice of the CT, of a known segment, not empty, none twice."""
    positions = {
        uid: np.array([float(value) for value in header.ImagePositionPatient])
        for uid, header in zip(series.sop_instance_uids, series.headers, strict=True)
    }
    known = {int(segment.SegmentNumber) for segment in ds.SegmentSequence}
    frames = list(ds.get("PerFrameFunctionalGroupsSequence") or ())
    seen: Counter[tuple[int, str]] = Counter()
    for number, (frame, pixels) in enumerate(zip(frames, _frames(ds), strict=True), start=1):
        uid, segment = _source_uid(frame), _segment_number(frame, ds)
        seen[segment, uid] += 1
        if segment not in known:
            yield f"frame {number}: no segment {segment}"
        if not pixels.any():
            yield f"frame {number} is empty"
        if uid not in positions:
            yield f"frame {number}: source image {uid or 'missing'} is not of the CT"
            continue
        plane = [float(v) for v in frame.PlanePositionSequence[0].ImagePositionPatient]
        if np.abs(np.array(plane) - positions[uid]).max() > POSITION_TOLERANCE_MM:
            yield f"frame {number}: its plane is not that of its source image"
    for (segment, uid), count in seen.items():
        if count > 1:
            yield f"segment {segment} has {count} frames on {uid}"
    for segment in known - {segment for segment, _ in seen}:
        yield f"segment {segment} has no frame"


def _check_references(ds: Dataset, series: CtSeries) -> Iterator[str]:
    """Common Instance Reference (PS3.3 C.12.2): OHIF shows nothing without it."""
    references = list(ds.get("ReferencedSeriesSequence") or ())
    if [str(item.SeriesInstanceUID) for item in references] != [series.series_instance_uid]:
        yield "Referenced Series Sequence does not name the CT series alone"
        return
    listed = Counter(
        str(item.ReferencedSOPInstanceUID) for item in references[0].ReferencedInstanceSequence
    )
    used = {_source_uid(frame) for frame in ds.PerFrameFunctionalGroupsSequence}
    for uid in sorted(used - set(listed)):
        yield f"source image {uid} is not in Referenced Series Sequence"
    for uid, count in listed.items():
        if count > 1:
            yield f"source image {uid} is listed {count} times"


def _line(item: Dataset, series: CtSeries) -> tuple[int | None, NDArray[np.float64]]:
    """Slice index and (row, column) from pixel centres, shape (N, 2), of a SCOORD."""
    images = items(item, value_type="IMAGE")
    uid = str(images[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID) if images else ""
    uids = series.sop_instance_uids
    points = np.array([float(v) for v in item.GraphicData], dtype=np.float64).reshape(-1, 2)
    return uids.index(uid) if uid in uids else None, points[:, ::-1] - CORNER_TO_CENTRE_PX


def _check_axes(group: Dataset, mask: NDArray[np.bool_], series: CtSeries) -> Iterator[str]:
    spacing_mm = np.linalg.norm(series.affine[:3, 1:3], axis=0)
    name_of: dict[Code, str] = {codes.LONG_AXIS: "long axis", codes.SHORT_AXIS: "short axis"}
    for concept, name in name_of.items():
        for measurement in items(group, concept, "NUM"):
            for line in items(measurement, value_type="SCOORD"):
                k, ends = _line(line, series)
                if k is None or not mask[k].any():
                    yield f"{name}: its image does not show the segment"
                    continue
                voxels = np.argwhere(mask[k])
                for end in ends:
                    # Distance to the nearest voxel's square, not to its centre.
                    outside = np.maximum(np.abs(voxels - end) - CORNER_TO_CENTRE_PX, 0.0)
                    distance_px = float(np.hypot(*outside.T).min())
                    if distance_px > END_TOLERANCE_PX:
                        yield f"{name}: an end lies {distance_px:.2f} px off the segment"
                length_mm = float(np.hypot(*((ends[-1] - ends[0]) * spacing_mm)))
                said_mm = float(measurement.MeasuredValueSequence[0].NumericValue)
                if abs(length_mm - said_mm) > LENGTH_TOLERANCE_MM:
                    yield f"{name}: {said_mm:.2f} mm said, {length_mm:.2f} mm drawn"


def _check_contour(
    group: Dataset, mask: NDArray[np.bool_], series: CtSeries, tolerance_px: float
) -> Iterator[str]:
    for region in items(group, codes.IMAGE_REGION, "SCOORD"):
        k, points = _line(region, series)
        if k is None or not mask[k].any():
            yield "contour: its image does not show the segment"
            continue
        voxels = np.argwhere(mask[k])
        # Of a nodule in several parts only the outlined one counts.
        near = ((voxels > points.min(axis=0) - 1) & (voxels < points.max(axis=0) + 1)).all(axis=1)
        if not near.any():
            yield "contour: it does not touch the segment"
            continue
        if items(group, codes.GEOMETRIC_PURPOSE):  # a box: held against the voxels' bounds
            lowest, highest = voxels[near].min(axis=0), voxels[near].max(axis=0)
            size_px = points.max(axis=0) - points.min(axis=0)
            if float(np.abs(size_px - (highest - lowest + 1)).max()) > BOX_TOLERANCE_PX:
                yield f"box: {size_px[0]:.1f} rows and {size_px[1]:.1f} columns, not the segment's"
            shift_px = _centre_of_area(points) - (lowest + highest) / 2
        else:
            shift_px = _centre_of_area(points) - voxels[near].mean(axis=0)
        if float(np.abs(shift_px).max()) > tolerance_px:
            yield (
                f"contour: {shift_px[0]:+.2f} rows and {shift_px[1]:+.2f} columns off the "
                f"segment, tolerance {tolerance_px} px"
            )


def _centre_of_area(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre of the area inside a polygon (N, 2); the mean of its corners when it has none."""
    a, b = points, np.roll(points, -1, axis=0)
    cross = a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]
    area = cross.sum() / 2
    if abs(area) < 1e-9:
        return np.asarray(points.mean(axis=0), dtype=np.float64)
    return np.asarray(((a + b) * cross[:, np.newaxis]).sum(axis=0) / (6 * area), dtype=np.float64)
