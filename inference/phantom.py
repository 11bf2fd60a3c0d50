"""A simulated chest CT with known truth: body, bones, heart, lungs, vessels, nodules, noise.

Everything has an analytic place, so truth does not depend on the grid. The patient lies in
LPS with the origin in the middle of the chest; `rotation_deg` turns the scanner's grid.
Good enough that lungs and nodules are found in it; not good enough to claim anything of
patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from inference.findings import NoduleType
from inference.phantom_anatomy import (
    Anatomy,
    Sphere,
    Tube,
    grow_vessels,
    lung_depth_mm,
    render_slice,
)
from inference.volume import Volume

SOFT_TISSUE_HU = 35.0
GROUND_GLASS_HU = -600.0
CALCIFIED_HU = 600.0
SOLID_CORE_FRACTION = 0.5
"""Diameter of a part-solid nodule's solid core over the whole."""
PLACING_TRIES = 4000
PLEURA_GAP_MM = 7.0
VESSEL_GAP_MM = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomNodule:
    """A spherical nodule to put in.

    Attributes
    ----------
    centre_lps_mm : tuple of float, optional
        Where; chosen by the seed if absent.
    juxtapleural : bool
        Let the chosen place touch the chest wall.
    """

    type: NoduleType = "solid"
    diameter_mm: float = 10.0
    centre_lps_mm: tuple[float, float, float] | None = None
    juxtapleural: bool = False


DEFAULT_NODULES = (
    PhantomNodule(type="solid", diameter_mm=12.0),
    PhantomNodule(type="solid", diameter_mm=20.0, juxtapleural=True),
    PhantomNodule(type="calcified", diameter_mm=8.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomSpec:
    """What to simulate; lengths in mm, densities in HU, angles in degrees."""

    seed: int = 0
    slices: int = 130
    pixels: int = 512
    slice_spacing_mm: float = 2.5
    pixel_spacing_mm: float = 0.7
    noise_hu: float = 20.0
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Of the grid about LPS x, y and z."""
    centre_z_mm: float = 0.0
    """Height of the middle slice: off the chest's middle for partial coverage."""
    nodules: tuple[PhantomNodule, ...] = DEFAULT_NODULES
    vessels: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Phantom:
    """A simulated CT and what is in it."""

    volume: Volume
    truth: dict[str, Any]
    """``seed`` and ``nodules``: type, centre_lps_mm, diameter_mm, volume_mm3, laterality."""


def make_phantom(spec: PhantomSpec) -> Phantom:
    """Simulate a CT.

    Raises
    ------
    ValueError
        If a nodule finds no place in the lungs.
    """
    random = np.random.default_rng(spec.seed)
    affine = _affine(spec)
    vessels = grow_vessels(random) if spec.vessels else []
    placed: list[tuple[PhantomNodule, NDArray[np.float64]]] = []
    for nodule in sorted(spec.nodules, key=lambda item: -item.diameter_mm):
        if nodule.centre_lps_mm is not None:
            centre = np.array(nodule.centre_lps_mm)
        else:
            centre = _find_place(nodule, placed, vessels, random, spec)
        placed.append((nodule, centre))
    anatomy = Anatomy(
        tubes=tuple(vessels),
        spheres=tuple(sphere for nodule, centre in placed for sphere in _spheres(nodule, centre)),
    )
    hu = np.empty((spec.slices, spec.pixels, spec.pixels), dtype=np.float32)
    texture = _texture(random, hu.shape, affine)
    for k in range(spec.slices):
        hu[k] = render_slice(anatomy, affine, k, (spec.pixels, spec.pixels), texture[k])
    hu = _image(hu, spec, random)
    volume = Volume(hu=np.rint(np.clip(hu, -1024, 3071)).astype(np.int16), affine=affine)
    return Phantom(volume=volume, truth=_truth(spec, placed))


def _affine(spec: PhantomSpec) -> NDArray[np.float64]:
    """(k, j, i, 1) -> LPS mm: slices go up, rows back, columns left, then turned."""
    turn = Rotation.from_euler("xyz", spec.rotation_deg, degrees=True).as_matrix()
    axes = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], dtype=np.float64).T
    steps = (spec.slice_spacing_mm, spec.pixel_spacing_mm, spec.pixel_spacing_mm)
    affine = np.eye(4)
    affine[:3, :3] = turn @ axes @ np.diag(steps)
    middle = (np.array([spec.slices, spec.pixels, spec.pixels]) - 1) / 2
    affine[:3, 3] = np.array([0.0, 0.0, spec.centre_z_mm]) - affine[:3, :3] @ middle
    return affine


