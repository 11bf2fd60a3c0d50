"""From one grid to another, exactly: every function returns the affine of what it returns."""

from __future__ import annotations

import itertools
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from inference.volume import Volume

_Value = TypeVar("_Value", bound=np.generic)
SMOOTHING_TRUNCATED_AT = 2.0
"""Standard deviations after which the smoothing kernel ends."""


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
    sums = np.empty((depth, height, width), dtype=np.int32)
    for d in range(depth):  # slab by slab: nothing as large as the volume is ever made
        slab = volume.hu[d * k : (d + 1) * k, : height * j, : width * i].sum(axis=0, dtype=np.int32)
        rows = sum((slab[offset::j] for offset in range(1, j)), start=slab[::j])
        sums[d] = sum((rows[:, offset::i] for offset in range(1, i)), start=rows[:, ::i])
    blocks = sums / np.float32(k * j * i)
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


def to_patient_axes(
    array: NDArray[_Value], affine: NDArray[np.float64]
) -> tuple[NDArray[_Value], NDArray[np.float64]]:
    """Reorder and turn axes so that k leads up, j back and i to the left, as nearly as they can.

    However a series was stored (feet first, prone, slices from above), it comes out alike.

    Parameters
    ----------
    array : ndarray of shape (D, H, W)
        Any values on the grid.
    affine : ndarray of shape (4, 4)
        Voxel centres (k, j, i, 1) to LPS mm.

    Returns
    -------
    array : ndarray
        A view of the same values.
    affine : ndarray of shape (4, 4)
        Of the view.
    """
    direction = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    # The one of the six orders whose axes lie nearest to z, y, x.
    order = max(
        itertools.permutations(range(3)),
        key=lambda axes: sum(
            abs(direction[row, axis]) for row, axis in zip((2, 1, 0), axes, strict=True)
        ),
    )
    turned = [bool(direction[row, axis] < 0) for row, axis in zip((2, 1, 0), order, strict=True)]
    view = array.transpose(order)[tuple(slice(None, None, -1 if turn else 1) for turn in turned)]
    moved = affine.copy()
    moved[:3, :3] = affine[:3, order]
    last = np.where(turned, np.array(view.shape) - 1, 0)
    moved[:3, 3] += moved[:3, :3] @ last
    moved[:3, :3] *= np.where(turned, -1.0, 1.0)
    return view, moved


def to_isotropic(volume: Volume, *, spacing_mm: float) -> Volume:
    """Resample linearly along the volume's own axes to cubes of `spacing_mm`.

    The first voxel centre stays where it was. Axes that are finer are smoothed first
    (Gaussian of half the ratio), so that noise does not alias.
    """
    ratio = spacing_mm / volume.spacing_mm
    shape = np.maximum(1, np.floor((np.array(volume.shape) - 1) / ratio + 1e-6).astype(int) + 1)
    along_k, along_j, along_i = (
        _smooth_and_sample(size, float(step), int(count))
        for size, step, count in zip(volume.shape, ratio, shape, strict=True)
    )
    # Both steps are separable, so they are one small matrix for each axis; the plane is shrunk
    # before anything is done along k.
    planes = np.empty((volume.shape[0], shape[1], shape[2]), dtype=np.float32)
    for k, hu in enumerate(volume.hu):
        planes[k] = (along_i @ (along_j @ hu.astype(np.float32)).T).T
    resampled = (along_k @ planes.reshape(len(planes), -1)).reshape(shape)
    affine = volume.affine.copy()
    affine[:3, :3] = volume.direction * spacing_mm
    return Volume(hu=np.rint(resampled).astype(np.int16), affine=affine)


def _smooth_and_sample(size: int, ratio: float, count: int) -> sparse.csr_array:
    """Gaussian smoothing along one axis, then linear interpolation at ``0, ratio, 2 ratio ...``.

    Returns
    -------
    csr_array of shape (count, size), dtype float32
        Rows sum to 1. Beyond its ends the axis is mirrored.
    """
    sigma = 0.5 * np.sqrt(ratio**2 - 1) if ratio > 1 else 0.0
    radius = int(SMOOTHING_TRUNCATED_AT * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2) if radius else np.ones(1)
    kernel /= kernel.sum()
    places = np.arange(count) * ratio
    low = np.minimum(np.floor(places).astype(int), size - 1)
    share = places - low
    corners = ((low, 1 - share), (np.minimum(low + 1, size - 1), share))
    columns = np.concatenate([(at[:, None] + offsets).ravel() for at, _ in corners]) % (2 * size)
    columns = np.where(columns < size, columns, 2 * size - 1 - columns)
    weights = np.concatenate([(part[:, None] * kernel).ravel() for _, part in corners])
    rows = np.tile(np.repeat(np.arange(count), len(offsets)), 2)
    return sparse.csr_array((weights.astype(np.float32), (rows, columns)), shape=(count, size))


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
