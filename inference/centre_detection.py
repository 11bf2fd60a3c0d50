"""Candidates by the trained centre-heatmap network, over the whole of both lungs.

The box around the lungs goes through the network in slabs as large as memory allows (one for a
usual chest), so that there are no seams between tiles. Peaks of the heatmap in the search
region become candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.backend import Backend
from inference.detection import around_lungs
from inference.errors import OutOfMemory
from inference.findings import Candidate
from inference.lungs import LungMask
from inference.models.centre_detector import (
    COARSEST_STRIDE,
    DIAMETER_UNIT_MM,
    STRIDE,
    CentreDetectorConfig,
)
from inference.volume import Volume

CELL_MIDDLE = (STRIDE - 1) / 2
"""Voxel index of the middle of cell 0."""
MARGIN_MM = 20.0
"""Around the search region, so that the network sees the chest wall behind a nodule."""
PROBABILITY_AT_LEAST = 0.02
CANDIDATES_AT_MOST = 100
DIAMETERS_MM = (2.0, 80.0)
SAME_AT_LEAST_MM = 5.0
"""Peaks closer than this, or than half the larger diameter, are one."""
SLAB_VOXELS = 24_000_000
"""Per pass; about 0.6 GB of activations."""
MIRRORED_AXES = (0, 2)
"""Slices and columns: upside down and left for right, with front and back as they are."""
HALO = 48
"""Voxels that neighbouring slabs share on each side; beyond what moves a peak noticeably."""


class CentreHeatmapDetector:
    """A `Detector` around a trained `CentreDetector`."""

    name = "centre-heatmap detector (trained on simulation)"
    kind = "trained"
    needs_ranking = False
    limits: tuple[str, ...] = (
        (
            "detector trained on simulated nodules in the lungs of a few real and simulated CT, "
            "not validated clinically: nodules are missed, and vessels and scars are taken for "
            "nodules"
        ),
        "masses over about 35 mm were not trained for and may be missed",
    )

    def __init__(
        self,
        backend: Backend,
        config: CentreDetectorConfig,
        *,
        version: str,
        weights: Mapping[str, str],
        report_from: float = 0.5,
        flips: bool = True,
    ) -> None:
        self.version = version
        self.weights = weights
        self.report_from = report_from
        self._backend = backend
        self._config = config
        self._flips = flips
        self.device = backend.device
        self.engine = backend.engine

    def find_candidates(self, volume: Volume, lungs: LungMask) -> tuple[Candidate, ...]:
        """Find peaks of the heatmap in the search region, best first.

        Parameters
        ----------
        volume : Volume
            The CT.
        lungs : LungMask
            Of the same volume.

        Returns
        -------
        tuple of Candidate
            At most `CANDIDATES_AT_MOST`; `probability` is the heatmap's, not calibrated.

        Notes
        -----
        `device` and `engine` say afterwards what was used: the backend's spare where the
        device's memory did not suffice, for this volume alone.
        """
        grid, search = around_lungs(
            volume, lungs, spacing_mm=self._config.spacing_mm, margin_mm=MARGIN_MM
        )
        backend = self._backend
        try:
            peaks = find_peaks(backend, self._config, grid.hu, search, flips=self._flips)
        except OutOfMemory:
            if self._backend.spare is None:
                raise
            backend = self._backend.spare
            peaks = find_peaks(backend, self._config, grid.hu, search, flips=self._flips)
        self.device, self.engine = backend.device, backend.engine
        points = grid.index_to_lps(peaks[:, :3])
        return tuple(
            Candidate(
                centre_lps_mm=(float(x), float(y), float(z)),
                probability=float(probability),
                diameter_mm=float(diameter_mm),
            )
            for (x, y, z), diameter_mm, probability in zip(
                points, peaks[:, 3], peaks[:, 4], strict=True
            )
        )


def find_peaks(
    backend: Backend,
    config: CentreDetectorConfig,
    hu: NDArray[Any],
    search: NDArray[np.bool_],
    *,
    flips: bool = False,
) -> NDArray[np.float64]:
    """Peaks of the heatmap on a grid of the network's spacing.

    Parameters
    ----------
    backend : Backend
        Runs the network.
    config : CentreDetectorConfig
        Its spacing and window.
    hu, search : ndarray of shape (D, H, W)
        Densities and where peaks count.
    flips : bool
        Average with the answer to the mirrored image (k and i): steadier, twice the time.

    Returns
    -------
    ndarray of shape (N, 5), dtype float64
        Index k, j, i (continuous), diameter in mm, probability; best first.
    """
    image = _padded(to_window(hu, config))
    answer = _run_slabs(backend, image)
    if flips:
        turned = _run_slabs(backend, np.flip(image, MIRRORED_AXES))
        answer = np.float32(0.5) * (answer + _flip_back(turned, MIRRORED_AXES))
    cells = tuple(answer.shape[1:])
    heat = 1.0 / (1.0 + np.exp(-answer[0]))
    allowed = ndimage.binary_dilation(_per_cell(search, cells), iterations=1)
    highest = ndimage.maximum_filter(heat, size=3)
    places = np.argwhere((heat == highest) & allowed & (heat >= PROBABILITY_AT_LEAST))
    k, j, i = places.T
    offsets = np.clip(answer[2:5, k, j, i].T, -1.0, 1.0)
    centres = (places + offsets) * STRIDE + CELL_MIDDLE
    diameters = np.clip(DIAMETER_UNIT_MM * np.exp(answer[1, k, j, i]), *DIAMETERS_MM)
    peaks = np.column_stack([centres, diameters, heat[k, j, i]]).astype(np.float64)
    order = np.lexsort((peaks[:, 2], peaks[:, 1], peaks[:, 0], -peaks[:, 4]))
    return _one_per_place(peaks[order], config.spacing_mm)


def to_window(hu: NDArray[Any], config: CentreDetectorConfig) -> NDArray[np.float32]:
    """HU as the network sees them: window to -1 to 1."""
    low, high = config.window_hu
    clipped = np.clip(hu, low, high).astype(np.float32)
    return np.asarray((clipped - low) * (2 / (high - low)) - 1, dtype=np.float32)


def _padded(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The image with its ends repeated up to multiples of the coarsest stride."""
    ends = [(0, -size % COARSEST_STRIDE) for size in image.shape]
    return np.asarray(np.pad(image, ends, mode="edge"))


