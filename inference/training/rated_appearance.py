"""Drawing a nodule as its readers rated it, at its own size.

Size, sphericity and lobulation are those of the mask. The other ratings say how it is drawn:

- texture 1 to 5: density of the ground glass and share of the volume that is a solid core;
- calcification: the pattern, and how dense by the share of the readers who saw calcium;
- margin 1 to 5: blur of the border; spiculation 1 to 5: number and length of strands;
- internal structure 2 to 4: fluid, fat or air inside;
- subtlety 1 to 5: contrast to the lung, and how much it hides among vessels (`hides`).

A rating does not fix the picture: every ordered one is moved by a normal deviate of `UNSURE`, as
readers who look at the same picture differ. Densities: the project's notes and `appearance`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from inference.attributes import ATTRIBUTES, CALCIFICATION_ABSENT
from inference.training.appearance import (
    CALCIUM_HU,
    CONTRAST_HU,
    CONTRAST_SHARE,
    TISSUE_HU,
    Array,
    Image,
    border_blur_mm,
    draw_tube,
    sample_mask,
)
from inference.training.noise import smooth_noise
from inference.training.shapes import MASK_SPACING_MM, NoduleShape

UNSURE = 0.3
"""Standard deviation of what is drawn around what was rated."""
SCALE = (1.0, 5.0)
GLASS_HU = ((1.0, -620.0), (3.0, -550.0), (4.0, -350.0), (5.0, -60.0))
"""Density of what is not core, by texture."""
GLASS_VARIES_HU = 50.0
CORE_FRACTION = ((1.5, 0.0), (2.0, 0.1), (3.0, 0.4), (4.0, 0.8), (4.6, 1.0))
"""Share of the volume that is solid, by texture."""
CORE_VARIES = 1.35
FAINT_CALCIUM_HU = (60.0, 200.0)
"""Where fewer than half of the readers saw calcium."""
STRANDS = ((1.3, 0.0), (2.0, 2.0), (3.0, 6.0), (4.0, 11.0), (5.0, 16.0))
STRAND_REACH = ((1.0, 1.15), (3.0, 1.45), (5.0, 1.9))
"""How far strands reach, in radii of the nodule."""
STRAND_RADIUS_MM = (0.9, 0.35)
CONTRAST = ((1.0, 0.7), (3.0, 0.88), (5.0, 1.0))
"""Factor of what the nodule adds to the lung, by subtlety."""
BLUR_AT_MOST = 0.16
"""Of the diameter: a border that is wider than the nodule leaves nothing of it."""
INSIDE_HU = {2: (0.0, 20.0), 3: (-110.0, -60.0), 4: (-900.0, -750.0)}
"""Fluid, fat, air."""
INSIDE_FRACTION = (0.2, 0.5)
POPCORN, LAMINATED, SOLID, NON_CENTRAL, CENTRAL = range(1, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedLook:
    """What is drawn, after all chances were taken.

    Attributes
    ----------
    texture, margin, spiculation, subtlety : float
        On LIDC's scales, moved by `UNSURE`.
    calcification : int
        LIDC's number of the pattern, 6 for none.
    calcium_hu : float
        Added where there is calcium.
    inside : int
        LIDC's number of the internal structure, 1 for soft tissue.
    """

    texture: float
    margin: float
    spiculation: float
    subtlety: float
    calcification: int
    calcium_hu: float
    inside: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedDrawing:
    """A nodule on a cube, before the scanner.

    Attributes
    ----------
    body : ndarray of shape (D, H, W), dtype float32
        Share of each voxel that is nodule, 0.5 at the outline; without strands.
    share : ndarray of shape (D, H, W), dtype float32
        The same with strands and the blur of the margin.
    content_hu : ndarray of shape (D, H, W), dtype float32
        Density of the nodule wherever it is.
    contrast : float
        Factor of what is added.
    """

    body: Image
    share: Image
    content_hu: Image
    contrast: float


def choose_look(readings: NDArray[np.float64], random: np.random.Generator) -> RatedLook:
    """Take the chances that ratings leave.

    Parameters
    ----------
    readings : ndarray of shape (R, 8)
        Of one reader or of several; kinds are those of one of them, drawn at random.
    """
    mean = dict(zip(ATTRIBUTES, readings.mean(axis=0), strict=True))
    moved = {
        name: float(np.clip(mean[name] + random.normal(0, UNSURE), *SCALE))
        for name in ("texture", "margin", "spiculation", "subtlety")
    }
    patterns = readings[:, ATTRIBUTES.index("calcification")]
    seen = patterns[patterns < CALCIFICATION_ABSENT]
    share = len(seen) / len(patterns)
    pattern = int(random.choice(seen)) if len(seen) else int(CALCIFICATION_ABSENT)
    limits = CALCIUM_HU if share >= 0.5 else FAINT_CALCIUM_HU
    inside = int(random.choice(readings[:, ATTRIBUTES.index("internal_structure")]))
    return RatedLook(
        **moved,
        calcification=pattern,
        calcium_hu=float(random.uniform(*limits)),
        inside=inside,
    )


def hides(look: RatedLook, random: np.random.Generator) -> bool:
    """Whether a nodule lies among vessels or at the pleura: subtle ones more often."""
    return bool(random.random() < np.interp(look.subtlety, SCALE, (0.9, 0.35)))


def draw_rated(
    shape: NoduleShape,
    look: RatedLook,
    *,
    side: int,
    centre_kji: Array,
    spacing_mm: float,
    random: np.random.Generator,
) -> RatedDrawing:
    """Draw a nodule at its own size, turned at random.

    Parameters
    ----------
    side : int
        Voxels along each side of the cube.
    centre_kji : ndarray of shape (3,)
        Where the mask's centroid comes to lie, voxels.
    """
    turn = Rotation.random(rng=random).as_matrix()
    mask = np.pad(shape.mask, 2).astype(np.float32)
    mask = ndimage.gaussian_filter(mask, 0.5)
    middle = np.argwhere(np.pad(shape.mask, 2)).mean(axis=0)
    size = (side, side, side)
    body = sample_mask(mask, turn * (spacing_mm / MASK_SPACING_MM), middle, centre_kji, size)
    diameter = shape.diameter_mm / spacing_mm
    blur_mm = min(border_blur_mm(look.margin), BLUR_AT_MOST * shape.diameter_mm)
    share = ndimage.gaussian_filter(body, blur_mm / spacing_mm, truncate=3.0)
    _add_strands(share, centre_kji, diameter, spacing_mm, look, random)
    depth = _depth(body, random)
    return RatedDrawing(
        body=body,
        share=share,
        content_hu=_content(body, depth, look, random),
        contrast=_by(CONTRAST, look.subtlety) if look.calcification == 6 else 1.0,
    )


def _by(table: tuple[tuple[float, float], ...], rating: float) -> float:
    ratings, values = zip(*table, strict=True)
    return float(np.interp(rating, ratings, values))


def _depth(body: Image, random: np.random.Generator) -> Image:
    """Rank of each voxel from the outline (0) to the middle (1) by volume, uneven; 0 outside."""
    inside = body >= 0.5
    if not inside.any():
        return np.zeros_like(body)
    reach = ndimage.distance_transform_edt(inside)
    uneven = reach / reach.max() + 0.2 * smooth_noise(body.shape, 2.0, random)
    order = np.argsort(np.argsort(uneven[inside]))
    depth = np.zeros_like(body)
    depth[inside] = (order + 1) / len(order)
    return depth


def _content(body: Image, depth: Image, look: RatedLook, random: np.random.Generator) -> Image:
    """Densities of the nodule's glass, core, calcium and whatever else is inside."""
    low, high = CONTRAST_HU if random.random() < CONTRAST_SHARE else TISSUE_HU
    solid = random.uniform(low, high) + 20.0 * smooth_noise(body.shape, 2.0, random)
    fraction = min(1.0, _by(CORE_FRACTION, look.texture) * CORE_VARIES ** random.uniform(-1, 1))
    if look.calcification < CALCIFICATION_ABSENT:
        fraction = 1.0  # calcium lies in solid tissue
    content = solid
    if fraction < 0.97:
        mean_hu = _by(GLASS_HU, look.texture) + random.normal(0, GLASS_VARIES_HU)
        glass = mean_hu + 35.0 * smooth_noise(body.shape, 1.5, random)
        content = np.where(depth > 1.0 - fraction, solid, np.minimum(glass, solid))
    if look.inside in INSIDE_HU:
        within = depth > 1.0 - random.uniform(*INSIDE_FRACTION)
        content = np.where(within, random.uniform(*INSIDE_HU[look.inside]), content)
    if look.calcification < CALCIFICATION_ABSENT:
        content = content + look.calcium_hu * _calcium(body, depth, look.calcification, random)
    return np.asarray(content, dtype=np.float32)


