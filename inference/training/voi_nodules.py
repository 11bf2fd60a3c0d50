"""Choosing nodules for cubes, and drawing them as a scanner with slices would show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.findings import NoduleType
from inference.thresholds import CALCIFIED_AT_LEAST_HU
from inference.training.appearance import (
    Array,
    Drawn,
    Image,
    blend,
    border_blur_mm,
    draw_shape,
)
from inference.training.decoys import draw_fissure, random_axes
from inference.training.insertion import (
    PLANE_BLUR_MM,
    VISIBLE_HU,
    VISIBLE_SHARE,
    WantedNodule,
)
from inference.training.shapes import NoduleShape
from inference.training.slices import along_slices

SIZES_MM = (3.0, 40.0)
KINDS: dict[NoduleType, float] = {
    "solid": 0.4,
    "ground-glass": 0.21,
    "part-solid": 0.21,
    "calcified": 0.18,
}
"""LIDC has few subsolid and calcified ones: drawn so whatever their rating."""
SITES = {"isolated": 0.3, "juxtapleural": 0.3, "juxtavascular": 0.28, "perifissural": 0.12}
SCALE_AT_MOST = 1.45
SMOOTH_SHARE = 0.1
"""Of the nodules are balls and ellipsoids, as in test phantoms."""
WALL_DEPTH_MM = 3.0
"""Tissue thicker than twice this is chest wall, mediastinum or diaphragm, no vessel."""
SPICULE_MM = 1.0
SPICULES_FROM_MM = 8.0
CALCIFIED_PERCENTILE = 90.0
CORE_FRACTION = (0.04, 0.75)
"""A part-solid nodule with a core beyond this is not clearly part-solid: its type teaches
nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slicing:
    """How a scanner with slices sees a cube; see `inference.training.slices`.

    Attributes
    ----------
    average, interpolate : ndarray
        Of `slice_matrices`.
    """

    average: NDArray[np.float32]
    interpolate: NDArray[np.float32]

    def seen(self, field: Image) -> Image:
        """A field of shape (D, H, W) averaged into slices and interpolated again."""
        return along_slices(self.interpolate, along_slices(self.average, field))


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnNodule:
    """A nodule in a cube.

    Attributes
    ----------
    share, core : ndarray of shape (D, H, W), dtype float32
        How much of each voxel is nodule, and solid core, before the scanner: 0.5 at the
        outline. Without what lies inside the chest wall.
    kind : NoduleType or None
        `None` where the type cannot be told.
    """

    share: Image
    core: Image
    kind: NoduleType | None


def smooth_shapes(random: np.random.Generator, count: int = 12) -> list[NoduleShape]:
    """Balls and ellipsoids, drawn large so that they stay smooth when they are scaled."""
    grid = np.indices((41, 41, 41)) - 20.0
    shapes = []
    for number in range(count):
        radii = np.array([16.0, 16.0, 16.0])
        if number % 2:
            radii *= random.uniform(0.6, 1.0, 3)
        mask = sum((axis / radius) ** 2 for axis, radius in zip(grid, radii, strict=True)) <= 1
        shapes.append(
            NoduleShape(
                nodule_id=f"smooth-{number}",
                patient_id="none",
                mask=np.asarray(mask),
                diameter_mm=float((6 * np.sum(mask) / np.pi) ** (1 / 3)),
                texture=5.0,
                margin=5.0,
                spiculation=1.0,
                calcified=False,
            )
        )
    return shapes


def wish_nodule(
    shapes: Sequence[NoduleShape],
    diameters_mm: Array,
    smooth: Sequence[NoduleShape],
    random: np.random.Generator,
) -> WantedNodule:
    """Choose a size (even on a logarithmic scale), a type, a site and a shape of about that size.

    Parameters
    ----------
    shapes : sequence of NoduleShape
        With `diameters_mm`, shape (N,).
    smooth : sequence of NoduleShape
        `smooth_shapes`.
    """
    low, high = np.log(SIZES_MM)
    diameter_mm = float(np.exp(random.uniform(low, high)))
    kind: NoduleType = list(KINDS)[int(random.choice(len(KINDS), p=list(KINDS.values())))]
    site = str(random.choice(list(SITES), p=list(SITES.values())))
    if random.random() < SMOOTH_SHARE:
        shape = smooth[int(random.integers(len(smooth)))]
    else:
        away = np.abs(np.log(diameters_mm / diameter_mm))
        near = away < np.log(SCALE_AT_MOST)
        if near.sum() < 8:
            near[np.argsort(away)[:8]] = True
        shape = shapes[int(random.choice(np.flatnonzero(near)))]
    return WantedNodule(shape=shape, diameter_mm=diameter_mm, kind=kind, site=site)


