"""LIDC-IDRI's readings as tables to grade by: one row per nodule, or per reading of a nodule.

No pixels are in them. What is in a modality:

- ``roi2d`` and ``voi3d``: size and shape of the outline in its slice, and of the whole mask.
- ``report``: how subtle, calcified, round ... it looked; malignancy is never among them.
- ``context``: where in the scan, how many nodules the scan has, how it was taken.

Two protocols. **D2**: a row is one reading; features come from that reader's outline and ratings,
the truth is the mean malignancy of the *other* readers (at least two). **D1**: a row is a nodule;
features come from the consensus of all readers, and so does the truth. D1 is what most of the
literature does, and flattering: readers grade their own description. Both take nodules with at
least three readers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from inference.grading.table import ModalityTable
from inference.grading.table_file import load_table, save_table
from workers.datasets.lidc_consensus import GridMark, consensus, group_marks
from workers.datasets.lidc_database import ScanReadings, find_database, read_scans
from workers.datasets.lidc_xml import CHARACTERISTICS
from workers.datasets.mask_shape import ROI, VOI, measure_mask

Protocol = Literal["D1", "D2"]
READERS = 4
LEAST_READERS = 3
CENTRE_PX = 255.5
"""Half of a slice: LIDC's database does not know Image Position (Patient)."""
TABLE_VERSION = 1
"""Counted up when a column changes, so that no older cache is used."""

LOGS = {"roi2d": ("roi_area_mm2", "axial_mean_diam_mm"), "voi3d": ("volume_mm3", "surface_mm2")}
"""Sizes span three orders of magnitude; their logarithms stand beside them."""
REPORT = tuple(name for name in CHARACTERISTICS if name != "malignancy")
NOT_CALCIFIED, SOLID = 6, 5
CONTEXT = (
    "x_mm", "abs_x_mm", "y_mm", "z_rel", "z_from_bottom_mm", "z_from_top_mm", "n_nodules_scan",
    "slice_thickness_mm", "slice_spacing_mm", "pixel_spacing_mm", "contrast", "scan_length_mm",
)  # fmt: skip
NAMES: dict[str, tuple[str, ...]] = {
    "roi2d": (*ROI, *(f"log_{name}" for name in LOGS["roi2d"])),
    "voi3d": (*VOI, *(f"log_{name}" for name in LOGS["voi3d"])),
    "report": (*REPORT, "calcified", "not_solid"),
    "context": CONTEXT,
}

PARTED_AS_PUBLISHED = {
    66: (frozenset({572, 577, 585, 588}), frozenset({579, 584})),
    342: (
        frozenset({2454, 2457, 2459, 2461}),
        *(frozenset({mark}) for mark in (2455, 2456, 2458, 2460)),
    ),
}
"""Two clumps of touching nodules (scan: marks of each nodule) can be parted in several ways. The
published baselines part them so; taken over, that rows and folds are theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadNodule:
    """A physical nodule and everyone who marked it.

    Attributes
    ----------
    nodule_id : str
        Patient, scan and place.
    marks : tuple of GridMark
        One per reader.
    in_scan : int
        Nodules in the scan, marked by anyone.
    """

    nodule_id: str
    scan: ScanReadings
    marks: tuple[GridMark, ...]
    in_scan: int

    @property
    def malignancy(self) -> tuple[int, ...]:
        """Each reader's, 1 to 5."""
        return tuple(mark.ratings["malignancy"] for mark in self.marks)


def find_nodules(scan: ScanReadings) -> list[ReadNodule]:
    """The nodules of a scan."""
    groups = group_marks(
        scan.marks,
        scan.affine,
        slice_thickness_mm=scan.slice_thickness_mm,
        readers=READERS,
    )
    parts = PARTED_AS_PUBLISHED.get(scan.number, ())
    touched = frozenset().union(*parts)
    groups = [group for group in groups if not any(mark.reader in touched for mark in group)]
    groups += [[mark for mark in scan.marks if mark.reader in part] for part in parts]
    groups.sort(key=lambda group: min(mark.reader for mark in group))
    return [
        ReadNodule(
            nodule_id=f"{scan.patient_id}_s{scan.number}_n{number}",
            scan=scan,
            marks=tuple(group),
            in_scan=len(groups),
        )
        for number, group in enumerate(groups)
    ]


def build_tables(
    scans: Iterable[ScanReadings], *, told: Callable[[str], None] = lambda _: None
) -> dict[Protocol, ModalityTable]:
    """Make both tables from some scans; rows by patient, then in the order of the scans."""
    rows: dict[Protocol, list[_Row]] = {"D1": [], "D2": []}
    for count, scan in enumerate(scans):
        if count % 100 == 0:
            told(f"readings of scan {count + 1}")
        for nodule in find_nodules(scan):
            if len(nodule.marks) >= LEAST_READERS:
                rows["D1"].append(_consensus_row(nodule))
                rows["D2"] += [_reading_row(nodule, mark) for mark in nodule.marks]
    return {protocol: _to_table(found) for protocol, found in rows.items()}