def _find_place(
    nodule: PhantomNodule,
    placed: Sequence[tuple[PhantomNodule, NDArray[np.float64]]],
    vessels: Sequence[Tube],
    random: np.random.Generator,
    spec: PhantomSpec,
) -> NDArray[np.float64]:
    radius = nodule.diameter_mm / 2
    half_height = spec.slices * spec.slice_spacing_mm / 2 - radius - 5.0
    starts = np.array([tube.start for tube in vessels]).reshape(-1, 3)
    ends = np.array([tube.end for tube in vessels]).reshape(-1, 3)
    for _ in range(PLACING_TRIES):
        point = random.uniform((-140, -100, -110), (140, 100, 110))
        if abs(point[2] - spec.centre_z_mm) > half_height:
            continue
        depth = float(lung_depth_mm(*point))
        if nodule.juxtapleural:
            # Half in the wall would be a mass of the wall: let a third of it dent the lung.
            if not radius * 0.6 < depth < radius * 0.9 or abs(point[0]) < 70:
                continue
        elif depth < radius + PLEURA_GAP_MM:
            continue
        far = all(
            np.linalg.norm(point - centre) > radius + other.diameter_mm / 2 + 15.0
            for other, centre in placed
        )
        clear = not len(starts) or _segment_distance(point, starts, ends).min() > (
            radius + VESSEL_GAP_MM
        )
        if far and (clear or nodule.juxtapleural):
            return np.asarray(point)
    raise ValueError(
        f"no place in the lungs for a {nodule.type} nodule of {nodule.diameter_mm:g} mm: "
        "fewer or smaller nodules, or more slices"
    )


def _segment_distance(
    point: NDArray[np.float64], starts: NDArray[np.float64], ends: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance from a point to each of N line segments, mm."""
    along = ends - starts
    share = ((point - starts) * along).sum(axis=1) / (along**2).sum(axis=1)
    nearest = starts + np.clip(share, 0, 1)[:, None] * along
    return np.asarray(np.linalg.norm(point - nearest, axis=1))


def _spheres(nodule: PhantomNodule, centre: NDArray[np.float64]) -> list[Sphere]:
    x, y, z = (float(value) for value in centre)
    radius = nodule.diameter_mm / 2
    density = {
        "solid": SOFT_TISSUE_HU,
        "calcified": CALCIFIED_HU,
        "ground-glass": GROUND_GLASS_HU,
        "part-solid": GROUND_GLASS_HU,
    }[nodule.type]
    spheres = [Sphere(centre=(x, y, z), radius_mm=radius, hu=density)]
    if nodule.type == "part-solid":
        spheres.append(
            Sphere(centre=(x, y, z), radius_mm=radius * SOLID_CORE_FRACTION, hu=SOFT_TISSUE_HU)
        )
    return spheres


def _texture(
    random: np.random.Generator, shape: tuple[int, ...], affine: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Slow variation of the parenchyma, about +-1 at one standard deviation."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    coarse = np.maximum(4, (np.array(shape) * spacing / 6.0).astype(int))
    field = ndimage.gaussian_filter(random.standard_normal(coarse), 0.8)
    field /= field.std()
    zoom = np.array(shape) / coarse
    grown = ndimage.zoom(field.astype(np.float32), zoom, order=1, grid_mode=True, mode="nearest")
    return np.asarray(grown, dtype=np.float32)


def _image(
    hu: NDArray[np.float32], spec: PhantomSpec, random: np.random.Generator
) -> NDArray[np.float32]:
    """Blur of the scanner (0.5 mm in the plane, half a slice along the body) and its noise."""
    in_plane = 0.5 / spec.pixel_spacing_mm
    blurred = ndimage.gaussian_filter(hu, (0.29, in_plane, in_plane), truncate=3.0)
    if spec.noise_hu > 0:
        for plane in blurred:
            noise = ndimage.gaussian_filter(random.standard_normal(plane.shape), 0.7)
            plane += (noise * (spec.noise_hu / noise.std())).astype(np.float32)
    return np.asarray(blurred, dtype=np.float32)


def _truth(
    spec: PhantomSpec, placed: Sequence[tuple[PhantomNodule, NDArray[np.float64]]]
) -> dict[str, Any]:
    return {
        "seed": spec.seed,
        "slice_spacing_mm": spec.slice_spacing_mm,
        "pixel_spacing_mm": spec.pixel_spacing_mm,
        "noise_hu": spec.noise_hu,
        "nodules": [
            {
                "type": nodule.type,
                "centre_lps_mm": [round(float(value), 3) for value in centre],
                "diameter_mm": nodule.diameter_mm,
                "volume_mm3": float(np.pi / 6 * nodule.diameter_mm**3),
                "laterality": "left" if centre[0] > 0 else "right",
                "juxtapleural": nodule.juxtapleural,
            }
            for nodule, centre in placed
        ],
    }
