"""Segmentations as annotation: ours, corrected in a viewer or not, beside their CT series.

One segment is one nodule. Where a report (SR) tracks the same nodule, its measurements and its
type come along.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_node.compose import codes
from dicom_node.errors import DicomNodeError
from dicom_node.read.header import InstanceHeader, read_header
from dicom_node.read.measurement_report import TrackedFinding, read_measurements
from dicom_node.read.segmentation import (
    SegmentFrame,
    StoredSegment,
    StoredSegmentation,
    read_segmentation,
)
from dicom_node.read.series import scan_folder
from workers.datasets.dicom_folders import SeriesGrid, read_grid
from workers.datasets.scan import AnnotatedNodule, AnnotatedScan, BrokenScan, PlacedMask
from workers.errors import DatasetRefused

SAME_PLACE_MM = 0.5
"""How far a frame's first pixel may be from the slice's."""
SAME_DIRECTION = 1e-3
MEASUREMENTS = {
    (codes.VOLUME.value, codes.VOLUME.scheme_designator, "mm3"): "volume_mm3",
    (codes.DIAMETER.value, codes.DIAMETER.scheme_designator, "mm"): "mean_diameter_mm",
    (codes.LONG_AXIS.value, codes.LONG_AXIS.scheme_designator, "mm"): "long_axis_mm",
    (codes.SHORT_AXIS.value, codes.SHORT_AXIS.scheme_designator, "mm"): "short_axis_mm",
    (codes.ATTENUATION.value, codes.ATTENUATION.scheme_designator, "[hnsf'U]"): "mean_hu",
}
TYPE_QUESTION = (codes.NODULE_TYPE.value, codes.NODULE_TYPE.scheme_designator)
TYPES = {code.value: name for name, code in codes.NODULE_TYPES.items()}


def find_scans(folder: Path) -> Iterator[AnnotatedScan | BrokenScan]:
    """Every CT series below a folder that a Segmentation there refers to.

    Of several Segmentations of one series, the one with the highest Instance Number counts.

    Raises
    ------
    DatasetRefused
        If there is no Segmentation at all.
    """
    found = scan_folder(folder).series
    headers = {path: read_header(path) for paths in found.values() for path in _results(paths)}
    segmentations = [path for path, header in headers.items() if header.modality == "SEG"]
    if not segmentations:
        raise DatasetRefused(
            str(folder), "holds no Segmentation (DICOM SEG)", "export it from the PACS there"
        )
    reports = [path for path, header in headers.items() if header.modality == "SR"]
    tracked, unread = _read_reports(reports)
    yield from unread
    newest: dict[str, tuple[Path, StoredSegmentation]] = {}
    for path in sorted(segmentations, key=lambda item: _order(headers[item])):
        try:
            read = read_segmentation(path)
            uids = [uid for uid in read.referenced_series_uids if uid in found]
            if not uids:
                raise DatasetRefused(
                    str(path),
                    "refers to series "
                    + (", ".join(read.referenced_series_uids) or "(none)")
                    + ", not found below the folder",
                    "export the CT with it",
                )
            newest[uids[0]] = (path, read)
        except (DicomNodeError, DatasetRefused) as error:
            yield BrokenScan(source=str(path), why=str(error))
    for uid, (path, read) in newest.items():
        try:
            grid = read_grid(sorted({item.parent for item in found[uid]}), uid)
            yield to_scan(path, read, grid, tracked)
        except (DatasetRefused, DicomNodeError, OSError) as error:
            yield BrokenScan(source=str(path), why=str(error))


def _results(paths: Sequence[Path]) -> Sequence[Path]:
    """All files of a series of results, one file of any other."""
    return paths if read_header(paths[0]).modality in ("SEG", "SR") else paths[:1]


def _order(header: InstanceHeader) -> tuple[int, str]:
    return header.instance_number or 0, header.sop_instance_uid


def _read_reports(
    paths: Sequence[Path],
) -> tuple[dict[str, TrackedFinding], list[BrokenScan]]:
    tracked: dict[str, TrackedFinding] = {}
    unread = []
    for path in paths:
        try:
            tracked |= read_measurements(path)
        except DicomNodeError as error:
            unread.append(BrokenScan(source=str(path), why=str(error)))
    return tracked, unread


def to_scan(
    source: Path,
    segmentation: StoredSegmentation,
    grid: SeriesGrid,
    tracked: Mapping[str, TrackedFinding],
) -> AnnotatedScan:
    """A Segmentation on the grid of its CT.

    Raises
    ------
    DatasetRefused
        If a frame does not lie on a slice of the series.
    """
    if segmentation.image_orientation is not None:
        wanted = np.concatenate([_unit(grid.affine[:3, 2]), _unit(grid.affine[:3, 1])])
        if np.abs(wanted - segmentation.image_orientation).max() > SAME_DIRECTION:
            raise DatasetRefused(
                str(source),
                "its frames are turned against the CT's slices",
                "export it on the CT's own grid",
            )
    return AnnotatedScan(
        identifier=grid.series_instance_uid,
        patient_id=grid.patient_id or grid.series_instance_uid,
        source=source,
        nodules=tuple(
            _to_nodule(source, segment, grid, tracked.get(segment.tracking_uid))
            for segment in segmentation.segments
            if any(frame.mask.any() for frame in segment.frames)
        ),
        read_volume=grid.read_volume,
    )


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector))


def _to_nodule(
    source: Path, segment: StoredSegment, grid: SeriesGrid, finding: TrackedFinding | None
) -> AnnotatedNodule:
    slices = {}
    for frame in segment.frames:
        if frame.mask.shape != grid.shape[1:]:
            raise DatasetRefused(
                str(source),
                f"frames of {frame.mask.shape} pixels, slices of {grid.shape[1:]}",
                "export it on the CT's own grid",
            )
        if frame.mask.any():
            slices[_slice_index(source, frame, grid)] = frame.mask
    rows, columns = np.nonzero(np.any(list(slices.values()), axis=0))
    k0, j0, i0 = min(slices), int(rows.min()), int(columns.min())
    mask = np.zeros(
        (max(slices) - k0 + 1, int(rows.max()) - j0 + 1, int(columns.max()) - i0 + 1), dtype=bool
    )
    for k, plane in slices.items():
        mask[k - k0] = plane[j0 : j0 + mask.shape[1], i0 : i0 + mask.shape[2]]
    affine = grid.affine.copy()
    affine[:3, 3] += grid.affine[:3, :3] @ (k0, j0, i0)
    placed = PlacedMask(mask=mask, affine=affine)
    told = finding or TrackedFinding(tracking_uid="")
    return AnnotatedNodule(
        identifier=segment.label or str(segment.number),
        centre_lps_mm=placed.centroid_lps_mm,
        diameter_mm=placed.diameter_mm,
        kind=TYPES.get(told.codes.get(TYPE_QUESTION, ""), "unknown"),
        measurements={
            name: told.measurements[key]
            for key, name in MEASUREMENTS.items()
            if key in told.measurements
        },
        mask=placed,
    )


def _slice_index(source: Path, frame: SegmentFrame, grid: SeriesGrid) -> int:
    if frame.source_uid in grid.sop_instance_uids:
        return grid.sop_instance_uids.index(frame.source_uid)
    if frame.position_lps_mm is not None:
        index = np.linalg.solve(grid.affine[:3, :3], frame.position_lps_mm - grid.affine[:3, 3])
        k = int(np.rint(index[0]))
        apart_mm = np.linalg.norm(grid.affine[:3, :3] @ (index - (k, 0, 0)))
        if 0 <= k < grid.shape[0] and apart_mm <= SAME_PLACE_MM:
            return k
    raise DatasetRefused(
        str(source),
        f"a frame lies on slice {frame.source_uid or '(not named)'}, which the CT here has not",
        "export the whole CT with it",
    )
