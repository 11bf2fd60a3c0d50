"""A nodule on the grid of the settings: cut out, resampled, rounded, clipped.

Linear interpolation of HU and of the mask, whose half is the border; both grids share their
centre, so that a turned volume gives a turned result (IBSI reference manual, section 2.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.radiomics.table import RadiomicsSettings

MASK_AT_LEAST = 0.5
ROUNDING_ERROR = 1e-6
"""What lies nearer than this to a border counts as on it, so that results do not hang on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """What the features are computed on.

    Attributes
    ----------
    hu : ndarray of shape (D, H, W), dtype float64
        Densities, HU; D is 1 for a key slice.
    mask : ndarray of shape (D, H, W), dtype bool
        Never empty.
    spacing_mm : ndarray of shape (3,)
        Along k, j, i.
    """

    hu: NDArray[np.float64]
    mask: NDArray[np.bool_]
    spacing_mm: NDArray[np.float64]

    @property
    def values_hu(self) -> NDArray[np.float64]:
        """Densities inside the mask, shape (N,)."""
        return self.hu[self.mask]


def to_region(
    hu: NDArray[Any],
    mask: NDArray[np.bool_],
    spacing_mm: NDArray[np.float64],
    settings: RadiomicsSettings,
    *,
    planar: bool,
) -> Region:
    """Prepare a nodule for its features.

    Parameters
    ----------
    hu : ndarray of shape (D, H, W)
        HU.
    mask : ndarray of shape (D, H, W), dtype bool
        Not empty.
    spacing_mm : ndarray of shape (3,)
        Along k, j, i.
    settings : RadiomicsSettings
        How.
    planar : bool
        Take the slice with the largest area of the mask (the first of equals) alone, and
        resample within it.
    """
    if planar:
        k = int(mask.sum(axis=(1, 2)).argmax())
        hu, mask = hu[k : k + 1], mask[k : k + 1]
    inside = tuple(slice(int(places.min()), int(places.max()) + 1) for places in np.nonzero(mask))
    room = tuple(
        slice(max(part.start - 1, 0), part.stop + 1) for part in inside
    )  # neighbours to interpolate with
    box, weight = hu[room].astype(np.float64), mask[room].astype(np.float64)
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    if settings.spacing_mm is not None:
        wanted = np.full(3, settings.spacing_mm)
        if planar:
            wanted[0] = spacing[0]
        box, weight = _resample(box, weight, wanted / spacing, planar=planar)
        box = np.floor(box + 0.5 + ROUNDING_ERROR)
        spacing = wanted
    if settings.clip_hu is not None:
        box = np.clip(box, *settings.clip_hu)
    # A nodule of less than a voxel keeps the voxel that holds most of it.
    border = min(MASK_AT_LEAST, float(weight.max()))
    return Region(hu=box, mask=weight >= border - ROUNDING_ERROR, spacing_mm=spacing)


def _resample(
    box: NDArray[np.float64],
    weight: NDArray[np.float64],
    step: NDArray[np.float64],
    *,
    planar: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interpolate both linearly, `step` old voxels apart, around the common centre."""
    padding = [(0 if planar and axis == 0 else 1,) * 2 for axis in range(3)]
    box, weight = np.pad(box, padding, mode="edge"), np.pad(weight, padding)
    last = np.array(box.shape) - 1
    # As many as the old voxels are wide: of a whole ratio none then lies on an old border.
    shape = np.ceil((last + 1) / step - ROUNDING_ERROR).astype(int)
    start = (last - (shape - 1) * step) / 2
    sampled = [
        ndimage.affine_transform(
            array, step, start, output_shape=tuple(shape), order=1, mode="nearest"
        )
        for array in (box, weight)
    ]
    return np.asarray(sampled[0]), np.asarray(sampled[1])
