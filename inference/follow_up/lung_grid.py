"""A chest on a coarse grid along the patient's axes: what two examinations are registered by.

However a scanner's grid lies, this one lies along L, P and S, so that two of them differ by
the patient alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.lungs import LungMask
from inference.plausibility import PADDING_BELOW_HU
from inference.resample import shrink
from inference.volume import Volume

WINDOW_HU = (-1000.0, 0.0)
"""Lung, vessels and chest wall; bone, contrast medium and metal all look like tissue."""
MARGIN_MM = 28.0
"""Of chest wall around the lungs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LungGrid:
    """A chest, resampled.

    Attributes
    ----------
    hu : ndarray of shape (D, H, W), dtype float32
        Within `WINDOW_HU`; k leads up, j back, i to the left.
    lungs : ndarray of shape (D, H, W), dtype bool
        Aerated or not.
    seen : ndarray of shape (D, H, W), dtype bool
        Where the CT has a value.
    origin_lps_mm : ndarray of shape (3,)
        Centre of voxel (0, 0, 0).
    spacing_mm : float
        Along every axis.
    """

    hu: NDArray[np.float32]
    lungs: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    origin_lps_mm: NDArray[np.float64]
    spacing_mm: float

    def to_index(self, points_lps_mm: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Points (..., 3) in LPS mm -> continuous k, j, i."""
        points = np.asarray(points_lps_mm, dtype=np.float64) - self.origin_lps_mm
        return np.asarray(points[..., ::-1] / self.spacing_mm)

    def points(self, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Centres of the voxels of a mask, shape (N, 3), LPS mm."""
        return np.asarray(
            np.argwhere(mask)[:, ::-1] * self.spacing_mm + self.origin_lps_mm, dtype=np.float64
        )


def make_lung_grid(volume: Volume, lungs: LungMask, *, spacing_mm: float) -> LungGrid:
    """Resample a chest around its lungs.

    Parameters
    ----------
    volume : Volume
        The CT.
    lungs : LungMask
        Of the same CT; holds at least one voxel of lung.
    spacing_mm : float
        Of the result.
    """
    whole = (lungs.lungs > 0) | (lungs.unaerated > 0)
    voxels = np.argwhere(whole)
    corners = voxels @ lungs.affine[:3, :3].T + lungs.affine[:3, 3]
    low, high = corners.min(axis=0) - MARGIN_MM, corners.max(axis=0) + MARGIN_MM
    width, height, depth = (int(n) for n in np.ceil((high - low) / spacing_mm) + 1)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing_mm
    affine[:3, 3], affine[3, 3] = low, 1.0
    shape = (depth, height, width)
    coarse = shrink(volume, spacing_mm=spacing_mm)
    hu = coarse.hu.astype(np.float32)
    seen = _onto(hu >= PADDING_BELOW_HU, coarse.affine, affine, shape, order=0)
    return LungGrid(
        hu=_onto(np.clip(hu, *WINDOW_HU), coarse.affine, affine, shape, order=1, outside=-1000.0),
        lungs=_onto(whole.astype(np.float32), lungs.affine, affine, shape, order=1) >= 0.5,
        seen=seen > 0.5,
        origin_lps_mm=low,
        spacing_mm=spacing_mm,
    )


def _onto(
    values: NDArray[np.bool_] | NDArray[np.float32],
    affine: NDArray[np.float64],
    target: NDArray[np.float64],
    shape: tuple[int, int, int],
    *,
    order: int,
    outside: float = 0.0,
) -> NDArray[np.float32]:
    """Values at the voxel centres of another grid."""
    step = np.linalg.inv(affine) @ target
    return np.asarray(
        ndimage.affine_transform(
            values.astype(np.float32),
            step[:3, :3],
            step[:3, 3],
            output_shape=shape,
            order=order,
            mode="constant",
            cval=outside,
        ),
        dtype=np.float32,
    )
