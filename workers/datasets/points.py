"""A table of nodules beside DICOM folders: what a hospital can write in a spreadsheet.

Columns ``series``, ``x``, ``y``, ``z`` (LPS mm), ``diameter`` (mm); optional ``label``,
``readers``, ``type``, ``patient``. ``series`` is a folder, seen from the table, or a Series
Instance UID of DICOM below the table's folder. A line with empty coordinates says that the
series has no nodule.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dicom_node.receive.spool import is_valid_uid
from inference.findings import NoduleType
from workers.datasets.dicom_folders import SeriesGrid, find_series, read_grid
from workers.datasets.scan import AnnotatedNodule, AnnotatedScan, BrokenScan, OtherMark
from workers.datasets.table import Row, number, read_table
from workers.errors import DatasetRefused

COLUMNS = ("series", "x", "y", "z", "diameter")
LABELS = ("nodule", "ignore", "non-nodule")
"""What a mark may be: right, neither right nor wrong, or known to be none."""
TYPES = ("", "unknown", *typing.get_args(NoduleType))


def find_scans(file: Path) -> Iterator[AnnotatedScan | BrokenScan]:
    """Every series that a table names, in its order.

    Raises
    ------
    DatasetRefused
        If the table is none, or names no series.
    """
    if not file.is_file():
        raise DatasetRefused(str(file), "is not a file", "give a CSV file")
    by_series: dict[str, list[tuple[int, Row]]] = {}
    for line, row in read_table(file, COLUMNS):
        by_series.setdefault(row["series"], []).append((line, row))
    if not by_series:
        raise DatasetRefused(str(file), "has no line", "write one line per nodule")
    by_uid = {
        uid: folders
        for uid, folders in (
            find_series(file.parent) if any(map(is_valid_uid, by_series)) else {}
        ).items()
        if uid in by_series
    }
    for series, rows in by_series.items():
        try:
            yield _to_scan(file, rows, _grid(file, rows[0][0], series, by_uid))
        except (DatasetRefused, OSError) as error:
            yield BrokenScan(source=f"{file}, series {series}", why=str(error))


def _grid(file: Path, line: int, series: str, by_uid: dict[str, list[Path]]) -> SeriesGrid:
    folder = file.parent / series
    if series and folder.is_dir():
        return read_grid([folder])
    if series in by_uid:
        return read_grid(by_uid[series], series)
    raise DatasetRefused(
        f"{file}, line {line}",
        f"series {series!r} is no folder beside the table and no series below it",
        "write a folder or a Series Instance UID",
    )


def _to_scan(file: Path, rows: Sequence[tuple[int, Row]], grid: SeriesGrid) -> AnnotatedScan:
    nodules: list[AnnotatedNodule] = []
    marks: list[OtherMark] = []
    negatives: list[tuple[float, float, float]] = []
    for line, row in rows:
        if not any(row.get(column) for column in COLUMNS[1:]):
            continue
        label = row.get("label", "").lower() or "nodule"
        if label not in LABELS or row.get("type", "").lower() not in TYPES:
            raise DatasetRefused(
                f"{file}, line {line}",
                f"label {label!r}, type {row.get('type', '')!r}",
                f"label is one of {', '.join(LABELS)}; type one of {', '.join(TYPES[1:])}",
            )
        x, y, z = (number(file, line, row, column) for column in ("x", "y", "z"))
        diameter_mm = number(file, line, row, "diameter", above=0)
        _check_inside(file, line, (x, y, z), grid)
        if label == "nodule":
            nodules.append(
                AnnotatedNodule(
                    identifier=f"line {line}",
                    centre_lps_mm=(x, y, z),
                    diameter_mm=diameter_mm,
                    readers=int(number(file, line, row, "readers", above=0))
                    if row.get("readers")
                    else None,
                    kind=row.get("type", "").lower() or "unknown",
                )
            )
        elif label == "ignore":
            marks.append(
                OtherMark(centre_lps_mm=(x, y, z), radius_mm=diameter_mm / 2, kind="excluded")
            )
        else:
            negatives.append((x, y, z))
    named = {row["patient"] for _, row in rows if row.get("patient")}
    if len(named) > 1:
        raise DatasetRefused(
            str(file), f"gives one series to patients {', '.join(sorted(named))}", "correct it"
        )
    return AnnotatedScan(
        identifier=grid.series_instance_uid,
        patient_id=next(iter(named), grid.patient_id) or grid.series_instance_uid,
        source=file,
        nodules=tuple(nodules),
        other_marks=tuple(marks),
        negatives_lps_mm=np.array(negatives, dtype=np.float64).reshape(-1, 3),
        read_volume=grid.read_volume,
    )


def _check_inside(
    file: Path, line: int, point: tuple[float, float, float], grid: SeriesGrid
) -> None:
    """Refuse a place outside of the series: voxels or RAS written as LPS mm."""
    index = np.linalg.solve(grid.affine, np.array([*point, 1.0]))[:3]
    if (index < -1).any() or (index > grid.shape).any():
        raise DatasetRefused(
            f"{file}, line {line}",
            f"({point[0]:g}, {point[1]:g}, {point[2]:g}) lies outside of the series",
            "write LPS mm as in Image Position (Patient), not voxels or RAS",
        )
