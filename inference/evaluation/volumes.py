"""Whole simulated volumes with known nodules, from shapes that training never saw."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.training.acquisition import vary_acquisition
from inference.training.backgrounds import DEPTH_STEP, Background
from inference.training.decoys import PatchSites, draw_decoys
from inference.training.insertion import (
    PlacedNodule,
    fits_site,
    insert_nodule,
    scanner_blur,
    too_near,
)
from inference.training.patches import PatchMaker

DECOYS = 6
"""Rounds of decoys in a volume, each about what a patch gets."""
DECOY_SIDE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedVolume:
    """A background with nodules.

    Attributes
    ----------
    hu : ndarray of shape (D, H, W), dtype float32
        On the background's grid.
    nodules : tuple of PlacedNodule
        Those that count are to be found, the others are left aside.
    """

    background: Background
    hu: NDArray[np.float32]
    nodules: tuple[PlacedNodule, ...]


def simulate_volume(
    maker: PatchMaker, background: Background, *, seed: int, nodules: int = 6
) -> SimulatedVolume:
    """Put nodules and decoys into a whole background and vary its acquisition.

    Parameters
    ----------
    maker : PatchMaker
        Chooses shapes and sizes.
    background : Background
        Where they go.
    seed : int
        Same seed, same volume.
    nodules : int
        Wanted; fewer where there is no room.
    """
    # The name, so that two backgrounds do not get the same nodules.
    random = np.random.default_rng((seed, zlib.crc32(background.name.encode())))
    spacing_mm = maker.spacing_mm
    hu = background.volume.hu.astype(np.float32)
    for _ in range(DECOYS):
        _add_decoys(hu, background, spacing_mm, random)
    placed: list[PlacedNodule] = []
    for _ in range(nodules):
        wanted = maker.wish(random)
        fits = np.flatnonzero(
            fits_site(background.place_depth_mm, background.place_vessels, wanted)
        )
        for _ in range(20 if len(fits) else 0):
            centre = background.places[int(random.choice(fits))].astype(np.float64)
            if not too_near(centre, wanted.diameter_mm, placed, spacing_mm):
                placed.append(insert_nodule(hu, background, wanted, centre, spacing_mm, random))
                break
    hu = vary_acquisition(hu, spacing_mm=spacing_mm, random=random)
    return SimulatedVolume(background=background, hu=hu, nodules=tuple(placed))


def _add_decoys(
    hu: NDArray[np.float32],
    background: Background,
    spacing_mm: float,
    random: np.random.Generator,
) -> None:
    """Decoys in a box around one place, in place."""
    at = background.places[int(random.integers(len(background.places)))]
    low = np.clip(at - DECOY_SIDE // 2, 0, np.maximum(0, np.array(hu.shape) - DECOY_SIDE))
    window = tuple(slice(int(start), int(start) + DECOY_SIDE) for start in low)
    box = hu[window]
    inside = background.places - low
    inside = inside[((inside > 3) & (inside < np.array(box.shape) - 4)).all(axis=1)][:200]
    lung = inside.astype(np.float64)
    depths = np.array([background.depth_mm[tuple((point + low) // DEPTH_STEP)] for point in inside])
    if not len(lung) or not (depths > 0).any():
        return
    none = np.zeros((0, 3))
    draw_decoys(
        box,
        PatchSites(lung=lung, wall=none, wall_normals=none),
        spacing_mm=spacing_mm,
        blur_voxels=scanner_blur(background, 0.0, spacing_mm),
        noise_hu=background.noise_hu,
        random=random,
    )
