"""Scanners differ: blur, kernel, noise and calibration, changed at random over a whole patch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.training.noise import smooth_noise

NOISE_WIDTHS = (0.0, 0.4, 0.6, 0.9)
"""Of the added noise's Gaussian in the plane, voxels: from sharp to soft kernels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquisitionRange:
    """How far a patch is changed.

    Attributes
    ----------
    shift_hu : float
        Largest shift of all densities, either way.
    noise_hu : float
        Largest standard deviation of added noise.
    slice_blur_mm : float
        Largest standard deviation of added blur along the slices (thicker slices).
    sharpening : float
        Largest weight of an unsharp mask in the plane (sharp kernels).
    """

    shift_hu: float = 25.0
    noise_hu: float = 45.0
    slice_blur_mm: float = 2.0
    sharpening: float = 1.0


def vary_acquisition(
    patch: NDArray[np.float32],
    *,
    spacing_mm: float,
    random: np.random.Generator,
    limits: AcquisitionRange | None = None,
) -> NDArray[np.float32]:
    """The patch as another scanner might have given it.

    Parameters
    ----------
    patch : ndarray of shape (D, H, W), dtype float32
        HU; k is the slice axis.
    spacing_mm : float
        Cubic voxels.
    random : Generator
        For the choices and the noise.
    limits : AcquisitionRange, optional
        How far.
    """
    limits = limits or AcquisitionRange()
    if random.random() < 0.35:
        sigma = random.uniform(0.3, limits.slice_blur_mm) / spacing_mm
        patch = ndimage.gaussian_filter1d(patch, sigma, axis=0, truncate=3.0)
    choice = random.random()
    if choice < 0.2:
        sigma = random.uniform(0.3, 0.8)
        patch = ndimage.gaussian_filter(patch, (0, sigma, sigma), truncate=3.0)
    elif choice < 0.45:
        smooth = ndimage.gaussian_filter(patch, (0, 0.8, 0.8), truncate=3.0)
        patch = patch + np.float32(random.uniform(0.2, limits.sharpening)) * (patch - smooth)
    if random.random() < 0.6:
        width = float(random.choice(NOISE_WIDTHS))
        deviation = random.uniform(0, 1) ** 2 * limits.noise_hu
        noise = smooth_noise(patch.shape, (width / 2, width, width), random)
        patch = patch + noise * np.float32(deviation)
    shift = random.uniform(-limits.shift_hu, limits.shift_hu)
    # Calibration stretches about air as well: tissue moves, air hardly.
    stretch = random.uniform(0.97, 1.03)
    return np.asarray((patch + 1000.0) * stretch - 1000.0 + shift, dtype=np.float32)
