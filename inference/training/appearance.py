"""What a nodule looks like: densities by LIDC rating, and a soft share of each voxel.

Everything is drawn into the lung that is there (`blend`), so vessels show through ground glass
and the chest wall stays behind a juxtapleural nodule.

Densities: ground glass is lung with more tissue in it and hides no vessels, solid hides them
(Fleischner glossary, Radiology 2008;246:697); ranges by texture rating as in the project's
notes: rating 1 about -700 to -450 HU, 5 about 0 to 60 HU, calcified 200 to 800 HU.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from inference.findings import NoduleType
from inference.training.noise import smooth_noise
from inference.training.shapes import MASK_SPACING_MM, NoduleShape

Array = NDArray[np.float64]
Image = NDArray[np.float32]

TISSUE_HU = (0.0, 70.0)
CONTRAST_HU = (60.0, 140.0)
CONTRAST_SHARE = 0.2
CALCIUM_HU = (200.0, 800.0)
GROUND_GLASS_TISSUE = (0.13, 0.55)
"""Share of tissue in ground glass: lung of -860 HU becomes -740 to -370 HU."""
BLUR_MM = {1: 1.5, 5: 0.3}
"""Of the border, standard deviation, by margin rating 1 (blurred) and 5 (sharp)."""
SPICULES_FROM = 3.0
SPICULE_RADIUS_MM = (1.0, 0.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A nodule drawn on a box of a patch.

    Attributes
    ----------
    share : ndarray of shape (D, H, W), dtype float32
        How much of each voxel is nodule, 0 to 1, before the scanner's blur.
    core : ndarray of shape (D, H, W), dtype float32
        The same of its solid core, for part-solid nodules.
    """

    share: Image
    core: Image


def draw_shape(
    shape: NoduleShape,
    *,
    size: tuple[int, int, int],
    centre_kji: Array,
    spacing_mm: float,
    diameter_mm: float,
    random: np.random.Generator,
    flatten: tuple[Array, float] | None = None,
    part_solid: bool = False,
) -> Drawn:
    """Draw a shape, turned at random and scaled to a diameter.

    Parameters
    ----------
    shape : NoduleShape
        Its mask.
    size : tuple of int
        Of the box.
    centre_kji : ndarray of shape (3,)
        Where the mask's centroid comes to lie in the box, voxels.
    spacing_mm : float
        Of the box.
    diameter_mm : float
        Wanted, of the ball of equal volume.
    random : Generator
        For turn, spicules and core.
    flatten : (ndarray of shape (3,), float), optional
        A direction and a factor below 1 by which the shape is pressed along it (nodules at
        fissures are flat).
    part_solid : bool
        Draw a core of 0.35 to 0.75 of the diameter somewhere inside.
    """
    turn = Rotation.random(rng=random).as_matrix()
    press = np.eye(3)
    if flatten is not None:
        normal, factor = flatten
        press += (1 / factor - 1) * np.outer(normal, normal)
    # Voxels of the box -> mm of the nodule -> mm of the mask -> voxels of the mask.
    scale = shape.diameter_mm / diameter_mm * spacing_mm / MASK_SPACING_MM
    matrix = turn @ press * scale
    mask = np.pad(shape.mask, 2).astype(np.float32)
    mask = ndimage.gaussian_filter(mask, 0.5)
    middle = np.argwhere(np.pad(shape.mask, 2)).mean(axis=0)
    share = sample_mask(mask, matrix, middle, centre_kji, size)
    if shape.spiculation >= SPICULES_FROM or (diameter_mm > 5 and random.random() < 0.2):
        _add_spicules(share, centre_kji, diameter_mm / spacing_mm, spacing_mm, random)
    core = np.zeros_like(share)
    if part_solid:
        fraction = random.uniform(0.35, 0.75)
        shift = random.normal(0, 0.1, 3) * diameter_mm / spacing_mm
        core = sample_mask(mask, matrix / fraction, middle, centre_kji + shift, size) * share
    return Drawn(share=share, core=core)


def sample_mask(
    mask: Image, matrix: Array, middle: Array, centre_kji: Array, size: tuple[int, int, int]
) -> Image:
    """A mask's share of each voxel of a box: box voxel p -> mask voxel ``matrix @ p + ...``.

    Parameters
    ----------
    mask : ndarray of shape (D, H, W), dtype float32
        Slightly smoothed, 0.5 at the outline.
    matrix : ndarray of shape (3, 3)
        Voxels of the box to voxels of the mask.
    middle, centre_kji : ndarray of shape (3,)
        The mask's voxel that comes to lie at that voxel of the box.
    size : tuple of int
        Of the box.
    """
    offset = middle - matrix @ centre_kji
    drawn = ndimage.affine_transform(mask, matrix, offset, output_shape=size, order=1)
    # Linear interpolation and the small blur leave a ramp of about 2 mm around one half.
    return np.asarray(np.clip((drawn - 0.5) * 1.6 + 0.5, 0, 1), dtype=np.float32)


def _add_spicules(
    share: Image, centre: Array, diameter: float, spacing_mm: float, random: np.random.Generator
) -> None:
    """Radial strands from inside the surface outwards, thinner towards their tips."""
    for _ in range(int(random.integers(4, 14))):
        direction = random.normal(size=3)
        direction /= np.linalg.norm(direction)
        reach = diameter * 0.5 * random.uniform(1.3, 2.1)
        thick, thin = (radius / spacing_mm for radius in SPICULE_RADIUS_MM)
        draw_tube(
            share, centre + direction * diameter * 0.3, centre + direction * reach, thick, thin
        )


