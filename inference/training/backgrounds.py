"""Lungs to put nodules into: real CT, or phantoms.

A `Background` is a CT on the detector's grid with all that placing needs: how deep in the lung
each voxel lies, how much vessel is near, where known lesions are. Known lesions are kept out of
placing and of the loss; they are never shown as nodules. Annotated nodules are kept out of placing
too, but they are nodules to be found (`inference.training.annotated`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.detection import around_lungs
from inference.lungs import segment_lungs
from inference.phantom import PhantomSpec, make_phantom
from inference.resample import mask_onto
from inference.training.thorax import simulate_thorax
from inference.volume import Volume

Array = NDArray[np.float64]

AROUND_MM = 24.0
"""So much of chest wall and mediastinum is kept around the lungs."""
AERATED_AT_MOST_HU = -650.0
VESSEL_AT_LEAST_HU = -450.0
PLACES_AT_MOST = 30_000
LESION_GAP_MM = 12.0
DEPTH_STEP = 2
"""Depth is computed on every second voxel: it varies slowly, and this is eight times faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLesion:
    """A lesion that a real CT is known to hold; `radius_mm` covers all of it."""

    centre_lps_mm: tuple[float, float, float]
    radius_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedPlace:
    """A nodule that readers marked and that a detector should find."""

    centre_lps_mm: tuple[float, float, float]
    diameter_mm: float


def _none(width: int) -> Array:
    return np.zeros((0, width))


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """A CT to put nodules into.

    Attributes
    ----------
    name : str
        Of the series; `real` tells CT from phantoms.
    volume : Volume
        Cubes of the detector's spacing around the lungs.
    search : ndarray of shape (D, H, W), dtype bool
        Where nodules may be (`inference.lungs.LungMask.search`).
    depth_mm : ndarray of shape (ceil(D/2), ceil(H/2), ceil(W/2)), dtype float16
        Distance to the border of `search`, every second voxel.
    places : ndarray of shape (N, 3), dtype int32
        Voxels in the lung, k j i, drawn at random, away from lesions.
    place_depth_mm, place_vessels : ndarray of shape (N,)
        Depth of each place; share of vessel within about 6 mm, 0 to 1.
    lesions_kji : ndarray of shape (L, 4)
        Known lesions, neither right nor wrong: centre in voxels, radius in voxels.
    nodules_kji : ndarray of shape (N, 4)
        Annotated nodules, to be found: centre in voxels, diameter in voxels.
    negatives_kji : ndarray of shape (M, 3)
        Places that look like nodules and are known to be none, voxels.
    slice_thickness_mm : float
        Of the source, for the blur of what is put in.
    noise_hu : float
        Standard deviation in soft tissue on this grid.
    """

    name: str
    real: bool
    volume: Volume
    search: NDArray[np.bool_]
    depth_mm: NDArray[np.float16]
    places: NDArray[np.int32]
    place_depth_mm: NDArray[np.float32]
    place_vessels: NDArray[np.float32]
    lesions_kji: Array
    slice_thickness_mm: float
    noise_hu: float
    nodules_kji: Array = field(default_factory=lambda: _none(4))
    negatives_kji: Array = field(default_factory=lambda: _none(3))


