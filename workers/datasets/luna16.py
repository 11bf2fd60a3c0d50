"""LUNA16: ``annotations.csv`` and MetaImage volumes in ``subset0`` to ``subset9``.

Its annotations are nodules of 3 mm or more that at least three of LIDC-IDRI's four readers
marked; what it leaves aside stands in ``annotations_excluded.csv``. Coordinates are LPS mm.
``candidates_V2.csv``, where it is there, gives places that look like nodules and are none.

References
----------
Setio AAA et al., Med Image Anal 2017;42:1, doi 10.1016/j.media.2017.06.015.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.volume import Volume
from workers.datasets.scan import AnnotatedNodule, AnnotatedScan, BrokenScan, OtherMark, Point
from workers.datasets.table import Row, number, read_table
from workers.errors import DatasetRefused

READERS = 3
"""Every annotation was marked by at least so many."""
UNKNOWN_DIAMETER_MM = 10.0
"""Taken by LUNA16's own evaluation where an excluded finding has no size (-1)."""
PADDING_BELOW_HU = -1024
"""Below it lies what scanners fill the corners with (-3024, -2048)."""
COORDINATES = ("coordx", "coordy", "coordz")
CSV_PLACES = ("", "CSVFILES", "evaluationScript/annotations", "..", "../CSVFILES")
"""Where the archive's tables are unpacked to, seen from the folder that is given."""


def find_scans(folder: Path) -> Iterator[AnnotatedScan | BrokenScan]:
    """Every volume below a folder, which may be one subset.

    A volume without a line in ``annotations.csv`` is a scan without nodules.

    Raises
    ------
    DatasetRefused
        If the annotations or all volumes are missing, or SimpleITK is.
    """
    _need_simpleitk()
    annotations = _find_table(folder, "annotations.csv")
    if annotations is None:
        raise DatasetRefused(
            str(folder), "holds no annotations.csv", "put it there or into CSVFILES beside it"
        )
    nodules = _by_scan(annotations, (*COORDINATES, "diameter_mm"))
    excluded_file = _find_table(folder, "annotations_excluded.csv")
    excluded = _by_scan(excluded_file, (*COORDINATES, "diameter_mm")) if excluded_file else {}
    candidates_file = _find_table(folder, "candidates_V2.csv")
    candidates = _by_scan(candidates_file, (*COORDINATES, "class")) if candidates_file else {}
    files = sorted(folder.rglob("*.mhd"))
    if not files:
        raise DatasetRefused(str(folder), "holds no .mhd volume", "unpack the subsets there")
    for path in files:
        identifier = path.stem
        try:
            yield AnnotatedScan(
                identifier=identifier,
                patient_id=identifier,  # LUNA16 names none
                source=path,
                nodules=tuple(
                    AnnotatedNodule(
                        identifier=str(order),
                        centre_lps_mm=_point(annotations, line, row),
                        diameter_mm=number(annotations, line, row, "diameter_mm", above=0),
                        readers=READERS,
                    )
                    for order, (line, row) in enumerate(nodules.get(identifier, ()), start=1)
                ),
                other_marks=tuple(
                    OtherMark(
                        centre_lps_mm=_point(excluded_file, line, row),
                        radius_mm=_radius_mm(excluded_file, line, row),
                        kind="excluded",
                    )
                    for line, row in excluded.get(identifier, ())
                    if excluded_file is not None
                ),
                negatives_lps_mm=np.array(
                    [
                        _point(candidates_file, line, row)
                        for line, row in candidates.get(identifier, ())
                        if candidates_file is not None and row["class"] == "0"
                    ]
                ).reshape(-1, 3),
                read_volume=_reader(path),
            )
        except DatasetRefused as error:
            yield BrokenScan(source=str(path), why=str(error))


def _need_simpleitk() -> None:
    try:
        import SimpleITK  # noqa: F401
    except ImportError as error:
        raise DatasetRefused(
            "LUNA16", "MetaImage files need SimpleITK", "pip install 'pulmonode[training]'"
        ) from error


def _reader(path: Path) -> Callable[[], Volume]:
    return lambda: read_metaimage(path)


def read_metaimage(path: Path) -> Volume:
    """Read an axial MetaImage in HU, whichever way its axes run.

    Returns
    -------
    Volume
        Columns towards the patient's left, rows backwards, slices upwards, as DICOM's usual
        axial series; an image stored with flipped axes is turned, its places stay.

    Raises
    ------
    DatasetRefused
        If it cannot be read, or is not a 3-D axial image.
    """
    import SimpleITK

    try:
        image: Any = SimpleITK.ReadImage(str(path), SimpleITK.sitkInt16)
    except RuntimeError as error:
        why = str(error).strip().splitlines()[-1]
        raise DatasetRefused(
            str(path), f"cannot be read ({why})", "unpack the .mhd and its .raw anew"
        ) from error
    if image.GetDimension() != 3:
        raise DatasetRefused(str(path), "is not a 3-D image", "leave it out")
    hu = np.maximum(SimpleITK.GetArrayFromImage(image), PADDING_BELOW_HU)  # (k, j, i)
    # SimpleITK: columns are the unit vectors of i, j, k; ours are k, j, i.
    axes = np.array(image.GetDirection()).reshape(3, 3)[:, ::-1]
    affine = np.eye(4)
    affine[:3, :3] = axes * np.array(image.GetSpacing())[::-1]
    affine[:3, 3] = image.GetOrigin()
    return _upright(Volume(hu=hu, affine=affine), path)


def _upright(volume: Volume, path: Path) -> Volume:
    """The volume with every axis running towards the growing coordinate."""
    if np.abs(volume.direction).argmax(axis=0).tolist() != [2, 1, 0]:
        raise DatasetRefused(
            str(path), "is not axial: slices, rows and columns are not z, y, x", "leave it out"
        )
    affine = volume.affine.copy()
    hu: NDArray[np.int16] = volume.hu
    for axis, row in enumerate((2, 1, 0)):
        if affine[row, axis] < 0:
            affine[:3, 3] += affine[:3, axis] * (hu.shape[axis] - 1)
            affine[:3, axis] *= -1
            hu = np.flip(hu, axis)
    return Volume(hu=np.ascontiguousarray(hu), affine=affine)


def _find_table(folder: Path, name: str) -> Path | None:
    places = (folder / place / name for place in CSV_PLACES)
    return next((path for path in places if path.is_file()), None)


def _by_scan(path: Path, columns: tuple[str, ...]) -> dict[str, list[tuple[int, Row]]]:
    rows: dict[str, list[tuple[int, Row]]] = defaultdict(list)
    for line, row in read_table(path, ("seriesuid", *columns)):
        rows[row["seriesuid"]].append((line, row))
    return rows


def _point(path: Path | None, line: int, row: Row) -> Point:
    x, y, z = (number(path or Path(), line, row, column) for column in COORDINATES)
    return x, y, z


def _radius_mm(path: Path | None, line: int, row: Row) -> float:
    diameter_mm = number(path or Path(), line, row, "diameter_mm")
    return (diameter_mm if diameter_mm > 0 else UNKNOWN_DIAMETER_MM) / 2