def _calcium(
    body: Image, depth: Image, pattern: int, random: np.random.Generator
) -> NDArray[np.floating]:
    """Where the calcium is, 0 to about 1, by LIDC's pattern."""
    if pattern == CENTRAL:
        return np.asarray(depth > 1.0 - random.uniform(0.2, 0.5), dtype=np.float32)
    if pattern == LAMINATED:
        return np.asarray(np.clip(np.sin(depth * np.pi * random.uniform(3, 5)), 0, 1))
    if pattern == POPCORN:
        return np.asarray(np.clip(smooth_noise(body.shape, 1.5, random), 0, 1.5))
    if pattern == NON_CENTRAL:
        places = np.argwhere((depth > 0.15) & (depth < 0.6))
        spots = np.zeros_like(body)
        for _ in range(int(random.integers(1, 4))):
            if len(places):
                spots[tuple(places[int(random.integers(len(places)))])] = 1.0
        wide = max(1.0, 0.18 * float((body >= 0.5).sum()) ** (1 / 3))
        near = ndimage.distance_transform_edt(spots == 0) if spots.any() else np.inf
        return np.asarray(np.clip(wide + 0.5 - near, 0, 1) * np.ones_like(body))
    return np.ones_like(body)


def _add_strands(
    share: Image,
    centre: Array,
    diameter: float,
    spacing_mm: float,
    look: RatedLook,
    random: np.random.Generator,
) -> None:
    """Radial strands from inside the surface outwards, in place; all lengths in voxels."""
    expected = _by(STRANDS, look.spiculation)
    thick, thin = (radius / spacing_mm for radius in STRAND_RADIUS_MM)
    for _ in range(int(random.poisson(expected)) if expected > 0 else 0):
        direction = random.normal(size=3)
        direction /= np.linalg.norm(direction)
        reach = 0.5 * diameter * _by(STRAND_REACH, look.spiculation) * random.uniform(0.9, 1.25)
        start, end = centre + direction * 0.3 * diameter, centre + direction * (reach + 1.0)
        draw_tube(share, start, end, thick, thin)
