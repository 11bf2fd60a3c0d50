"""Analytic balls on any grid: the truth that measurements are held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from inference.findings import VoiMask
from inference.volume import Volume

LUNG_HU = -850


def grid(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> NDArray[np.float64]:
    """Affine of a grid whose middle voxel lies at the origin."""
    turn = Rotation.from_euler("xyz", rotation_deg, degrees=True).as_matrix()
    axes = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], dtype=np.float64)
    affine = np.eye(4)
    affine[:3, :3] = turn @ axes @ np.diag(spacing_mm)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def distance_mm(shape: tuple[int, int, int], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    index = np.moveaxis(np.indices(shape), 0, -1)
    return np.asarray(np.linalg.norm(index @ affine[:3, :3].T + affine[:3, 3], axis=-1))


def ball(
    diameter_mm: float,
    spacing_mm: tuple[float, float, float] = (1.0, 0.7, 0.7),
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
    hu: int = 30,
) -> tuple[Volume, VoiMask]:
    """A ball in lung, and its exact mask (voxel centres inside)."""
    sizes = [2 * int(np.ceil((diameter_mm / 2 + 6) / step)) + 1 for step in spacing_mm]
    shape = (sizes[0], sizes[1], sizes[2])
    affine = grid(shape, spacing_mm, rotation_deg)
    mask = distance_mm(shape, affine) <= diameter_mm / 2
    values = np.where(mask, hu, LUNG_HU).astype(np.int16)
    return Volume(hu=values, affine=affine), VoiMask(origin_kji=(0, 0, 0), mask=mask)
