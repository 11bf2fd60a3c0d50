"""Cubes around candidates for a network, and what it answers brought back onto the volume.

A cube lies along the volume's own axes, with a voxel size that follows from the candidate's
diameter. The network sees constant channels that tell this size and the slice spacing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.models.voi_network import VoiNetworkConfig
from inference.resample import crop
from inference.volume import Volume

SPACING_UNIT_MM = 1.0
SLICE_UNIT_MM = 2.5
"""The constant channels are the voxel size and the slice spacing over these, minus 1."""
SLICE_SPACING_MM = (0.5, 5.0)
"""What the network was told in training; beyond it the nearest."""
EDGE_VOXELS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Cube:
    """A cube cut from a volume.

    Attributes
    ----------
    hu : ndarray of shape (S, S, S), dtype float32
        HU, interpolated linearly.
    spacing_mm : float
        Of its voxels.
    corner_kji : ndarray of shape (3,)
        The volume's continuous index of cube voxel (0, 0, 0).
    step_kji : ndarray of shape (3,)
        The volume's voxels per voxel of the cube.
    """

    hu: NDArray[np.float32]
    spacing_mm: float
    corner_kji: NDArray[np.float64]
    step_kji: NDArray[np.float64]


def cube_spacing_mm(diameter_mm: float, config: VoiNetworkConfig) -> float:
    """Voxel size for a candidate: fine for small ones, and room around 3 to 40 mm.

    With the default configuration 0.65 mm up to a diameter of 13 mm (a cube of 31 mm), then
    growing in proportion, 1.4 mm from 28 mm on (a cube of 67 mm).
    """
    wanted = diameter_mm / config.voxels_across
    return float(np.clip(wanted, config.least_spacing_mm, config.most_spacing_mm))


def cut_cube(
    volume: Volume, centre_kji: NDArray[np.float64], spacing_mm: float, config: VoiNetworkConfig
) -> Cube:
    """Cut a cube around an index of a volume; beyond the volume its border is repeated."""
    step = spacing_mm / volume.spacing_mm
    corner = centre_kji - (config.side - 1) / 2 * step
    low = np.clip(np.floor(corner).astype(int) - 1, 0, np.array(volume.shape) - 1)
    high = np.ceil(corner + config.side * step).astype(int) + 2
    high = np.clip(high, low + 1, volume.shape)
    # The box only: converting the whole volume for each candidate would cost far more.
    box = crop(volume, low, high).hu.astype(np.float32)
    hu = ndimage.affine_transform(
        box, step, corner - low, output_shape=(config.side,) * 3, order=1, mode="nearest"
    )
    return Cube(
        hu=np.asarray(hu, dtype=np.float32), spacing_mm=spacing_mm, corner_kji=corner, step_kji=step
    )


def to_channels(
    hu: NDArray[Any], spacing_mm: float, slice_spacing_mm: float, config: VoiNetworkConfig
) -> NDArray[np.float32]:
    """What the network sees of a cube: shape (4, S, S, S), about -1 to 1."""
    image = np.empty((4, *hu.shape), dtype=np.float32)
    for channel, (low, high) in enumerate((config.lung_window_hu, config.dense_window_hu)):
        image[channel] = (np.clip(hu, low, high) - low) * (2 / (high - low)) - 1
    image[2] = spacing_mm / SPACING_UNIT_MM - 1
    image[3] = float(np.clip(slice_spacing_mm, *SLICE_SPACING_MM)) / SLICE_UNIT_MM - 1
    return image


def touches_border(mask: NDArray[np.bool_]) -> bool:
    """Whether a mask comes within `EDGE_VOXELS` of its cube's border."""
    inner = mask[(slice(EDGE_VOXELS, -EDGE_VOXELS),) * 3]
    return bool(mask.sum() > inner.sum())


def onto_volume(
    field: NDArray[np.float32], cube: Cube, volume: Volume
) -> tuple[NDArray[np.float32], NDArray[np.int_]]:
    """Interpolate a field on a cube at the volume's voxel centres.

    Returns
    -------
    values : ndarray of shape (D, H, W), dtype float32
        On the volume's voxels whose centres lie in the cube; may be empty.
    start_kji : ndarray of shape (3,)
        The first of these voxels.
    """
    end = cube.corner_kji + (np.array(field.shape) - 1) * cube.step_kji
    start = np.maximum(np.ceil(cube.corner_kji), 0).astype(int)
    stop = np.maximum(np.minimum(np.floor(end) + 1, volume.shape).astype(int), start)
    values = ndimage.affine_transform(
        field,
        1 / cube.step_kji,
        (start - cube.corner_kji) / cube.step_kji,
        output_shape=tuple(int(n) for n in stop - start),
        order=1,
        mode="nearest",
    )
    return np.asarray(values, dtype=np.float32), start