def draw_tube(share: Image, start: Array, end: Array, radius: float, end_radius: float) -> None:
    """Draw a tapering straight tube into `share` (all in voxels), in place."""
    margin = max(radius, end_radius) + 1.5
    low = np.maximum(np.floor(np.minimum(start, end) - margin), 0).astype(int)
    high = np.minimum(np.ceil(np.maximum(start, end) + margin) + 1, share.shape).astype(int)
    if (high <= low).any():
        return
    axes = [np.arange(a, b, dtype=np.float32) for a, b in zip(low, high, strict=True)]
    k, j, i = np.meshgrid(*axes, indexing="ij", sparse=True)
    along = end - start
    dk, dj, di = k - start[0], j - start[1], i - start[2]
    at = np.clip((dk * along[0] + dj * along[1] + di * along[2]) / float(along @ along), 0, 1)
    distance = np.sqrt(
        (dk - at * along[0]) ** 2 + (dj - at * along[1]) ** 2 + (di - at * along[2]) ** 2
    )
    part = np.clip(radius + (end_radius - radius) * at - distance + 0.5, 0, 1)
    # Thinner than a voxel: the share falls with the cross-section.
    part *= np.minimum(1, 2 * (radius + (end_radius - radius) * at))
    window = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    np.maximum(share[window], part.astype(np.float32), out=share[window])


def draw_ellipsoid(share: Image, centre: Array, axes: Array, radii: Array) -> None:
    """Draw an ellipsoid into `share` in place; rows of `axes` are unit vectors, all in voxels."""
    grids = np.meshgrid(
        *(np.arange(n, dtype=np.float32) for n in share.shape), indexing="ij", sparse=True
    )
    offsets = [grid - float(at) for grid, at in zip(grids, centre, strict=True)]
    squared = np.zeros(share.shape, dtype=np.float32)
    for axis, radius in zip(axes, radii, strict=True):
        k, j, i = (np.float32(value) for value in axis / radius)
        squared += (offsets[0] * k + offsets[1] * j + offsets[2] * i) ** 2
    depth = (1 - np.sqrt(squared)) * np.float32(min(radii))
    np.maximum(share, np.clip(depth + 0.5, 0, 1), out=share)


def blend(
    patch: Image,
    drawn: Drawn,
    kind: NoduleType,
    *,
    blur_voxels: tuple[float, float, float],
    noise_hu: float,
    random: np.random.Generator,
) -> None:
    """Put a drawn nodule into a patch of HU, in place.

    Parameters
    ----------
    patch : ndarray of shape (D, H, W), dtype float32
        HU; changed.
    drawn : Drawn
        On the same grid.
    kind : NoduleType
        Decides the densities.
    blur_voxels : (float, float, float)
        Standard deviation of border and scanner along k, j, i.
    noise_hu : float
        Of the patch, given to what covers its own noise.
    random : Generator
        For densities and noise.
    """
    share = ndimage.gaussian_filter(drawn.share, blur_voxels, truncate=3.0)
    # Small things lose contrast to the blur, as they do in a scanner.
    if kind == "ground-glass":
        _add_ground_glass(patch, share, random)
        return
    if kind == "part-solid":
        _add_ground_glass(patch, share, random)
        share = ndimage.gaussian_filter(drawn.core, blur_voxels, truncate=3.0)
    low, high = CONTRAST_HU if random.random() < CONTRAST_SHARE else TISSUE_HU
    content = np.full(patch.shape, random.uniform(low, high), dtype=np.float32)
    content += 25.0 * smooth_noise(patch.shape, 2.0, random)
    if kind == "calcified":
        _add_calcium(content, drawn.share, random)
    elif random.random() < 0.04 and drawn.share.sum() > 800:
        content -= _cavity(drawn.share) * 800.0
    content += noise_hu * smooth_noise(patch.shape, 0.6, random)
    patch += share * np.maximum(content - patch, 0)


def _add_ground_glass(patch: Image, share: Image, random: np.random.Generator) -> None:
    """Fill part of the air of each voxel with tissue."""
    tissue = random.uniform(*GROUND_GLASS_TISSUE) + (
        random.uniform(0.03, 0.12)
        * smooth_noise(patch.shape, float(random.choice([1.0, 2.0, 3.0])), random)
    )
    if random.random() < 0.5:  # many fade into the lung rather than end
        share = ndimage.gaussian_filter(share, random.uniform(0.5, 1.5), truncate=3.0)
    patch += share * np.clip(tissue, 0.08, 0.9) * np.maximum(40.0 - patch, 0)


def _add_calcium(content: Image, share: Image, random: np.random.Generator) -> None:
    """Diffuse, central or popcorn calcification."""
    dense = random.uniform(*CALCIUM_HU)
    pattern = random.choice(["diffuse", "central", "popcorn"])
    if pattern == "diffuse":
        content += dense
    elif pattern == "central":
        content += dense * np.clip(ndimage.gaussian_filter(share, 2.0) * 1.6 - 0.6, 0, 1)
    else:
        content += dense * np.clip(smooth_noise(content.shape, 1.5, random), 0, 1.5)


def _cavity(share: Image) -> Image:
    """The inner third, as air."""
    inner = ndimage.distance_transform_edt(share > 0.5)
    return np.asarray(np.clip(inner - 0.55 * inner.max(), 0, 1), dtype=np.float32)


def border_blur_mm(margin: float) -> float:
    """Blur of a border by its margin rating, 1 (blurred) to 5 (sharp)."""
    return float(np.interp(margin, [1, 5], [BLUR_MM[1], BLUR_MM[5]]))


def kind_of(shape: NoduleShape) -> NoduleType:
    """Type by LIDC's own ratings."""
    if shape.calcified:
        return "calcified"
    if shape.texture < 2.0:
        return "ground-glass"
    return "part-solid" if shape.texture < 3.8 else "solid"
