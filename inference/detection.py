"""Candidates: places where a nodule may be.

`Detector` is the seam that a trained network fills; `BlobDetector` is the classical method
that stands there now. It looks for bright blobs over scales (Laplacian of Gaussian), tells
blobs from vessels and walls by the Hessian's eigenvalues, and says so with a score that ranks
but is not calibrated.

Deliberately absent: any knowledge of a particular scan; one setting serves all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.findings import Candidate
from inference.lungs import LungMask
from inference.resample import crop, mask_onto, to_isotropic, to_patient_axes
from inference.volume import Volume


class Detector(Protocol):
    """Finds candidates in a volume."""

    @property
    def name(self) -> str:
        """For reports."""
        ...

    @property
    def version(self) -> str:
        """Changes when its answers may."""
        ...

    @property
    def weights(self) -> Mapping[str, str]:
        """Name to sha256 of what was trained; empty for a classical method."""
        ...

    @property
    def kind(self) -> str:
        """One word for the algorithm's name: ``classical``, ``trained``."""
        ...

    @property
    def needs_ranking(self) -> bool:
        """Whether its scores must be made anew from each candidate's delineation."""
        ...

    @property
    def device(self) -> str:
        """What the last volume was worked on: ``cpu``, ``cuda:0``."""
        ...

    @property
    def engine(self) -> str | None:
        """Name and version of what ran its network; `None` without one."""
        ...

    @property
    def report_from(self) -> float:
        """Probability from which a nodule is listed."""
        ...

    @property
    def limits(self) -> tuple[str, ...]:
        """What it cannot do, for every report."""
        ...

    def find_candidates(self, volume: Volume, lungs: LungMask) -> tuple[Candidate, ...]:
        """Candidates, most probable first."""
        ...


GRID_MM = 1.5
MARGIN_MM = 6.0
BACKGROUND_HU = -860.0
"""Stands for everything outside the search region, so that the chest wall has no edge."""
CEILING_HU = 100.0
DIAMETERS_MM = (5.0, 7.0, 10.0, 14.0, 20.0, 28.0, 38.0)
"""Sphere diameters to which the scales answer most; sigma = d / (2 sqrt 3) (Lindeberg 1998)."""
RESPONSE_AT_LEAST_HU = 90.0
CANDIDATES_AT_MOST = 120
COARSE_FROM_MM = 18.0
"""Scales from here on are computed on a grid of twice the step: nothing is lost, much time won."""


@dataclass(frozen=True, slots=True)
class _Peak:
    index: tuple[int, int, int]
    diameter_mm: float
    response_hu: float
    blobness: float


class BlobDetector:
    """Laplacian-of-Gaussian blobs inside the search region of the lungs."""

    name = "blob detector (classical)"
    version = "1"
    weights: Mapping[str, str] = {}
    kind = "classical"
    needs_ranking = True
    device = "cpu"
    engine: str | None = None
    report_from = 0.5
    limits: tuple[str, ...] = (
        (
            "classical detector, not trained and not validated: nodules are missed, ground-glass "
            "ones most of all, and vessels are taken for nodules"
        ),
        (
            "masses over about 40 mm, and lesions that merge with the mediastinum or the chest "
            "wall, are missed"
        ),
    )

    def find_candidates(self, volume: Volume, lungs: LungMask) -> tuple[Candidate, ...]:
        """Find blobs over all scales, best first.

        Parameters
        ----------
        volume : Volume
            The CT.
        lungs : LungMask
            Of the same volume.

        Returns
        -------
        tuple of Candidate
            At most `CANDIDATES_AT_MOST`; `probability` is a score in 0 to 1, for ranking.
        """
        grid, search = around_lungs(volume, lungs, spacing_mm=GRID_MM)
        image = np.clip(grid.hu, -1000, CEILING_HU).astype(np.float32)
        image[~search] = BACKGROUND_HU
        peaks: list[_Peak] = []
        for diameter_mm in DIAMETERS_MM:
            peaks += _peaks_at(image, search, diameter_mm)
        kept = _suppress(peaks)
        candidates = [
            Candidate(
                centre_lps_mm=_point(grid, peak.index),
                probability=_score(peak),
                diameter_mm=peak.diameter_mm,
            )
            for peak in kept
        ]
        candidates.sort(key=lambda item: (-item.probability, item.centre_lps_mm))
        return tuple(candidates[:CANDIDATES_AT_MOST])


def _point(grid: Volume, index: tuple[int, int, int]) -> tuple[float, float, float]:
    x, y, z = grid.index_to_lps(index)
    return float(x), float(y), float(z)


