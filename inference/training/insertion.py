"""Putting a nodule into a CT: where it fits, how it is blurred, whether it can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.findings import NoduleType
from inference.training.appearance import Array, Image, blend, border_blur_mm, draw_shape
from inference.training.backgrounds import Background
from inference.training.decoys import draw_fissure, random_axes
from inference.training.shapes import NoduleShape

SLICE_BLUR, PLANE_BLUR_MM = 0.35, 0.5
"""The scanner's blur: along the slices per mm of thickness, and in the plane."""
VISIBLE_SHARE = 0.45
VISIBLE_HU = 70.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedNodule:
    """A nodule that is to be put somewhere: a shape, a size, a type and a kind of site."""

    shape: NoduleShape
    diameter_mm: float
    kind: NoduleType
    site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedNodule:
    """A nodule in a patch: centre in voxels k j i, ball-equivalent diameter.

    `counts` is false where it is hidden by tissue or too faint: neither right nor wrong.
    """

    centre_kji: tuple[float, float, float]
    diameter_mm: float
    kind: str
    site: str
    counts: bool


def fits_site(
    depths_mm: NDArray[np.floating], vessels: NDArray[np.floating], wanted: WantedNodule
) -> NDArray[np.bool_]:
    """Which places suit a nodule; depth and share of vessels of N places, answer of shape (N,)."""
    radius, site = wanted.diameter_mm / 2, wanted.site
    if site == "juxtapleural":
        return np.asarray((depths_mm > 0.35 * radius) & (depths_mm < 1.05 * radius + 0.5))
    deep = depths_mm > radius + 3.0
    if site == "juxtavascular":
        return np.asarray(deep & (vessels > 0.06) & (vessels < 0.4))
    return np.asarray(deep & (vessels < 0.05))


def too_near(
    centre: Array, diameter_mm: float, others: Sequence[PlacedNodule], spacing_mm: float
) -> bool:
    """Whether a nodule at a place (voxels) would touch one that is there already."""
    return any(
        np.linalg.norm(centre - other.centre_kji) * spacing_mm
        < 0.6 * (diameter_mm + other.diameter_mm) + 2.0
        for other in others
    )


def scanner_blur(
    background: Background, border_mm: float, spacing_mm: float
) -> tuple[float, float, float]:
    """Blur of the scanner and of a border together, standard deviation along k, j, i in voxels."""
    along = float(np.hypot(SLICE_BLUR * background.slice_thickness_mm, border_mm))
    plane = float(np.hypot(PLANE_BLUR_MM, border_mm)) / spacing_mm
    return along / spacing_mm, plane, plane


def insert_nodule(
    hu: Image,
    background: Background,
    wanted: WantedNodule,
    centre: Array,
    spacing_mm: float,
    random: np.random.Generator,
) -> PlacedNodule:
    """Put a nodule into `hu`, in place.

    Parameters
    ----------
    hu : ndarray of shape (D, H, W), dtype float32
        HU on cubes of `spacing_mm`; changed.
    background : Background
        Where `hu` comes from: its slice thickness and noise.
    wanted : WantedNodule
        What to put in.
    centre : ndarray of shape (3,)
        Voxels of `hu`.
    """
    half = int(np.ceil(1.15 * wanted.diameter_mm / spacing_mm)) + 5
    at = np.rint(centre).astype(int)
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, hu.shape)
    window = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    blur = scanner_blur(background, border_blur_mm(wanted.shape.margin), spacing_mm)
    flatten = None
    if wanted.site == "perifissural":
        axes = random_axes(random)
        flatten = (axes[0], random.uniform(0.5, 0.85))
        draw_fissure(hu, centre, axes, spacing_mm, blur, random)
    box = hu[window]
    drawn = draw_shape(
        wanted.shape,
        size=(box.shape[0], box.shape[1], box.shape[2]),
        centre_kji=centre - low,
        spacing_mm=spacing_mm,
        diameter_mm=wanted.diameter_mm,
        random=random,
        flatten=flatten,
        part_solid=wanted.kind == "part-solid",
    )
    before = box.copy()
    blend(box, drawn, wanted.kind, blur_voxels=blur, noise_hu=background.noise_hu, random=random)
    weight = float(drawn.share.sum())
    free = float((drawn.share * (before < -400)).sum()) / max(weight, 1e-6)
    middle = drawn.share > 0.5
    change = float((box - before)[middle].mean()) if middle.any() else 0.0
    k, j, i = (float(value) for value in centre)
    return PlacedNodule(
        centre_kji=(k, j, i),
        diameter_mm=wanted.diameter_mm,
        kind=wanted.kind,
        site=wanted.site,
        counts=free >= VISIBLE_SHARE and change >= VISIBLE_HU,
    )
