"""Radiomic features of a nodule as one row of numbers.

Deterministic; no files, no environment. What cannot be computed is NaN: everything of an empty
mask, GLCM and NGTDM of a single voxel, coarseness of constant density, elongation and flatness
of a single voxel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.findings import VoiMask
from inference.radiomics.first_order import first_order
from inference.radiomics.grid import to_region
from inference.radiomics.shape import shape_2d, shape_3d
from inference.radiomics.table import ROI_TABLE, VOI_TABLE, FeatureTable
from inference.radiomics.texture import textures
from inference.volume import Volume


def features_of(
    hu: NDArray[Any],
    mask: NDArray[np.bool_],
    spacing_mm: Sequence[float] | NDArray[np.float64],
    table: FeatureTable = VOI_TABLE,
) -> NDArray[np.float64]:
    """The features of a table for a mask on any regular grid.

    Parameters
    ----------
    hu : ndarray of shape (D, H, W)
        HU, finite.
    mask : ndarray of shape (D, H, W), dtype bool
        The nodule.
    spacing_mm : sequence of 3 floats
        Along k, j, i.
    table : FeatureTable
        Which features; of a planar one the slice with the largest area of the mask is taken.

    Returns
    -------
    ndarray of shape (len(table.names),), dtype float64
        In the order of the names.

    Raises
    ------
    ValueError
        If `hu` and `mask` are not 3-D and of one shape.
    """
    if hu.ndim != 3 or hu.shape != mask.shape:
        raise ValueError(f"hu {hu.shape} and mask {mask.shape}: wanted one shape (D, H, W)")
    row = np.full(len(table.names), math.nan)
    if not mask.any():
        return row
    settings = table.settings
    region = to_region(hu, mask, np.asarray(spacing_mm), settings, planar=table.planar)
    found = first_order(region, settings.bin_width_hu, settings.energy_shift_hu)
    found |= shape_2d(region) if table.planar else shape_3d(region)
    found |= textures(region, settings.bin_width_hu, table.classes)
    for place, name in enumerate(table.names):
        row[place] = found.get(name, math.nan)
    return row


def roi_features(volume: Volume, voi: VoiMask, key_slice_k: int) -> NDArray[np.float64]:
    """The features of `ROI_TABLE` in a slice of a nodule, in its order.

    Parameters
    ----------
    volume : Volume
        The CT.
    voi : VoiMask
        The nodule.
    key_slice_k : int
        Index of the slice in the volume, as in `inference.findings.Measurements`. All features
        are NaN where the mask does not reach it.
    """
    k = key_slice_k - voi.origin_kji[0]
    if not 0 <= k < len(voi.mask):
        return np.full(len(ROI_TABLE.names), math.nan)
    _, j, i = voi.origin_kji
    return _on_volume(volume, (key_slice_k, j, i), voi.mask[k : k + 1], ROI_TABLE)


def voi_features(volume: Volume, voi: VoiMask) -> NDArray[np.float64]:
    """The features of `VOI_TABLE` of a whole nodule, in its order."""
    return _on_volume(volume, voi.origin_kji, voi.mask, VOI_TABLE)


def _on_volume(
    volume: Volume, origin_kji: tuple[int, int, int], mask: NDArray[np.bool_], table: FeatureTable
) -> NDArray[np.float64]:
    """Features of a box of the volume, with a margin of one voxel to interpolate with."""
    start = np.maximum(np.array(origin_kji) - (0 if table.planar else 1, 1, 1), 0)
    stop = np.array(origin_kji) + mask.shape + (0 if table.planar else 1, 1, 1)
    room = tuple(slice(int(low), int(high)) for low, high in zip(start, stop, strict=True))
    hu = volume.hu[room]
    before = np.array(origin_kji) - start
    after = np.array(hu.shape) - before - mask.shape
    wide = np.pad(mask, list(zip(before, after, strict=True)))
    return features_of(hu, wide, volume.spacing_mm, table)
