"""DICOM series below a folder: which folder holds which, its grid, its volume.

LIDC-IDRI alone is a quarter of a million files, so a folder is known by two of its files, and
all headers of a series are read only when the series is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_node.errors import DicomNodeError, UnreadableInstance
from dicom_node.read.header import read_header
from dicom_node.read.series import load_ct_series, read_series_geometry
from inference.volume import Volume
from workers.errors import DatasetRefused
from workers.translate import to_volume

DICOM_SUFFIX = re.compile(r"|\.(dcm|dicom|ima|\d+)")
"""Of file names that may be DICOM: archives name files ``1-001.dcm``, ``IM0001`` or by UID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesGrid:
    """The grid of a CT series, read from its headers alone.

    Attributes
    ----------
    sop_instance_uids : tuple of str
        Slice by slice, in the order of the array that `read_volume` gives.
    affine : ndarray of shape (4, 4)
        Voxel centres (k, j, i, 1) to LPS mm.
    shape : tuple of int
        (D, H, W).
    slice_thickness_mm : float
        As the headers say, or the spacing of the slices.
    """

    paths: tuple[Path, ...]
    series_instance_uid: str
    patient_id: str
    sop_instance_uids: tuple[str, ...]
    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    slice_thickness_mm: float

    def read_volume(self) -> Volume:
        """Decode it."""
        return to_volume(load_ct_series(self.paths, allow_incomplete=True))


def dicom_files(folder: Path) -> list[Path]:
    """Files in a folder itself whose names may be DICOM's, sorted."""
    return sorted(
        path
        for path in folder.iterdir()
        if DICOM_SUFFIX.fullmatch(path.suffix.lower())
        and path.name.upper() != "DICOMDIR"
        and path.is_file()
    )


def find_series(root: Path) -> dict[str, list[Path]]:
    """Folders by the Series Instance UID of their first and last file, below and at `root`."""
    found: dict[str, list[Path]] = {}
    for folder in sorted([root, *(path for path in root.rglob("*") if path.is_dir())]):
        files = dicom_files(folder)
        for path in dict.fromkeys(files[:1] + files[-1:]):
            try:
                uid = read_header(path).series_instance_uid
            except (UnreadableInstance, OSError):
                continue  # reading the series itself says what is wrong with it
            if folder not in found.setdefault(uid, []):
                found[uid].append(folder)
    return found


def read_grid(folders: Sequence[Path], series_uid: str | None = None) -> SeriesGrid:
    """The grid of a series in some folders.

    Parameters
    ----------
    folders : sequence of Path
        That hold its files.
    series_uid : str, optional
        Which series, where a folder may hold several; without it there must be one.

    Raises
    ------
    DatasetRefused
        If it is not there, or cannot become a volume.
    """
    where = ", ".join(str(folder) for folder in folders)
    paths = []
    try:
        for folder in folders:
            for path in dicom_files(folder):
                header = read_header(path)
                if series_uid is None or header.series_instance_uid == series_uid:
                    paths.append(path)
        if not paths:
            raise DatasetRefused(
                where, f"no slice of series {series_uid or 'any'} in it", "put its DICOM there"
            )
        geometry, headers = read_series_geometry(paths, allow_incomplete=True)
    except DicomNodeError as error:
        raise DatasetRefused(where, str(error), "fetch the series anew or leave it out") from error
    first, affine = headers[0], np.asarray(geometry.affine)
    spacing_mm = float(np.linalg.norm(affine[:3, 0]))
    return SeriesGrid(
        paths=tuple(paths),
        series_instance_uid=first.series_instance_uid,
        patient_id=first.identity.patient_id,
        sop_instance_uids=geometry.sop_instance_uids,
        affine=affine,
        shape=(len(headers), first.rows or 0, first.columns or 0),
        slice_thickness_mm=max(first.slice_thickness_mm or 0.0, spacing_mm),
    )
