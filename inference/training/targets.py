"""What the detector should answer for a patch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.models.centre_detector import DIAMETER_UNIT_MM, STRIDE
from inference.training.patches import Patch

PEAK_SIGMA = (3.0, 6.0)
"""Of the heatmap's Gaussian, mm; a quarter of the diameter between them."""
UNCOUNTED_AT_LEAST_MM = 6.0
CELL_MIDDLE = (STRIDE - 1) / 2
"""Voxel index of the middle of cell 0."""


def make_targets(patch: Patch, *, spacing_mm: float) -> NDArray[np.float32]:
    """Targets on the heatmap's cells.

    Returns
    -------
    ndarray of shape (6, D/4, H/4, W/4), dtype float32
        Heatmap, 1 at each nodule's nearest cell; ln(diameter / 10 mm) and offset along k, j, i
        in cells, both only where the heatmap is 1; last, the weight of the cell: 0 at known
        lesions and at nodules that do not count.
    """
    shape = tuple(size // STRIDE for size in patch.hu.shape)
    targets = np.zeros((6, *shape), dtype=np.float32)
    targets[5] = 1.0
    grids = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij", sparse=True)

    def distance_mm(index: NDArray[np.float64]) -> NDArray[np.float64]:
        squared = sum(
            ((grid * STRIDE + CELL_MIDDLE - at) * spacing_mm) ** 2
            for grid, at in zip(grids, index, strict=True)
        )
        return np.asarray(np.sqrt(squared))

    for lesion in patch.ignored_kji:
        targets[5][distance_mm(lesion[:3]) < lesion[3] * spacing_mm] = 0.0
    for nodule in patch.nodules:
        centre = np.array(nodule.centre_kji)
        distance = distance_mm(centre)
        if not nodule.counts:
            targets[5][distance < max(UNCOUNTED_AT_LEAST_MM, 0.6 * nodule.diameter_mm)] = 0.0
            continue
        sigma = float(np.clip(nodule.diameter_mm / 4, *PEAK_SIGMA))
        # Strictly below 1, so that only the nearest cell is a positive.
        heat = np.minimum(np.exp(-0.5 * (distance / sigma) ** 2), 0.999)
        targets[0] = np.maximum(targets[0], heat)
    for nodule in patch.nodules:
        if not nodule.counts:
            continue
        place = (np.array(nodule.centre_kji) - CELL_MIDDLE) / STRIDE
        k, j, i = (int(value) for value in np.clip(np.rint(place), 0, np.array(shape) - 1))
        targets[0, k, j, i] = 1.0
        targets[1, k, j, i] = np.log(nodule.diameter_mm / DIAMETER_UNIT_MM)
        targets[2:5, k, j, i] = place - (k, j, i)
        targets[5, k, j, i] = 1.0
    return targets
