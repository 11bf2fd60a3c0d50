"""Small DICOM series and reading files, made by hand, for the loaders of data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dicom_node.compose.ct import CtIdentity, write_ct_series
from dicom_node.read.header import read_header

ROWS, COLUMNS, SLICES = 40, 48, 24
AFFINE = np.array(
    [[0.0, 0.0, 0.8, -20.0], [0.0, 0.8, 0.0, -30.0], [2.0, 0.0, 0.0, 100.0], [0.0, 0.0, 0.0, 1.0]]
)
"""k, j, i -> LPS mm: slices every 2 mm, pixels of 0.8 mm."""


def write_series(folder: Path, *, patient: str = "P1", key: str = "one") -> list[str]:
    """Half tissue, half air; SOP Instance UIDs in ascending z."""
    hu = np.full((SLICES, ROWS, COLUMNS), -850, dtype=np.int16)
    hu[:, : ROWS // 2] = 40
    paths = write_ct_series(
        folder, hu=hu, affine=AFFINE, identity=CtIdentity(key=key, patient_id=patient)
    )
    return [read_header(path).sop_instance_uid for path in paths]


def series_uid(folder: Path) -> str:
    return read_header(sorted(folder.glob("*.dcm"))[0]).series_instance_uid


def square(row: int, column: int, inner: int) -> list[tuple[int, int]]:
    """Outline (column, row) around a square of `inner` pixels whose first is at (row, column)."""
    low_r, low_c, high_r, high_c = row - 1, column - 1, row + inner, column + inner
    top = [(c, low_r) for c in range(low_c, high_c)]
    right = [(high_c, r) for r in range(low_r, high_r)]
    bottom = [(c, high_r) for c in range(high_c, low_c, -1)]
    left = [(low_c, r) for r in range(high_r, low_r, -1)]
    return top + right + bottom + left


def roi(uid: str, z_mm: float, points: Sequence[tuple[int, int]], inclusion: bool = True) -> str:
    edges = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>"
                    for x, y in points)  # fmt: skip
    return (
        f"<roi><imageZposition>{z_mm} </imageZposition><imageSOP_UID>{uid}</imageSOP_UID>"
        f"<inclusion>{str(inclusion).upper()}</inclusion>{edges}</roi>"
    )


def nodule(name: str, rois: Sequence[str], **ratings: int) -> str:
    given = "".join(f"<{key}>{value}</{key}>" for key, value in ratings.items())
    rated = f"<characteristics>{given}</characteristics>" if given else ""
    return (
        f"<unblindedReadNodule><noduleID>{name}</noduleID>{rated}{''.join(rois)}"
        "</unblindedReadNodule>"
    )


def non_nodule(uid: str, z_mm: float, x: int, y: int) -> str:
    return (
        f"<nonNodule><nonNoduleID>1</nonNoduleID><imageZposition>{z_mm}</imageZposition>"
        f"<imageSOP_UID>{uid}</imageSOP_UID><locus><xCoord>{x}</xCoord><yCoord>{y}</yCoord>"
        "</locus></nonNodule>"
    )


def message(uid: str, sessions: Sequence[str], namespace: str = "http://www.nih.gov") -> str:
    read = "".join(f"<readingSession>{session}</readingSession>" for session in sessions)
    return (
        f'<?xml version="1.0"?><LidcReadMessage xmlns="{namespace}"><ResponseHeader>'
        f"<SeriesInstanceUid>{uid}</SeriesInstanceUid></ResponseHeader>{read}</LidcReadMessage>"
    )