def prepare_background(
    name: str,
    volume: Volume,
    *,
    spacing_mm: float,
    lesions: Sequence[KnownLesion] = (),
    nodules: Sequence[AnnotatedPlace] = (),
    negatives_lps_mm: Array | None = None,
    real: bool = True,
    seed: int = 0,
) -> Background:
    """Bring a CT onto the detector's grid and find the places for nodules in it.

    Raises
    ------
    NotAnalysable
        If there are no lungs.
    """
    random = np.random.default_rng(seed)
    lungs = segment_lungs(volume)
    grid, search = around_lungs(volume, lungs, spacing_mm=spacing_mm, margin_mm=AROUND_MM)
    aerated = mask_onto(lungs.lungs > 0, lungs.affine, grid)
    coarse = np.pad(search[::DEPTH_STEP, ::DEPTH_STEP, ::DEPTH_STEP], 1)
    depth = ndimage.distance_transform_edt(coarse, sampling=spacing_mm * DEPTH_STEP)
    depth = depth[1:-1, 1:-1, 1:-1].astype(np.float16)
    found = np.argwhere(aerated & (grid.hu < AERATED_AT_MOST_HU))
    if len(found) > 4 * PLACES_AT_MOST:
        found = found[random.choice(len(found), 4 * PLACES_AT_MOST, replace=False)]
    centres = np.array([grid.lps_to_index(lesion.centre_lps_mm) for lesion in lesions])
    radii = np.array([lesion.radius_mm for lesion in lesions]) / spacing_mm
    known = np.column_stack([centres.reshape(-1, 3), radii])
    marked = np.array([grid.lps_to_index(item.centre_lps_mm) for item in nodules]).reshape(-1, 3)
    diameters = np.array([item.diameter_mm for item in nodules]) / spacing_mm
    annotated = np.column_stack([marked, diameters])
    for place in (*known, *np.column_stack([marked, diameters / 2])):
        distance = np.linalg.norm(found - place[:3], axis=1)
        found = found[distance > place[3] + LESION_GAP_MM / spacing_mm]
    places: NDArray[np.int32] = found[:PLACES_AT_MOST].astype(np.int32)
    vessel = ((grid.hu > VESSEL_AT_LEAST_HU) & search).astype(np.float32)
    near = ndimage.uniform_filter(vessel, size=int(2 * round(6.0 / spacing_mm) + 1))
    k, j, i = places.T
    return Background(
        name=name,
        real=real,
        volume=grid,
        search=search,
        depth_mm=depth,
        places=places,
        place_depth_mm=depth[k // DEPTH_STEP, j // DEPTH_STEP, i // DEPTH_STEP].astype(np.float32),
        place_vessels=near[k, j, i],
        lesions_kji=known,
        nodules_kji=annotated,
        negatives_kji=grid.lps_to_index(_none(3) if negatives_lps_mm is None else negatives_lps_mm),
        slice_thickness_mm=float(volume.spacing_mm[0]),
        noise_hu=_noise_hu(grid),
    )


def simulate_background(seed: int, *, spacing_mm: float, small: bool = False) -> Background:
    """A simulated thorax without nodules; `small` makes a coarse and plain one for tests."""
    name = f"simulated thorax {seed}"
    if small:
        spec = PhantomSpec(
            seed=seed,
            slices=83,
            pixels=117,
            slice_spacing_mm=3.0,
            pixel_spacing_mm=3.0,
            noise_hu=15.0,
            nodules=(),
        )
        volume = make_phantom(spec).volume
        return prepare_background(name, volume, spacing_mm=spacing_mm, real=False, seed=seed)
    volume, thickness_mm = simulate_thorax(seed, spacing_mm=spacing_mm)
    background = prepare_background(name, volume, spacing_mm=spacing_mm, real=False, seed=seed)
    return replace(background, slice_thickness_mm=thickness_mm)


def save_background(background: Background, path: Path) -> None:
    """Keep a prepared background (about half a minute of work) in an ``.npz`` file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    values = {item.name: getattr(background, item.name) for item in fields(Background)}
    volume = values.pop("volume")
    np.savez_compressed(partial, hu=volume.hu, affine=volume.affine, **values)
    partial.replace(path)


def load_background(path: Path) -> Background:
    """What `save_background` kept."""
    with np.load(path) as table:
        values = {name: table[name] for name in table.files}
    volume = Volume(hu=values.pop("hu"), affine=values.pop("affine"))
    for name in ("name", "real", "slice_thickness_mm", "noise_hu"):
        values[name] = values[name].item()
    return Background(volume=volume, **values)


def _noise_hu(grid: Volume) -> float:
    """Noise in soft tissue: robust deviation of what a small Gaussian takes away, HU."""
    middle = grid.hu[:: max(1, grid.shape[0] // 24)].astype(np.float32)
    smooth = ndimage.gaussian_filter(middle, (0, 1.0, 1.0))
    tissue = ndimage.binary_erosion((smooth > 0) & (smooth < 100), np.ones((1, 5, 5)))
    if tissue.sum() < 200:
        return 10.0
    rest = (middle - smooth)[tissue]
    # A Gaussian of one voxel leaves about 0.72 of white noise's deviation in the residue.
    return float(np.clip(1.4826 * np.median(np.abs(rest)) / 0.72, 3.0, 80.0))
