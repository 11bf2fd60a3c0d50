"""What an affine map leaves over of another breath: a smooth field, by demons.

References
----------
Thirion, Med Image Anal 1998;2:243 (demons). Vercauteren et al., NeuroImage 2009;45:S61
(symmetric forces; smoothing of steps and of the field).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.follow_up.lung_grid import LungGrid

LEVELS = ((2, 50), (1, 10))
"""Grid voxels per voxel of the level, and iterations."""
STEP_SMOOTH_VOXELS = 1.0
FIELD_SMOOTH_MM = 8.0
STEP_AT_MOST_VOXELS = 0.8
IMAGE_SMOOTH_VOXELS = 0.7
FLAT_HU_PER_MM = 20.0
"""Slopes below this, of noise and texture, hardly pull; a vessel or the pleura has more."""


def bend(
    fixed: LungGrid,
    moving: LungGrid,
    around: NDArray[np.bool_],
    affine: NDArray[np.float64],
) -> NDArray[np.float32]:
    """What to add to the affine map, at the voxel centres of the current chest.

    Parameters
    ----------
    fixed, moving : LungGrid
        Current and earlier chest.
    around : ndarray of shape (D, H, W), dtype bool
        Voxels of `fixed` that pull; elsewhere the field follows smoothly.
    affine : ndarray of shape (4, 4)
        LPS mm now -> LPS mm then.

    Returns
    -------
    ndarray of shape (D, H, W, 3), dtype float32
        L, P, S, mm.
    """
    field = np.zeros((*fixed.hu.shape, 3), dtype=np.float32)
    for step, iterations in LEVELS:
        every = (slice(None, None, step),) * 3
        coarse = field[every].copy()
        _bend_level(fixed, moving, around[every], affine, coarse, step, iterations)
        if step == 1:
            return coarse
        index = np.indices(fixed.hu.shape, dtype=np.float32) / step
        for axis in range(3):
            field[..., axis] = ndimage.map_coordinates(
                coarse[..., axis], index, order=1, mode="nearest"
            )
    return field


def _bend_level(
    fixed: LungGrid,
    moving: LungGrid,
    around: NDArray[np.bool_],
    affine: NDArray[np.float64],
    field: NDArray[np.float32],
    step: int,
    iterations: int,
) -> None:
    """Improve a field in place, on every `step`-th voxel."""
    every = (slice(None, None, step),) * 3
    voxel_mm = step * fixed.spacing_mm
    wanted = ndimage.gaussian_filter(fixed.hu, IMAGE_SMOOTH_VOXELS * step)[every]
    image = ndimage.gaussian_filter(moving.hu, IMAGE_SMOOTH_VOXELS * step)
    pulls = around & fixed.seen[every]
    shape = wanted.shape
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    points = voxels[..., ::-1] * voxel_mm + fixed.origin_lps_mm
    straight = (points @ affine[:3, :3].T + affine[:3, 3]).astype(np.float32)
    back = np.linalg.inv(affine[:3, :3]).astype(np.float32)
    own = np.stack(np.gradient(wanted, voxel_mm)[::-1], axis=-1)
    seen = moving.seen.astype(np.uint8)
    most_mm = STEP_AT_MOST_VOXELS * voxel_mm
    for _ in range(iterations):
        index = np.moveaxis(moving.to_index(straight + field), -1, 0)
        warped = ndimage.map_coordinates(image, index, order=1, mode="nearest")
        off = np.where(
            pulls & (ndimage.map_coordinates(seen, index, order=0) > 0), warped - wanted, 0.0
        )
        slope = np.stack(np.gradient(warped, voxel_mm)[::-1], axis=-1)
        slope = (slope + own) / 2 @ back
        scale = (slope**2).sum(axis=-1) + (off / (2 * most_mm)) ** 2 + FLAT_HU_PER_MM**2
        push = -(off / scale)[..., None] * slope
        for axis in range(3):
            field[..., axis] = ndimage.gaussian_filter(
                field[..., axis] + ndimage.gaussian_filter(push[..., axis], STEP_SMOOTH_VOXELS),
                FIELD_SMOOTH_MM / voxel_mm,
            )
