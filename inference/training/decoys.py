"""Hard negatives: what looks like a nodule and is none, drawn as nodules are.

Vessels that bend and cross, plaques at the pleura, scars and bands, fissures, haze. They pass
through the same drawing and blur as nodules, so that "something was put in here" is no clue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.training.appearance import (
    TISSUE_HU,
    Array,
    Drawn,
    Image,
    blend,
    draw_ellipsoid,
    draw_tube,
)

VESSELS_PER_PATCH = 1.6
SCAR_SHARE, BUMP_SHARE, FISSURE_SHARE, HAZE_SHARE = 0.22, 0.25, 0.2, 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSites:
    """Places of a patch where decoys may go, in voxels.

    Attributes
    ----------
    lung : ndarray of shape (N, 3)
        In aerated lung.
    wall : ndarray of shape (M, 3)
        At the pleura.
    wall_normals : ndarray of shape (M, 3)
        Unit vectors into the lung.
    """

    lung: Array
    wall: Array
    wall_normals: Array


def draw_decoys(
    patch: Image,
    sites: PatchSites,
    *,
    spacing_mm: float,
    blur_voxels: tuple[float, float, float],
    noise_hu: float,
    random: np.random.Generator,
) -> None:
    """Draw a few decoys into a patch of HU, in place."""
    share = np.zeros(patch.shape, dtype=np.float32)
    if len(sites.lung):
        for _ in range(int(random.poisson(VESSELS_PER_PATCH))):
            _draw_vessel(share, _pick(sites.lung, random), spacing_mm, random)
        if random.random() < SCAR_SHARE:
            _draw_scar(share, _pick(sites.lung, random), spacing_mm, random)
    if len(sites.wall) and random.random() < BUMP_SHARE:
        index = int(random.integers(len(sites.wall)))
        _draw_bump(share, sites.wall[index], sites.wall_normals[index], spacing_mm, random)
    if share.any():
        empty = Drawn(share=share, core=share)
        blend(patch, empty, "solid", blur_voxels=blur_voxels, noise_hu=noise_hu, random=random)
    if len(sites.lung) and random.random() < FISSURE_SHARE:
        draw_fissure(
            patch, _pick(sites.lung, random), random_axes(random), spacing_mm, blur_voxels, random
        )
    if random.random() < HAZE_SHARE:
        _add_haze(patch, spacing_mm, random)


def random_axes(random: np.random.Generator) -> Array:
    """Three orthogonal unit vectors as rows."""
    axes, _ = np.linalg.qr(random.normal(size=(3, 3)))
    return np.asarray(axes.T)


def draw_fissure(
    patch: Image,
    centre: Array,
    axes: Array,
    spacing_mm: float,
    blur_voxels: tuple[float, float, float],
    random: np.random.Generator,
) -> None:
    """A thin plate, faint, normal to the first of `axes`; in place."""
    plate = np.zeros(patch.shape, dtype=np.float32)
    draw_ellipsoid(plate, centre, axes, np.array([0.6, 35.0, 35.0]) / spacing_mm)
    plate = ndimage.gaussian_filter(plate, blur_voxels, truncate=3.0)
    patch += plate * random.uniform(0.15, 0.6) * np.maximum(TISSUE_HU[1] - patch, 0)


def _pick(points: Array, random: np.random.Generator) -> Array:
    return np.asarray(points[int(random.integers(len(points)))])


def _draw_vessel(share: Image, at: Array, spacing_mm: float, random: np.random.Generator) -> None:
    """A bending vessel through a place, often with a branch or another one across."""
    radius = float(np.exp(random.uniform(np.log(0.5), np.log(2.6)))) / spacing_mm
    for _ in range(int(random.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))):
        heading = random.normal(size=3)
        for way in (-1.0, 1.0):
            point, direction, thick = at.copy(), way * heading, radius
            for _ in range(int(random.integers(1, 4))):
                direction = direction / np.linalg.norm(direction) + random.normal(0, 0.25, 3)
                end = point + direction * random.uniform(5, 13) / spacing_mm
                thin = thick * random.uniform(0.7, 0.95)
                draw_tube(share, point, end, thick, thin)
                point, thick = end, thin
        radius *= random.uniform(0.5, 1.0)


def _draw_scar(share: Image, at: Array, spacing_mm: float, random: np.random.Generator) -> None:
    """A band or plate with strands at its ends."""
    axes = random_axes(random)
    radii = np.array([random.uniform(0.6, 1.6), random.uniform(2, 8), random.uniform(7, 16)])
    draw_ellipsoid(share, at, axes, radii / spacing_mm)
    for _ in range(int(random.integers(1, 5))):
        along = axes[2] * random.choice([-1, 1]) + random.normal(0, 0.4, 3)
        start = at + along * radii[2] * 0.6 / spacing_mm
        draw_tube(share, start, start + along * random.uniform(4, 14) / spacing_mm, 0.7, 0.3)


def _draw_bump(
    share: Image, at: Array, normal: Array, spacing_mm: float, random: np.random.Generator
) -> None:
    """A flat plaque: at least three times as wide as high."""
    height = random.uniform(1.2, 4.0)
    side = np.cross(normal, random_axes(random)[0])
    side /= max(float(np.linalg.norm(side)), 1e-6)
    axes = np.stack([normal, side, np.cross(normal, side)])
    radii = np.array([height, height * random.uniform(3, 6), height * random.uniform(3, 6)])
    draw_ellipsoid(share, at, axes, radii / spacing_mm)


def _add_haze(patch: Image, spacing_mm: float, random: np.random.Generator) -> None:
    """Wide, faint density: dependent lung, breathing, early fibrosis; in place."""
    coarse = random.standard_normal([max(3, int(n * spacing_mm / 16)) for n in patch.shape])
    zoom = np.array(patch.shape) / coarse.shape
    field: NDArray[np.float32] = ndimage.zoom(coarse.astype(np.float32), zoom, order=1)
    share = np.clip(0.12 * field, 0, 0.35)
    patch += share * np.maximum(TISSUE_HU[1] - patch, 0) * (patch < -300)