def read_table(
    protocol: Protocol, cache: Path, *, told: Callable[[str], None] = lambda _: None
) -> ModalityTable:
    """One table; both are made and kept in a folder when they are not there yet (minutes).

    Raises
    ------
    DatasetRefused
        If the package with the readings is not installed.
    """
    database = find_database()
    path = table_path(protocol, cache, database)
    if not path.is_file():
        for name, table in build_tables(read_scans(database), told=told).items():
            save_table(table_path(name, cache, database), table)
    return load_table(path)


def table_path(protocol: Protocol, cache: Path, database: Path) -> Path:
    """Where a table made from a database is kept: another database or version, another file."""
    key = hashlib.sha256(f"{TABLE_VERSION}:{database.stat().st_size}".encode()).hexdigest()[:12]
    return cache / f"{protocol}-{key}.npz"


def without_threes(table: ModalityTable) -> ModalityTable:
    """Leave out what readers on average find neither benign nor malignant: exactly 3."""
    return table.rows(table.rating != 3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    patient_id: str
    nodule_id: str
    rating: float
    values: Mapping[str, tuple[float, ...]]


def _consensus_row(nodule: ReadNodule) -> _Row:
    origin, mask = consensus(nodule.marks)
    agreed = replace(nodule.marks[0], origin_kji=origin, mask=mask)
    return _row(nodule, agreed, nodule.marks, nodule.malignancy)


def _reading_row(nodule: ReadNodule, mark: GridMark) -> _Row:
    others = [other.ratings["malignancy"] for other in nodule.marks if other.reader != mark.reader]
    return _row(nodule, mark, [mark], others)


def _row(
    nodule: ReadNodule, outlined: GridMark, described: Sequence[GridMark], truth: Sequence[int]
) -> _Row:
    """Features from an outline and from whoever described it; the truth from whoever judged it."""
    spacing_mm = nodule.scan.pixel_spacing_mm
    shape = measure_mask(outlined.mask, (nodule.scan.slice_spacing_mm, spacing_mm, spacing_mm))
    known = {**shape, **_report(described), **_context(nodule, outlined)}
    for names in LOGS.values():
        known |= {f"log_{name}": float(np.log(known[name])) for name in names}
    return _Row(
        patient_id=nodule.scan.patient_id,
        nodule_id=nodule.nodule_id,
        rating=float(np.mean(truth)),
        values={
            modality: tuple(known.get(name, np.nan) for name in names)
            for modality, names in NAMES.items()
        },
    )


def _report(marks: Sequence[GridMark]) -> dict[str, float]:
    ratings = [mark.ratings for mark in marks]
    found = {name: float(np.mean([one[name] for one in ratings])) for name in REPORT}
    # Neither scale is even: 6 is no calcification at all, 1 to 5 are kinds of it.
    found["calcified"] = float(np.mean([one["calcification"] < NOT_CALCIFIED for one in ratings]))
    found["not_solid"] = float(np.mean([one["texture"] < SOLID for one in ratings]))
    return found


def _context(nodule: ReadNodule, outlined: GridMark) -> dict[str, float]:
    scan = nodule.scan
    k, j, i = np.argwhere(outlined.mask).mean(axis=0) + outlined.origin_kji
    length_mm = float(scan.z_mm[-1] - scan.z_mm[0])
    bottom_mm = float(np.interp(k, np.arange(len(scan.z_mm)), scan.z_mm) - scan.z_mm[0])
    x_mm = float((i - CENTRE_PX) * scan.pixel_spacing_mm)
    return {
        "x_mm": x_mm,
        "abs_x_mm": abs(x_mm),
        "y_mm": float((j - CENTRE_PX) * scan.pixel_spacing_mm),
        "z_rel": bottom_mm / length_mm,
        "z_from_bottom_mm": bottom_mm,
        "z_from_top_mm": length_mm - bottom_mm,
        "n_nodules_scan": float(nodule.in_scan),
        "slice_thickness_mm": scan.slice_thickness_mm,
        "slice_spacing_mm": scan.slice_spacing_mm,
        "pixel_spacing_mm": scan.pixel_spacing_mm,
        "contrast": float(scan.contrast),
        "scan_length_mm": length_mm,
    }


def _to_table(rows: list[_Row]) -> ModalityTable:
    rows = sorted(rows, key=lambda row: row.patient_id)  # stable
    return ModalityTable(
        features={
            modality: np.array([row.values[modality] for row in rows], dtype=np.float32)
            for modality in NAMES
        },
        names=NAMES,
        patients=np.array([row.patient_id for row in rows]),
        nodules=np.array([row.nodule_id for row in rows]),
        rating=np.array([row.rating for row in rows]),
    )
