"""What air and blood measure in a scan: how a scanner's HU are watched from scan to scan.

Air of the trachea and main bronchi is close to -1000 HU and blood to 40 HU without contrast
medium; a scanner whose figures wander is told by its own earlier ones, not by these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.lung_sides import LEFT, RIGHT
from inference.volume import Volume

AWAY_MM = 5.0
"""From what is beside it: coarse voxels at a border are of both."""
LEAST_ML = 1.0
BLOOD_HU = (0.0, 500.0)
BIN_HU = 5.0


def measure_air_hu(coarse: Volume, airway: NDArray[np.bool_]) -> float | None:
    """Median of the airway's inside, HU; `None` where too little of it is known.

    Parameters
    ----------
    coarse : Volume
    airway : ndarray of shape (D, H, W), dtype bool
        On the same grid.
    """
    inside = _core(coarse, airway)
    return float(np.median(coarse.hu[inside])) if _suffices(coarse, inside) else None


def measure_blood_hu(coarse: Volume, labels: NDArray[np.uint8]) -> float | None:
    """The most frequent value of soft tissue between the lungs in their lower half, HU.

    That is the heart: blood and, close to it without contrast medium, muscle.

    Parameters
    ----------
    coarse : Volume
        Its axes run up, back and left.
    labels : ndarray of shape (D, H, W), dtype uint8
        Lungs, see `inference.lung_sides`.

    Returns
    -------
    float or None
        `None` where the lungs' sides are unknown, or too little lies between them.
    """
    right, left = labels == RIGHT, labels == LEFT
    if not right.any() or not left.any():
        return None
    slices = np.flatnonzero((right | left).any(axis=(1, 2)))
    lower = slice(int(slices[0]), int(slices[0] + slices[-1]) // 2)
    right, left, hu = right[lower], left[lower], coarse.hu[lower]
    between = np.maximum.accumulate(right, axis=2)
    between &= np.maximum.accumulate(left[:, :, ::-1], axis=2)[:, :, ::-1]
    between &= ~(right | left)
    inside = _core(coarse, between & (hu >= BLOOD_HU[0]) & (hu <= BLOOD_HU[1]))
    if not _suffices(coarse, inside):
        return None
    counts, edges = np.histogram(
        hu[inside], bins=np.arange(BLOOD_HU[0], BLOOD_HU[1] + BIN_HU, BIN_HU)
    )
    most = int(ndimage.uniform_filter1d(counts.astype(float), 5).argmax())
    return float((edges[most] + edges[most + 1]) / 2)


def _core(coarse: Volume, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What lies `AWAY_MM` within the mask; half of that where nothing does."""
    inside = np.zeros_like(mask)
    if not mask.any():
        return inside
    where = ndimage.find_objects(mask.astype(np.uint8))[0]  # distances of all else would be long
    padded = np.pad(mask[where], 1)
    depth = ndimage.distance_transform_edt(padded, sampling=coarse.spacing_mm)[1:-1, 1:-1, 1:-1]
    for away_mm in (AWAY_MM, AWAY_MM / 2):
        inside[where] = depth > away_mm
        if _suffices(coarse, inside):
            break
    return inside


def _suffices(coarse: Volume, inside: NDArray[np.bool_]) -> bool:
    return float(inside.sum()) * coarse.voxel_volume_mm3 >= 1000 * LEAST_ML
