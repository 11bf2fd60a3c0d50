"""From one grid to another, exactly: every function returns the affine of what it returns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.volume import Volume


def shrink(volume: Volume, *, spacing_mm: float) -> Volume:
    """Average whole blocks of voxels to about `spacing_mm`.

    Fast and free of ringing: for masks of large organs.

    Returns
    -------
    Volume
        Its voxel centres lie at the centres of the blocks; a rest at the end is dropped.
    """
    factors = np.maximum(1, np.rint(spacing_mm / volume.spacing_mm)).astype(int)
    depth, height, width = (
        size // factor for size, factor in zip(volume.shape, factors, strict=True)
    )
    k, j, i = (int(factor) for factor in factors)
    whole = volume.hu[: depth * k, : height * j, : width * i]
    # Axis by axis: a blocked view of the whole volume at once would copy it as float64.
    rows = whole.reshape(depth * k, height, j, width * i).mean(axis=2, dtype=np.float32)
    columns = rows.reshape(depth * k, height, width, i).mean(axis=3)
    blocks = columns.reshape(depth, k, height, width).mean(axis=1)
    affine = volume.affine.copy()
    affine[:3, :3] = volume.affine[:3, :3] * factors
    affine[:3, 3] = volume.index_to_lps((factors - 1) / 2.0)
    return Volume(hu=np.rint(blocks).astype(np.int16), affine=affine)


def crop(volume: Volume, start_kji: NDArray[np.int_], stop_kji: NDArray[np.int_]) -> Volume:
    """Cut a box, given by half-open index ranges inside the volume; the array is a view."""
    (k0, j0, i0), (k1, j1, i1) = start_kji, stop_kji
    affine = volume.affine.copy()
    affine[:3, 3] = volume.index_to_lps(start_kji)
    return Volume(hu=volume.hu[k0:k1, j0:j1, i0:i1], affine=affine)


def to_isotropic(volume: Volume, *, spacing_mm: float) -> Volume:
    """Resample linearly along the volume's own axes to cubes of `spacing_mm`.

    The first voxel centre stays where it was. Axes that are finer are smoothed first
    (Gaussian of half the ratio), so that noise does not alias.
    """
    ratio = spacing_mm / volume.spacing_mm
    shape = np.maximum(1, np.floor((np.array(volume.shape) - 1) / ratio + 1e-6).astype(int) + 1)
    source = volume.hu.astype(np.float32)
    sigma = np.where(ratio > 1, 0.5 * np.sqrt(np.maximum(ratio**2 - 1, 0)), 0)
    if sigma.any():
        source = ndimage.gaussian_filter(source, sigma, truncate=2.0)
    resampled = ndimage.affine_transform(
        source, ratio, output_shape=tuple(shape), order=1, mode="nearest"
    )
    affine = volume.affine.copy()
    affine[:3, :3] = volume.direction * spacing_mm
    return Volume(hu=np.rint(resampled).astype(np.int16), affine=affine)


def mask_onto(
    mask: NDArray[np.bool_], mask_affine: NDArray[np.float64], target: Volume
) -> NDArray[np.bool_]:
    """Bring a mask onto another grid of the same axes' directions (nearest neighbour).

    Parameters
    ----------
    mask : ndarray of shape (D, H, W)
        On the grid of `mask_affine`.
    mask_affine : ndarray of shape (4, 4)
        Its voxel centres (k, j, i, 1) to LPS mm.
    target : Volume
        Whose grid is wanted.

    Returns
    -------
    ndarray of shape `target.shape`, dtype bool
        False outside the mask's grid.
    """
    to_mask = np.linalg.inv(mask_affine) @ target.affine
    picks = []
    inside = []
    for axis, (size, wanted) in enumerate(zip(mask.shape, target.shape, strict=True)):
        index = np.rint(to_mask[axis, axis] * np.arange(wanted) + to_mask[axis, 3]).astype(int)
        inside.append((index >= 0) & (index < size))
        picks.append(np.clip(index, 0, size - 1))
    picked = mask[np.ix_(*picks)]
    return np.asarray(
        picked & inside[0][:, None, None] & inside[1][None, :, None] & inside[2][None, None, :]
    )