def put_nodule(
    hu: Image,
    wanted: WantedNodule,
    centre: Array,
    spacing_mm: float,
    slicing: Slicing,
    noise_hu: float,
    random: np.random.Generator,
) -> DrawnNodule | None:
    """Put a nodule into a cube of HU, in place; `None` where it would be hidden or too faint.

    Parameters
    ----------
    hu : ndarray of shape (D, H, W), dtype float32
        Changed; not to be used where the answer is `None`.
    centre : ndarray of shape (3,)
        Voxels of the cube.
    slicing : Slicing
        Of the scanner that sees the nodule.
    """
    border_mm = border_blur_mm(wanted.shape.margin)
    plane = float(np.hypot(PLANE_BLUR_MM, 0.6 * border_mm)) / spacing_mm
    blur = (0.6 * border_mm / spacing_mm, plane, plane)
    flatten = None
    if wanted.site == "perifissural":
        axes = random_axes(random)
        flatten = (axes[0], float(random.uniform(0.5, 0.85)))
        draw_fissure(hu, centre, axes, spacing_mm, blur, random)
    drawn = draw_shape(
        wanted.shape,
        size=(hu.shape[0], hu.shape[1], hu.shape[2]),
        centre_kji=centre,
        spacing_mm=spacing_mm,
        diameter_mm=wanted.diameter_mm,
        random=random,
        flatten=flatten,
        part_solid=wanted.kind == "part-solid",
    )
    steepness = random.uniform(1.0, 3.0)
    drawn = replace(
        drawn, share=_steeper(drawn.share, steepness), core=_steeper(drawn.core, steepness)
    )
    before = hu.copy()
    seen = Drawn(share=slicing.seen(drawn.share), core=slicing.seen(drawn.core))
    blend(hu, seen, wanted.kind, blur_voxels=blur, noise_hu=noise_hu, random=random)
    weight = float(drawn.share.sum())
    free = float((drawn.share * (before < -400)).sum()) / max(weight, 1e-6)
    middle = drawn.share > 0.5
    if not middle.any() or free < VISIBLE_SHARE or (hu - before)[middle].mean() < VISIBLE_HU:
        return None
    share = drawn.share * ~_wall(before, drawn.share, spacing_mm)
    if wanted.diameter_mm > SPICULES_FROM_MM:
        share *= _near_thick(share >= 0.5, spacing_mm)
    core = np.minimum(drawn.core, share) if wanted.kind == "part-solid" else share
    if wanted.kind == "ground-glass":
        core = np.zeros_like(share)
    inside = share >= 0.5
    if inside.sum() < 8:
        return None
    return DrawnNodule(share=share, core=core, kind=_kind(hu, inside, core >= 0.5, wanted.kind))


def _steeper(share: Image, factor: float) -> Image:
    """A steeper border with the same outline."""
    return np.asarray(np.clip((share - 0.5) * factor + 0.5, 0, 1), dtype=np.float32)


def _wall(before: Image, share: Image, spacing_mm: float) -> NDArray[np.bool_]:
    """Thick tissue that was there before: a reader's outline stops at it."""
    tissue = before > -300
    if not (tissue & (share > 0.2)).any():
        return np.zeros(share.shape, dtype=bool)
    depth = ndimage.distance_transform_edt(tissue, sampling=spacing_mm)
    thick = depth >= WALL_DEPTH_MM
    if not thick.any():
        return np.zeros(share.shape, dtype=bool)
    away = ndimage.distance_transform_edt(~thick, sampling=spacing_mm)
    return np.asarray(tissue & (away <= WALL_DEPTH_MM))


def _near_thick(inside: NDArray[np.bool_], spacing_mm: float) -> NDArray[np.bool_]:
    """Without spicules: what an opening by `SPICULE_MM` keeps, and the soft border around it."""
    depth = ndimage.distance_transform_edt(inside, sampling=spacing_mm)
    thick = depth > SPICULE_MM + 0.5 * spacing_mm
    if not thick.any():
        return np.ones(inside.shape, dtype=bool)
    away = ndimage.distance_transform_edt(~thick, sampling=spacing_mm)
    return np.asarray(away <= SPICULE_MM + 1.5 * spacing_mm)


def _kind(
    hu: Image, inside: NDArray[np.bool_], core: NDArray[np.bool_], wanted: NoduleType
) -> NoduleType | None:
    """The type that can be seen."""
    if wanted == "calcified":
        dense = np.percentile(hu[inside], CALCIFIED_PERCENTILE) >= CALCIFIED_AT_LEAST_HU
        return "calcified" if dense else None
    if wanted == "part-solid":
        fraction = float(core.sum()) / float(inside.sum())
        return "part-solid" if CORE_FRACTION[0] <= fraction <= CORE_FRACTION[1] else None
    return wanted
