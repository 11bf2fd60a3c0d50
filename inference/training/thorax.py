"""A simulated thorax on cubic voxels, rich enough to be mistaken in: a background for nodules.

Lungs between ribs, heart and diaphragm, all bent at random; arteries with airways beside them and
veins that fill the lungs down to the finest that a CT shows; fissures, dependent density,
emphysema, contrast or none. Unlike `inference.phantom`, nothing of it is meant to be measured.
Axes: k towards the head, j towards the back, i towards the patient's left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.training.appearance import draw_tube
from inference.training.noise import smooth_noise
from inference.training.vessel_tree import VesselTree, grow_tree
from inference.volume import Volume

Array = NDArray[np.float64]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

EXTENT_MM = (290.0, 250.0, 340.0)
LUNG_HEIGHT_MM = 255.0
FAT_HU, TISSUE_HU, LIVER_HU, BONE_HU, MARROW_HU = -100.0, 45.0, 60.0, 450.0, 180.0
LUNG_HU = (-900.0, -830.0)
ARTERY_POINTS, VEIN_POINTS = 1700, 1400
AIRWAY_FROM_MM = 0.9
EMPHYSEMA_SHARE, CONTRAST_SHARE = 0.3, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """Where each voxel lies, mm, bent at random; z from the lowest lung on."""

    z: Image
    y: Image
    x: Image
    origin_kji: Array
    spacing_mm: float

    def to_index(self, points_zyx: Array) -> Array:
        return np.asarray(points_zyx / self.spacing_mm + self.origin_kji)


def simulate_thorax(
    seed: int, *, spacing_mm: float, extent_mm: tuple[float, float, float] = EXTENT_MM
) -> tuple[Volume, float]:
    """Simulate a thorax.

    Parameters
    ----------
    seed : int
        Same seed, same thorax.
    spacing_mm : float
        Of the cubic voxels.
    extent_mm : (float, float, float)
        Of the volume along k, j, i; the chest is as large as it allows.

    Returns
    -------
    volume : Volume
        HU, int16.
    slice_thickness_mm : float
        What the blur along the slices stands for.
    """
    random = np.random.default_rng((seed, 77))
    scale = min(size / usual for size, usual in zip(extent_mm, EXTENT_MM, strict=True))
    grid = _bent_grid(extent_mm, spacing_mm, scale, random)
    contrast = random.random() < CONTRAST_SHARE
    blood_hu = random.uniform(120, 320) if contrast else random.uniform(35, 55)
    cavity = _cavity(grid)
    hu = _chest_wall(grid, cavity, random)
    _draw_ribs(hu, grid, random)
    hu[cavity < 0] = TISSUE_HU
    heart = _heart(grid)
    aorta = np.hypot(grid.x - 24, grid.y - 38) < 12
    aorta |= np.hypot(np.hypot(grid.x - 8, grid.y - 14) - 28, grid.z - 178) < 13
    hu[(cavity < 0) & ((heart < 0) | aorta)] = blood_hu
    abdomen = _above_diaphragm(grid) < 0
    hu[(cavity < 0) & abdomen] = LIVER_HU + (random.uniform(20, 50) if contrast else 0)
    _draw_stomach(hu, grid, abdomen, random)
    spine = np.hypot(grid.x / 1.15, grid.y - 82) < 20
    hu[spine] = MARROW_HU
    lungs = (cavity < 0) & ~abdomen & (heart > 0) & ~aorta & ~spine & _beside_mediastinum(grid)
    hu = ndimage.gaussian_filter(hu, 0.8 / spacing_mm, truncate=3.0)
    inside = ndimage.gaussian_filter(lungs.astype(np.float32), 0.6 / spacing_mm, truncate=3.0)
    hu += inside * (_parenchyma(grid, random) - hu)
    _draw_fissures(hu, grid, lungs, random)
    _draw_trees(hu, grid, lungs, blood_hu, random)
    thickness_mm = float(random.choice([0.7, 1.0, 1.25, 2.0, 2.5]))
    blur = (0.4 * thickness_mm / spacing_mm, 0.35 / spacing_mm, 0.35 / spacing_mm)
    hu = ndimage.gaussian_filter(hu, blur, truncate=3.0)
    width = float(random.choice([0.0, 0.4, 0.6]))
    hu += smooth_noise(hu.shape, (width, width, width), random) * np.float32(random.uniform(4, 30))
    affine = np.zeros((4, 4))
    # Index k, j, i -> x (left), y (back), z (head).
    affine[0, 2] = affine[1, 1] = affine[2, 0] = spacing_mm
    affine[3, 3] = 1.0
    affine[:3, 3] = [-spacing_mm * (size - 1) / 2 for size in reversed(hu.shape)]
    pixels = np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
    return Volume(hu=pixels, affine=affine), thickness_mm


def _bent_grid(
    extent_mm: tuple[float, float, float],
    spacing_mm: float,
    scale: float,
    random: np.random.Generator,
) -> _Grid:
    shape = tuple(round(size / spacing_mm) for size in extent_mm)
    stretch = random.uniform(0.92, 1.08, 3)
    origin = np.array([18.0 * scale / spacing_mm, shape[1] / 2, shape[2] / 2])
    axes = []
    for axis, size in enumerate(shape):
        lie = [1, 1, 1]
        lie[axis] = size
        line = (np.arange(size) - origin[axis]) * spacing_mm / scale * stretch[axis]
        coarse = random.standard_normal([4, 5, 5]).astype(np.float32)
        factors = np.array(shape) / coarse.shape
        bend = ndimage.zoom(coarse, factors, order=3, mode="nearest")
        axes.append(line.reshape(lie).astype(np.float32) + 3.5 * bend.astype(np.float32))
    return _Grid(
        z=axes[0],
        y=axes[1],
        x=axes[2],
        origin_kji=origin,
        spacing_mm=spacing_mm / scale,
    )


def _cavity(grid: _Grid) -> Image:
    """Below 0 inside the rib cage, about mm."""
    t = grid.z / LUNG_HEIGHT_MM
    up = np.clip((t - 0.25) / 0.78, 0, 1) ** 2.3
    shape = np.sqrt(np.clip(1 - up, 0.0, 1)) * np.where(t < 0.25, 0.94 + 0.24 * t, 1.0)
    shape = np.maximum(shape, 1e-3)
    a, b = 132 * shape, 92 * np.sqrt(shape)
    # The spine dents it from behind.
    dent = 14 * np.exp(-((grid.x / 26) ** 2)) * (grid.y > 0)
    width, depth = np.abs(grid.x) / a, np.abs(grid.y) / np.maximum(b - dent, 1.0)
    away = (width**2.4 + depth**2.4) ** (1 / 2.4)
    cap = np.where(t > 1.02, 30.0, -1e3)
    return np.asarray(np.maximum((away - 1) * np.minimum(a, b), cap), dtype=np.float32)


def _chest_wall(grid: _Grid, cavity: Image, random: np.random.Generator) -> Image:
    fat_mm = random.uniform(6, 28)
    hu = np.full(cavity.shape, -1000.0, dtype=np.float32)
    # Above the apices are shoulders and neck.
    skin = np.hypot(grid.x / 152, grid.y / 112)
    body = (cavity < 20 + fat_mm) | (skin < 1)
    hu[body] = FAT_HU
    muscle = (cavity < 20) | (skin < 0.9)
    hu[muscle] = TISSUE_HU
    layers = smooth_noise(hu.shape, 3.0, random)
    hu[muscle & (layers > 0.9) & (cavity > 6)] = FAT_HU
    return hu


def _draw_ribs(hu: Image, grid: _Grid, random: np.random.Generator) -> None:
    share = np.zeros(hu.shape, dtype=np.float32)
    cartilage = np.zeros(hu.shape, dtype=np.float32)
    for top in np.arange(28.0, LUNG_HEIGHT_MM + 60, random.uniform(22, 27)):
        for side in (-1.0, 1.0):
            angles = np.linspace(0.25, 2.75, 16)
            z = top - 20 * angles
            t = z / LUNG_HEIGHT_MM
            up = np.clip((t - 0.25) / 0.78, 0, 1) ** 2.3
            size = np.sqrt(np.clip(1 - up, 0.02, 1))
            x = side * (132 * size + 6.5) * np.sin(angles) ** 0.8
            y = (92 * np.sqrt(size) + 6.5) * np.cos(angles)
            points = grid.to_index(np.stack([z, y, x], axis=1))
            for n in range(len(points) - 1):
                target = share if n < 11 else cartilage
                radius = 4.6 / grid.spacing_mm
                draw_tube(target, points[n], points[n + 1], radius, radius)
    core = np.clip(share * 2 - 1, 0, 1)
    hu += share * (BONE_HU - hu) * np.float32(0.8)
    hu -= core * np.float32(150.0)
    hu += cartilage * (110 - hu)


def _heart(grid: _Grid) -> Image:
    x, y, z = grid.x - 16, grid.y + 26, grid.z - 62
    along = 0.7 * x - 0.25 * y - 0.45 * z
    squared = x**2 + y**2 + z**2
    return np.asarray(
        np.sqrt(np.maximum(squared - 0.35 * along**2, 0) / 46**2) - 1, dtype=np.float32
    )


def _above_diaphragm(grid: _Grid) -> Image:
    """Above 0 over the domes of the diaphragm, mm."""
    domes = []
    for side, height in ((-1.0, 62.0), (1.0, 50.0)):
        x, y = grid.x - side * 68, grid.y + 8
        domes.append(height - 52 * ((x / 66) ** 2 + (y / 78) ** 2))
    return np.asarray(grid.z - np.maximum(np.maximum(*domes), -14), dtype=np.float32)


def _draw_stomach(hu: Image, grid: _Grid, abdomen: Mask, random: np.random.Generator) -> None:
    """A bubble of gas under the left dome, in half of the thoraces."""
    if random.random() < 0.5:
        gas = (grid.x - 62) ** 2 + (grid.y + 18) ** 2 + 1.5 * (grid.z - 16) ** 2 < 24**2
        hu[gas & abdomen] = -960.0


def _beside_mediastinum(grid: _Grid) -> Mask:
    t = grid.z / LUNG_HEIGHT_MM
    hila = 22 * np.exp(-(((t - 0.52) / 0.14) ** 2)) * np.exp(-(((grid.y - 6) / 30) ** 2))
    front = np.where(grid.y < -45, 5.0, 17.0)
    return np.asarray(np.abs(grid.x - 3) > front + hila, dtype=np.bool_)


def _parenchyma(grid: _Grid, random: np.random.Generator) -> Image:
    base = random.uniform(*LUNG_HU)
    hu = base + grid.y * np.float32(random.uniform(0.05, 0.45))
    hu = hu + 14 * smooth_noise(hu.shape, 2.0, random) + 10 * smooth_noise(hu.shape, 0.6, random)
    if random.random() < EMPHYSEMA_SHARE:
        holes = np.clip(smooth_noise(hu.shape, 3.0, random) - random.uniform(0.6, 1.4), 0, 1)
        hu = hu - 110 * holes
    if random.random() < 0.5:
        behind = np.clip((grid.y - 66) / 12, 0, 1) * random.uniform(60, 260)
        hu = hu + behind * np.clip(0.5 + 0.5 * smooth_noise(hu.shape, 2.0, random), 0, 1)
    return np.asarray(np.maximum(hu, -985), dtype=np.float32)


def _draw_fissures(hu: Image, grid: _Grid, lungs: Mask, random: np.random.Generator) -> None:
    """Oblique fissures on both sides and a horizontal one on the right, thin and faint."""
    wave = 5 * smooth_noise(hu.shape, 3.0, random) if random.random() < 0.3 else 0.0
    sheets = []
    for side in (-1.0, 1.0):
        slope, height = random.uniform(0.75, 1.25), random.uniform(100, 125)
        oblique = (grid.z - height - slope * grid.y + wave) / np.hypot(1, slope)
        sheets.append((oblique, grid.x * side > 0))
        if side < 0:
            level = grid.z - random.uniform(105, 130) - 0.15 * grid.y
            sheets.append((level, (grid.x < 0) & (oblique > 0) & (grid.y < 10)))
    for away, where in sheets:
        half = random.uniform(0.25, 0.7)
        share = np.clip((half - np.abs(away)) / grid.spacing_mm + 0.5, 0, 1)
        share *= where & lungs
        hu += np.float32(random.uniform(0.3, 0.9)) * share.astype(np.float32) * (20 - hu)


def _draw_trees(
    hu: Image, grid: _Grid, lungs: Mask, blood_hu: float, random: np.random.Generator
) -> None:
    deep = ndimage.binary_erosion(lungs, iterations=max(1, round(3 / grid.spacing_mm)))
    places = np.argwhere(deep)
    points = (places - grid.origin_kji) * grid.spacing_mm
    blood = np.zeros(hu.shape, dtype=np.float32)
    wall, lumen = np.zeros_like(blood), np.zeros_like(blood)
    carina = np.array([150.0, 8.0, 2.0])
    _add_tube(lumen, grid, carina + np.array([130, 10, 0]), carina, 8.5, 8.0)
    for side in (-1.0, 1.0):
        here = points[points[:, 2] * side > 12]
        if len(here) < 100:
            continue
        hilum = np.array([130.0, 4.0, side * 40.0]) + random.normal(0, 4, 3)
        _add_tube(lumen, grid, carina, hilum + np.array([4, 6, 0]), 6.5, 5.0)
        for count, shift, airways in ((ARTERY_POINTS, 6.0, True), (VEIN_POINTS, -12.0, False)):
            wanted = here[random.choice(len(here), min(count, len(here)), replace=False)]
            root = hilum + np.array([shift, 0, 0])
            trunk = np.linspace(root - np.array([0, 0, side * 30]), root, 11)
            tree = grow_tree(trunk, wanted + random.normal(0, 0.5, wanted.shape), random)
            _draw_tree(blood, grid, tree)
            if airways:
                _draw_airways(wall, lumen, grid, tree, random)
    hu += blood * (np.float32(blood_hu) - hu)
    hu += wall * (10 - hu)
    hu += lumen * (-970 - hu)


def _draw_tree(share: Image, grid: _Grid, tree: VesselTree) -> None:
    starts, ends = grid.to_index(tree.starts), grid.to_index(tree.ends)
    mm = grid.spacing_mm
    for start, end, first, last in zip(starts, ends, tree.start_radii, tree.radii, strict=True):
        # A branch begins as thin as it is: only the trunk tapers by more.
        draw_tube(share, start, end, min(first, last * 1.3) / mm, last / mm)


def _draw_airways(
    wall: Image, lumen: Image, grid: _Grid, tree: VesselTree, random: np.random.Generator
) -> None:
    """A bronchus beside every artery that is thick enough."""
    aside = random.normal(size=3)
    aside /= np.linalg.norm(aside)
    for start, end, radius in zip(tree.starts, tree.ends, tree.radii, strict=True):
        if radius < AIRWAY_FROM_MM:
            continue
        inner, outer = 0.75 * radius, 0.75 * radius + 0.4 + 0.12 * radius
        shift = aside * (radius + outer + 0.2)
        _add_tube(wall, grid, start + shift, end + shift, outer, outer)
        _add_tube(lumen, grid, start + shift, end + shift, inner, inner)


def _add_tube(
    share: Image, grid: _Grid, start: Array, end: Array, first_mm: float, last_mm: float
) -> None:
    a, b = grid.to_index(np.stack([start, end]))
    draw_tube(share, a, b, first_mm / grid.spacing_mm, last_mm / grid.spacing_mm)
