"""CT slices: what a fine grid becomes when it is seen in slices and interpolated again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def slice_matrices(
    size: int, *, spacing_mm: float, thickness_mm: float, gap_mm: float, phase: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Averaging a fine axis into slices, and interpolating the slices back onto it.

    Parameters
    ----------
    size : int
        Voxels of the fine axis.
    spacing_mm : float
        Of the fine axis.
    thickness_mm, gap_mm : float
        Of a slice (a box profile), and from one slice's middle to the next.
    phase : float
        0 to 1, in gaps: where the first slice lies.

    Returns
    -------
    average : ndarray of shape (N, size), dtype float32
        Rows sum to 1; what lies beyond the axis is taken as its end.
    interpolate : ndarray of shape (size, N), dtype float32
        Linear; rows sum to 1.
    """
    length = size * spacing_mm
    middles = np.arange((phase - 1) * gap_mm, length + gap_mm, gap_mm)
    edges = np.arange(size + 1) * spacing_mm
    edges[0], edges[-1] = -np.inf, np.inf
    low, high = middles[:, None] - thickness_mm / 2, middles[:, None] + thickness_mm / 2
    overlap = np.minimum(high, edges[None, 1:]) - np.maximum(low, edges[None, :-1])
    average = np.clip(overlap, 0, None)
    average /= average.sum(axis=1, keepdims=True)
    at = (np.arange(size) + 0.5) * spacing_mm
    position = (at - middles[0]) / gap_mm
    below = np.clip(np.floor(position).astype(int), 0, len(middles) - 2)
    share = position - below
    interpolate = np.zeros((size, len(middles)))
    rows = np.arange(size)
    interpolate[rows, below] = 1 - share
    interpolate[rows, below + 1] = share
    return average.astype(np.float32), interpolate.astype(np.float32)


def along_slices(matrix: NDArray[np.float32], field: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply a matrix of shape (M, D) along the first axis of a field of shape (D, H, W)."""
    depth = field.shape[0]
    flat = matrix @ field.reshape(depth, -1)
    return np.asarray(flat.reshape(matrix.shape[0], *field.shape[1:]))
