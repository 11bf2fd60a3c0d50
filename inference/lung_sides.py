"""Which lung is right and which is left; LPS x grows to the patient's left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.volume import Volume

RIGHT, LEFT, UNKNOWN = 1, 2, 3
SEPARATION_STEPS = 5
ON_ONE_SIDE = 0.75
"""Share of a piece beyond the body's middle from which the whole piece is of that side: a
single lung herniates across it, two that touch hold about half on each side."""
MATTERS = 0.02
"""Smaller pieces, as a share of all, need not be clear."""


def find_sides(
    coarse: Volume, lungs: NDArray[np.bool_], middle_ji: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Label aerated lung by side.

    The lungs are eroded until every large piece lies clearly on one side of the body's middle;
    then they grow back.

    Returns
    -------
    ndarray of shape (D, H, W), dtype uint8
        `RIGHT`, `LEFT`; `UNKNOWN` everywhere when two lungs stay joined.
    """
    to_left = np.sign(coarse.affine[0, 2])
    columns = np.arange(coarse.shape[2])[None, None, :]
    on_left = (columns - middle_ji[:, 1][:, None, None]) * to_left > 0
    core = lungs
    for steps in range(SEPARATION_STEPS):
        pieces, count = ndimage.label(core)
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)
        left = np.bincount(pieces[on_left & core], minlength=count + 1)
        share = left / np.maximum(sizes, 1)
        matters = sizes >= MATTERS * max(1, int(core.sum()))
        matters[0] = False
        clear = (share >= ON_ONE_SIDE) | (share <= 1 - ON_ONE_SIDE)
        if clear[matters].all():
            of_piece = np.where(share > 0.5, np.uint8(LEFT), np.uint8(RIGHT))
            of_piece[0] = 0
            of_piece[~clear] = 0
            return _grow_back(of_piece[pieces], lungs, steps, on_left)
        core = ndimage.binary_erosion(core)
    return np.where(lungs, np.uint8(UNKNOWN), np.uint8(0))


def _grow_back(
    labels: NDArray[np.uint8],
    lungs: NDArray[np.bool_],
    steps: int,
    on_left: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Spread labels through the lungs step by step; what they do not reach goes by the middle."""
    for _ in range(2 * steps + 2):
        missing = lungs & (labels == 0)
        if not missing.any():
            break
        labels = np.where(missing, ndimage.maximum_filter(labels, size=3), labels)
    rest = lungs & (labels == 0)
    side = np.where(on_left, np.uint8(LEFT), np.uint8(RIGHT))
    return np.asarray(np.where(rest, side, labels), dtype=np.uint8)
