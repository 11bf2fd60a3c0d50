"""Backgrounds for cubes: a detector's background, and the same CT in its own resolution.

Where nodules and hard negatives go is known on the coarse grid; densities come from the fine one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.backend import Backend
from inference.centre_detection import find_peaks
from inference.models.centre_detector import CentreDetectorConfig
from inference.resample import crop
from inference.training.backgrounds import Background
from inference.volume import Volume

TISSUE_AT_LEAST_HU = -350.0
TISSUE_PLACES_AT_MOST = 20_000
LESION_GAP_MM = 8.0
MISTAKE_FROM = 0.05
MISTAKES_AT_MOST = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiBackground:
    """A CT to cut cubes from.

    Attributes
    ----------
    coarse : Background
        With places, depths and known lesions.
    fine : Volume
        The same CT in its own voxels, cut to about the same box; a simulated one has no others.
    tissue_lps_mm : ndarray of shape (N, 3)
        Vessels, hilum, pleura and diaphragm: dense voxels in the search region, away from
        known lesions.
    mistakes : ndarray of shape (M, 5)
        Where a detector sees nodules and none are known: LPS mm, diameter in mm, probability.
    """

    coarse: Background
    fine: Volume
    tissue_lps_mm: NDArray[np.float64]
    mistakes: NDArray[np.float64]


def to_voi_background(coarse: Background, volume: Volume, *, seed: int = 0) -> VoiBackground:
    """Join a prepared background with the CT that it was made from."""
    ends = coarse.volume.index_to_lps([np.zeros(3), np.array(coarse.volume.shape) - 1.0])
    index = volume.lps_to_index(ends)
    low = np.clip(np.floor(index.min(axis=0)).astype(int), 0, np.array(volume.shape) - 1)
    high = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, low + 1, volume.shape)
    box = crop(volume, low, high)
    random = np.random.default_rng(seed)
    dense = np.argwhere(coarse.search & (coarse.volume.hu >= TISSUE_AT_LEAST_HU))
    if len(dense) > TISSUE_PLACES_AT_MOST:
        dense = dense[random.choice(len(dense), TISSUE_PLACES_AT_MOST, replace=False)]
    dense = dense[away_from_lesions(coarse, dense.astype(np.float64))]
    return VoiBackground(
        coarse=coarse,
        fine=Volume(hu=box.hu.copy(), affine=box.affine),
        tissue_lps_mm=coarse.volume.index_to_lps(dense).reshape(-1, 3),
        mistakes=np.zeros((0, 5)),
    )


def away_from_lesions(background: Background, index_kji: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which indices of the coarse grid, shape (N, 3), lie away from all known lesions."""
    away = np.ones(len(index_kji), dtype=bool)
    gap = LESION_GAP_MM / float(background.volume.spacing_mm[0])
    for lesion in background.lesions_kji:
        away &= np.linalg.norm(index_kji - lesion[:3], axis=1) > lesion[3] + gap
    return away


def mine_candidates(
    background: VoiBackground, backend: Backend, config: CentreDetectorConfig
) -> VoiBackground:
    """The background with the places at which a detector is wrong.

    A real nodule that nobody knows of is taken for a mistake: the price of unannotated CT.
    """
    coarse = background.coarse
    peaks = find_peaks(backend, config, coarse.volume.hu, coarse.search)
    peaks = peaks[peaks[:, 4] >= MISTAKE_FROM]
    peaks = peaks[away_from_lesions(coarse, peaks[:, :3])][:MISTAKES_AT_MOST]
    points = coarse.volume.index_to_lps(peaks[:, :3]).reshape(-1, 3)
    return replace(background, mistakes=np.column_stack([points, peaks[:, 3:]]))
