"""Radiomics and measurements of a rendered set, computed once and kept beside its pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.cube_measures import MEASURES_VERSION, measure_cube
from inference.radiomics.extract import features_of
from inference.radiomics.table import ROI_TABLE, TABLE_VERSION, VOI_TABLE, FeatureTable
from inference.training.rendered_set import open_set

Rows = NDArray[np.float32]
Compute = Callable[[NDArray[np.float32], NDArray[np.bool_], float], NDArray[np.float64]]
FILES = {"roi": f"roi-{TABLE_VERSION}.npy", "voi": f"voi-{TABLE_VERSION}.npy"}
MEASURES_FILE = f"measures-{MEASURES_VERSION}.npy"


def roi_of(folders: Sequence[Path], *, told: Callable[[str], None]) -> Rows:
    """Radiomics of the key slice, `ROI_TABLE`, for every row of a set; shape (N, 86)."""
    return _each(folders, FILES["roi"], partial(_radiomics, table=ROI_TABLE), told)


def voi_of(folders: Sequence[Path], *, told: Callable[[str], None]) -> Rows:
    """Radiomics of the whole nodule, `VOI_TABLE`, for every row of a set; shape (N, 104)."""
    return _each(folders, FILES["voi"], partial(_radiomics, table=VOI_TABLE), told)


def measures_of(folders: Sequence[Path], *, told: Callable[[str], None]) -> Rows:
    """`inference.cube_measures.MEASURES` for every row of a set; shape (N, 11)."""
    return _each(folders, MEASURES_FILE, measure_cube, told)


def _radiomics(
    hu: NDArray[np.float32], mask: NDArray[np.bool_], spacing_mm: float, *, table: FeatureTable
) -> NDArray[np.float64]:
    return features_of(hu, mask, [spacing_mm] * 3, table)


def _each(
    folders: Sequence[Path], name: str, compute: Compute, told: Callable[[str], None]
) -> Rows:
    """Compute for each piece what is not there yet, and join all."""
    found = []
    for folder in folders:
        for piece in sorted(folder.glob("piece-*[0-9]")):
            file = piece / name
            if not file.exists():
                rows = open_set([folder], only=piece.name)
                made = [
                    compute(rows.cube(index), rows.mask(index), float(rows.spacing_mm[index]))
                    for index in range(len(rows))
                ]
                unfinished = file.with_name(f"unfinished-{name}")
                np.save(unfinished, np.array(made, dtype=np.float32))
                unfinished.rename(file)
                told(f"{name} of {folder.name}/{piece.name}")
            found.append(np.load(file))
    return np.concatenate(found)
