"""LIDC-IDRI as its archive gives it: reading files (XML) and DICOM, wherever below a folder.

TCIA lays out ``PATIENT/STUDY/SERIES/*.dcm`` with the XML beside the slices, or the XML files in
an archive of their own; both are matched by Series Instance UID. Each mark is placed by the SOP
Instance UID of its slice and, where a copy has other UIDs, by the slice's z.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from workers.datasets.dicom_folders import SeriesGrid, find_series, read_grid
from workers.datasets.lidc_consensus import GridMark, consensus, fill_mark, group_marks
from workers.datasets.lidc_xml import (
    CHARACTERISTICS,
    Outline,
    ReaderMark,
    Readings,
    parse_readings,
)
from workers.datasets.scan import (
    AnnotatedNodule,
    AnnotatedScan,
    BrokenScan,
    OtherMark,
    PlacedMask,
    Point,
)
from workers.errors import DatasetRefused

NOT_CALCIFIED = 6
"""LIDC's calcification rating: 6 is absent."""
GROUND_GLASS_BELOW, PART_SOLID_BELOW = 2.0, 3.8
"""Mean texture rating, 1 ground glass to 5 solid, as for simulated nodules."""
SMALL_RADIUS_MM, NON_NODULE_RADIUS_MM = 3.0, 5.0
"""Around a point that stands for a nodule under 3 mm, or for something else; LUNA16's evaluation
takes a radius of 5 mm where no size is known (Setio et al., Med Image Anal 2017;42:1)."""
SAME_SLICE_MM = 0.5
"""How far a slice's z may be from the one that a reading names."""


def find_scans(folder: Path) -> Iterator[AnnotatedScan | BrokenScan]:
    """Every CT of the collection below a folder that has a reading file.

    Raises
    ------
    DatasetRefused
        If there is no reading file at all.
    """
    files = sorted(folder.rglob("*.xml"))
    folders = find_series(folder) if files else {}
    seen: dict[str, Path] = {}
    readings = 0
    for path in files:
        try:
            read = parse_readings(path)
            if read is None:
                continue
            readings += 1
            uid = read.series_instance_uid
            if uid in seen:
                raise DatasetRefused(
                    str(path), f"reads the same series as {seen[uid]}", "keep one of the two"
                )
            seen[uid] = path
            if uid not in folders:
                raise DatasetRefused(
                    str(path), f"its series {uid} is not below {folder}", "fetch its DICOM"
                )
            yield to_scan(read, read_grid(folders[uid], uid))
        except (DatasetRefused, OSError) as error:
            readings += 1
            yield BrokenScan(source=str(path), why=str(error))
    if not readings:
        raise DatasetRefused(
            str(folder),
            "holds no reading of LIDC-IDRI (an XML file with LidcReadMessage)",
            "unpack the collection's annotation archive below it",
        )


def to_scan(readings: Readings, grid: SeriesGrid) -> AnnotatedScan:
    """Readings on the grid of their CT.

    Raises
    ------
    DatasetRefused
        If a mark lies on a slice, or in a place, that the series does not have.
    """
    places = _Slices(readings, grid)
    marks = [
        fill_mark(
            [(places.index_of(item), item.points_ij, item.inclusion) for item in mark.outlines],
            reader=mark.reader,
            ratings=mark.ratings,
        )
        for mark in readings.nodules
    ]
    groups = group_marks(
        marks,
        grid.affine,
        slice_thickness_mm=grid.slice_thickness_mm,
        readers=readings.readers,
    )
    non_nodules = [places.point_of(mark) for mark in readings.non_nodules]
    return AnnotatedScan(
        identifier=grid.series_instance_uid,
        patient_id=grid.patient_id,
        source=readings.source,
        nodules=tuple(
            _to_nodule(number, group, grid) for number, group in enumerate(groups, start=1)
        ),
        other_marks=(
            *(
                OtherMark(
                    centre_lps_mm=places.point_of(mark), radius_mm=SMALL_RADIUS_MM, kind="small"
                )
                for mark in readings.small_nodules
            ),
            *(
                OtherMark(centre_lps_mm=point, radius_mm=NON_NODULE_RADIUS_MM, kind="non-nodule")
                for point in non_nodules
            ),
        ),
        negatives_lps_mm=np.array(non_nodules, dtype=np.float64).reshape(-1, 3),
        read_volume=grid.read_volume,
    )


class _Slices:
    """Where the slices and pixels that a reading names are."""

    def __init__(self, readings: Readings, grid: SeriesGrid) -> None:
        self._source = readings.source
        self._grid = grid
        self._by_uid = {uid: k for k, uid in enumerate(grid.sop_instance_uids)}
        steps = np.arange(len(grid.sop_instance_uids))
        self._z_mm = grid.affine[2, 3] + steps * grid.affine[2, 0]

    def index_of(self, outline: Outline) -> int:
        """Index k of an outline's slice; its pixels are checked."""
        _, height, width = self._grid.shape
        low, high = outline.points_ij.min(axis=0), outline.points_ij.max(axis=0)
        if (low < 0).any() or (high >= (width, height)).any():
            raise DatasetRefused(
                str(self._source),
                f"marks pixel {high.tolist()} of slices of {width} x {height}",
                "this reading is of another series: fetch both anew",
            )
        if outline.sop_instance_uid in self._by_uid:
            return self._by_uid[outline.sop_instance_uid]
        apart = np.abs(self._z_mm - outline.z_mm)
        if not (apart <= SAME_SLICE_MM).any():
            raise DatasetRefused(
                str(self._source),
                f"marks slice {outline.sop_instance_uid} at z={outline.z_mm:g} mm, which the "
                f"series does not have (z={self._z_mm.min():g} to {self._z_mm.max():g} mm)",
                "fetch the missing slices",
            )
        return int(apart.argmin())

    def point_of(self, mark: ReaderMark) -> Point:
        """The mean of a mark's points, LPS mm."""
        index = np.concatenate(
            [
                np.column_stack(
                    [
                        np.full(len(item.points_ij), self.index_of(item)),
                        item.points_ij[:, 1],
                        item.points_ij[:, 0],
                    ]
                )
                for item in mark.outlines
            ]
        ).mean(axis=0)
        x, y, z = self._grid.affine[:3, :3] @ index + self._grid.affine[:3, 3]
        return float(x), float(y), float(z)


def _to_nodule(number: int, group: Sequence[GridMark], grid: SeriesGrid) -> AnnotatedNodule:
    origin, agreed = consensus(group)
    affine = grid.affine.copy()
    affine[:3, 3] += grid.affine[:3, :3] @ origin
    mask = PlacedMask(mask=agreed, affine=affine)
    ratings = {
        name: float(np.mean([mark.ratings[name] for mark in group if name in mark.ratings]))
        for name in CHARACTERISTICS
        if any(name in mark.ratings for mark in group)
    }
    return AnnotatedNodule(
        identifier=str(number),
        centre_lps_mm=mask.centroid_lps_mm,
        diameter_mm=mask.diameter_mm,
        readers=len({mark.reader for mark in group}),
        kind=_kind(group, ratings.get("texture")),
        ratings=ratings,
        mask=mask,
    )


def _kind(group: Sequence[GridMark], texture: float | None) -> str:
    rated = [mark.ratings["calcification"] for mark in group if "calcification" in mark.ratings]
    if rated and np.mean([value != NOT_CALCIFIED for value in rated]) > 0.5:
        return "calcified"
    if texture is None:
        return "unknown"
    if texture < GROUND_GLASS_BELOW:
        return "ground-glass"
    return "part-solid" if texture < PART_SOLID_BELOW else "solid"