def around_lungs(
    volume: Volume, lungs: LungMask, *, spacing_mm: float, margin_mm: float = MARGIN_MM
) -> tuple[Volume, NDArray[np.bool_]]:
    """The part of a volume around its lungs on cubes of `spacing_mm`, and the search region.

    Its axes lead up, back and left, whichever way the series was stored.
    """
    inside = np.argwhere(lungs.search)
    coarse = Volume(hu=np.zeros(lungs.search.shape, dtype=np.int16), affine=lungs.affine)
    corners = volume.lps_to_index(
        coarse.index_to_lps(np.array([inside.min(axis=0), inside.max(axis=0)]))
    )
    margin = margin_mm / volume.spacing_mm
    start = np.maximum(np.floor(corners.min(axis=0) - margin), 0).astype(int)
    stop = np.minimum(np.ceil(corners.max(axis=0) + margin) + 1, volume.shape).astype(int)
    box = crop(volume, start, stop)
    hu, affine = to_patient_axes(box.hu, box.affine)
    grid = to_isotropic(Volume(hu=hu, affine=affine), spacing_mm=spacing_mm)
    return grid, mask_onto(*to_patient_axes(lungs.search, lungs.affine), grid)


def _peaks_at(
    image: NDArray[np.float32], search: NDArray[np.bool_], diameter_mm: float
) -> list[_Peak]:
    """Local maxima of the normalised response at one scale."""
    step = 2 if diameter_mm >= COARSE_FROM_MM else 1
    if step == 2:
        image = ndimage.gaussian_filter(image, 0.7)[::2, ::2, ::2]
        search = search[::2, ::2, ::2]
    sigma = diameter_mm / (2 * np.sqrt(3)) / (GRID_MM * step)
    smooth = ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=3.0)
    response = -ndimage.laplace(smooth) * sigma**2
    reach = max(1, round(sigma))
    highest = ndimage.maximum_filter(response, size=2 * reach + 1)
    places = np.argwhere((response == highest) & (response > RESPONSE_AT_LEAST_HU) & search)
    peaks = []
    for k, j, i in places:
        eigenvalues = np.linalg.eigvalsh(_hessian(smooth, int(k), int(j), int(i)))
        if eigenvalues[2] >= 0:  # not a maximum in every direction
            continue
        peaks.append(
            _Peak(
                index=(int(k) * step, int(j) * step, int(i) * step),
                diameter_mm=diameter_mm,
                response_hu=float(response[k, j, i]),
                blobness=float(eigenvalues[2] / eigenvalues[0]),
            )
        )
    return peaks


def _hessian(smooth: NDArray[np.float32], k: int, j: int, i: int) -> NDArray[np.float64]:
    """Second differences at one voxel; shape (3, 3)."""
    pad = np.pad(
        smooth[max(k - 1, 0) : k + 2, max(j - 1, 0) : j + 2, max(i - 1, 0) : i + 2],
        [
            (int(index == 0), int(index == size - 1))
            for index, size in zip((k, j, i), smooth.shape, strict=True)
        ],
        mode="edge",
    ).astype(np.float64)
    hessian = np.empty((3, 3))
    for a in range(3):
        step_a = np.eye(3, dtype=int)[a]
        hessian[a, a] = pad[tuple(1 + step_a)] + pad[tuple(1 - step_a)] - 2 * pad[1, 1, 1]
        for b in range(a):
            step_b = np.eye(3, dtype=int)[b]
            hessian[a, b] = hessian[b, a] = 0.25 * (
                pad[tuple(1 + step_a + step_b)]
                + pad[tuple(1 - step_a - step_b)]
                - pad[tuple(1 + step_a - step_b)]
                - pad[tuple(1 - step_a + step_b)]
            )
    return hessian


def _strength(peak: _Peak) -> float:
    return peak.response_hu * peak.blobness


def _suppress(peaks: list[_Peak]) -> list[_Peak]:
    """One peak per place: the strongest wins within its own radius, over all scales."""
    kept: list[_Peak] = []
    for peak in sorted(peaks, key=_strength, reverse=True):
        clear = all(
            np.linalg.norm(np.subtract(peak.index, other.index)) * GRID_MM
            > 0.5 * max(peak.diameter_mm, other.diameter_mm)
            for other in kept
        )
        if clear:
            kept.append(peak)
        if len(kept) >= 3 * CANDIDATES_AT_MOST:
            break
    return kept


def _score(peak: _Peak) -> float:
    """0 to 1 from strength; 0.5 where half of a solid sphere's response meets a round shape."""
    return float(1.0 / (1.0 + np.exp(-(_strength(peak) - 160.0) / 50.0)))