def _run_slabs(backend: Backend, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network's answer, shape (5, D/4, H/4, W/4), to an image padded to multiples of 16.

    Raises
    ------
    OutOfMemory
        If the device's memory does not even suffice for the thinnest slabs.
    """
    depth, height, width = image.shape
    fits = SLAB_VOXELS // (height * width) // COARSEST_STRIDE * COARSEST_STRIDE
    while True:
        try:
            return _answer_in_slabs(backend, image, fits)
        except OutOfMemory:
            thinner = min(fits, depth) // 2 // COARSEST_STRIDE * COARSEST_STRIDE
            if thinner < 2 * HALO + COARSEST_STRIDE:
                raise
            fits = thinner


def _answer_in_slabs(
    backend: Backend, image: NDArray[np.float32], fits: int
) -> NDArray[np.float32]:
    """The same, with at most `fits` slices in a pass where that leaves a core between halos."""
    depth = len(image)
    if depth <= fits:
        return np.asarray(backend.run(np.ascontiguousarray(image[None, None]))[0])
    core = max(COARSEST_STRIDE, fits - 2 * HALO)
    parts = []
    for start in range(0, depth, core):
        low, high = max(0, start - HALO), min(depth, start + core + HALO)
        answer = backend.run(np.ascontiguousarray(image[None, None, low:high]))[0]
        first = (start - low) // STRIDE
        parts.append(answer[:, first : first + core // STRIDE])
    return np.asarray(np.concatenate(parts, axis=1)[:, : depth // STRIDE])


def _flip_back(answer: NDArray[np.float32], axes: tuple[int, ...]) -> NDArray[np.float32]:
    """An answer to a mirrored image, mirrored: the offset along a mirrored axis changes sign."""
    turned = np.flip(answer, tuple(axis + 1 for axis in axes)).copy()
    for axis in axes:
        turned[2 + axis] *= -1
    return np.asarray(turned)


def _per_cell(mask: NDArray[np.bool_], cells: tuple[int, ...]) -> NDArray[np.bool_]:
    """Whether a cell holds any voxel of a mask."""
    padding = [(0, cell * STRIDE - size) for cell, size in zip(cells, mask.shape, strict=True)]
    d, h, w = cells
    blocks = np.pad(mask, padding).reshape(d, STRIDE, h, STRIDE, w, STRIDE)
    return np.asarray(blocks.any(axis=(1, 3, 5)))


def _one_per_place(peaks: NDArray[np.float64], spacing_mm: float) -> NDArray[np.float64]:
    """The best peak of each place."""
    kept: list[int] = []
    for index, peak in enumerate(peaks):
        others = peaks[kept]
        distance = np.linalg.norm(others[:, :3] - peak[:3], axis=1) * spacing_mm
        reach = np.maximum(SAME_AT_LEAST_MM, 0.5 * np.maximum(others[:, 3], peak[3]))
        if (distance > reach).all():
            kept.append(index)
        if len(kept) >= CANDIDATES_AT_MOST:
            break
    return peaks[kept]
