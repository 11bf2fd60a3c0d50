"""Candidates by the network of MONAI's bundle ``lung_nodule_ct_detection``.

The bundle wants axes towards the patient's right, front and head (RAS), voxels of
0.703125 x 0.703125 x 1.25 mm, -1024 to 300 HU as 0 to 1. The box around the lungs goes through in
tiles that overlap; of each tile only those boxes count whose middle is nearest to it. What is
found outside of the search region is dropped, as with every detector here.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.backend import Backend
from inference.errors import OutOfMemory
from inference.findings import Candidate
from inference.lungs import LungMask
from inference.models.retina_net import SIZE_DIVISIBLE, STRIDES
from inference.retina_boxes import clip_boxes, decode_boxes, make_anchors, suppress
from inference.volume import Volume

SPACING_MM = (0.703125, 0.703125, 1.25)
"""Along x, y, z."""
WINDOW_HU = (-1024.0, 300.0)
SCORE_AT_LEAST = 0.02
PER_LEVEL_AT_MOST = 1000
OVERLAP_AT_MOST = 0.22
BOXES_AT_MOST = 300
"""The last four: as in the bundle's own inference configuration."""
TILE = (192, 192, 80)
"""Voxels along x, y, z: 1.6 GB at a time on a CPU."""
TILE_OVERLAP = 0.25
MARGIN_MM = 20.0
"""Around the search region, so that the network sees the chest wall behind a nodule."""
TOLERANCE_MM = 5.0
"""A box whose middle is so close to the search region still counts."""
NAME = "RetinaNet of the MONAI bundle lung_nodule_ct_detection"
RAS_AXES = np.array([[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
"""Unit vectors of x, y, z as rows, in LPS."""


class RetinaDetector:
    """A `Detector` around a `RetinaNet`."""

    name = NAME
    kind = "monai"
    needs_ranking = False
    limits: tuple[str, ...] = (
        (
            "detector: weights of the MONAI bundle lung_nodule_ct_detection, supplied by this "
            "site; trained on LUNA16, not measured and not validated here"
        ),
    )

    def __init__(
        self,
        backend: Backend,
        *,
        version: str,
        weights: Mapping[str, str],
        report_from: float = 0.5,
        tile: tuple[int, int, int] = TILE,
    ) -> None:
        if any(size % step for size, step in zip(tile, SIZE_DIVISIBLE, strict=True)):
            raise ValueError(f"tile {tile} must be divisible by {SIZE_DIVISIBLE}")
        self.version = version
        self.weights = weights
        self.report_from = report_from
        self.device = backend.device
        self.engine = backend.engine
        self._backend = backend
        self._tile = tile

    def find_candidates(self, volume: Volume, lungs: LungMask) -> tuple[Candidate, ...]:
        """Find boxes in the search region, best first.

        Parameters
        ----------
        volume : Volume
            The CT.
        lungs : LungMask
            Of the same volume.

        Returns
        -------
        tuple of Candidate
            The middle of each box; the diameter is the cube root of its volume; `probability`
            is the network's score. `device` and `engine` say afterwards what was used.

        Raises
        ------
        OutOfMemory
            If not even the backend's spare has the memory for a tile.
        """
        image, affine = to_ras_grid(volume, lungs)
        boxes, scores = self._find(image)
        centres = (boxes[:, :3] + boxes[:, 3:]) / 2
        points = centres @ affine[:3, :3].T + affine[:3, 3]
        sizes_mm = (boxes[:, 3:] - boxes[:, :3]) * SPACING_MM
        inside = _near_search(points, lungs)
        return tuple(
            Candidate(
                centre_lps_mm=(float(x), float(y), float(z)),
                probability=float(score),
                diameter_mm=float(np.cbrt(np.prod(size))),
            )
            for (x, y, z), score, size in zip(
                points[inside], scores[inside], sizes_mm[inside], strict=True
            )
        )

    def _find(self, image: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Boxes of this image, by the spare where the device's memory does not suffice."""
        for backend in (self._backend, self._backend.spare):
            if backend is None:
                break
            self.device, self.engine = backend.device, backend.engine
            try:
                return find_boxes(backend, image, tile=self._tile)
            except OutOfMemory:
                continue
        raise OutOfMemory(self.device, f"tiles of {self._tile}")


def to_ras_grid(volume: Volume, lungs: LungMask) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The box around the lungs as the network wants it.

    Returns
    -------
    ndarray of shape (X, Y, Z), dtype float32
        0 to 1; axes as near to right, front, head as the volume's own axes allow.
    ndarray of shape (4, 4)
        Its voxel centres (x, y, z, 1) to LPS mm.
    """
    # The volume's axis for each of x, y, z, and its sign: as close to RAS as turning by whole
    # right angles gets.
    alignment = RAS_AXES @ volume.direction  # rows x, y, z; columns k, j, i
    axes = _best_axes(np.abs(alignment))
    signs = [1.0 if alignment[row, axis] > 0 else -1.0 for row, axis in enumerate(axes)]
    low, high = _corners(volume, lungs)
    start = np.array([low[a] if s > 0 else high[a] for a, s in zip(axes, signs, strict=True)])
    step = np.array(SPACING_MM) / volume.spacing_mm[axes]
    size = np.floor((high - low)[axes] / step + 1e-6).astype(int) + 1
    # Voxel p of the image lies at voxel `matrix @ p + offset` of the volume.
    matrix, offset = np.zeros((3, 3)), np.zeros(3)
    for row, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        matrix[axis, row] = sign * step[row]
        offset[axis] = start[row]
    hu = ndimage.affine_transform(
        volume.hu,
        matrix,
        offset,
        output_shape=tuple(int(value) for value in size),
        output=np.float32,
        order=1,
        mode="nearest",
    )
    affine = np.eye(4)
    affine[:3, :3] = volume.affine[:3, :3] @ matrix
    affine[:3, 3] = volume.index_to_lps(offset)
    bottom, top = WINDOW_HU
    return np.clip((hu - np.float32(bottom)) / np.float32(top - bottom), 0, 1), affine


def _best_axes(weights: NDArray[np.float64]) -> list[int]:
    """For each of x, y, z the volume's axis that lies nearest, each used once."""
    free, axes = {0, 1, 2}, [0, 0, 0]
    for row in np.argsort(-weights.max(axis=1), kind="stable"):
        axis = max(free, key=lambda item: weights[row, item])
        axes[int(row)] = axis
        free.remove(axis)
    return axes


def _corners(volume: Volume, lungs: LungMask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First and last voxel of the volume around the search region, k, j, i."""
    inside = np.argwhere(lungs.search)
    grid = Volume(hu=np.zeros(lungs.search.shape, dtype=np.int16), affine=lungs.affine)
    ends = volume.lps_to_index(grid.index_to_lps(np.array([inside.min(0), inside.max(0)])))
    margin = MARGIN_MM / volume.spacing_mm
    low = np.maximum(np.floor(ends.min(axis=0) - margin), 0)
    return low, np.minimum(np.ceil(ends.max(axis=0) + margin), np.array(volume.shape) - 1)


def find_boxes(
    backend: Backend, image: NDArray[np.float32], *, tile: tuple[int, int, int] = TILE
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes in an image of shape (X, Y, Z), best first: shape (N, 6) in voxels, and scores (N,)."""
    found, rated = [np.zeros((0, 6))], [np.zeros(0)]
    starts = [_starts(size, side) for size, side in zip(image.shape, tile, strict=True)]
    for start in product(*starts):
        boxes, scores = _run_tile(backend, image, start, tile)
        middles = (boxes[:, :3] + boxes[:, 3:]) / 2
        own = np.ones(len(boxes), dtype=bool)
        for axis, (first, every) in enumerate(zip(start, starts, strict=True)):
            low, high = _own_part(first, every, tile[axis])
            own &= (middles[:, axis] >= low) & (middles[:, axis] < high)
        found.append(boxes[own])
        rated.append(scores[own])
    boxes, scores = np.concatenate(found), np.concatenate(rated)
    kept = suppress(boxes, scores, overlap_at_most=OVERLAP_AT_MOST, boxes_at_most=BOXES_AT_MOST)
    return boxes[kept], scores[kept]


def _starts(size: int, side: int) -> list[int]:
    """Where tiles begin along an axis; the last one ends at or beyond the end of the image."""
    if size <= side:
        return [0]
    count = int(np.ceil((size - side) / (side * (1 - TILE_OVERLAP)))) + 1
    return [int(value) for value in np.rint(np.linspace(0, size - side, count))]


def _own_part(start: int, starts: list[int], side: int) -> tuple[float, float]:
    """The part of an axis that belongs to one tile: up to the middle of each overlap."""
    at = starts.index(start)
    low = -np.inf if at == 0 else (start + starts[at - 1] + side) / 2
    high = np.inf if at == len(starts) - 1 else (starts[at + 1] + start + side) / 2
    return low, high


def _run_tile(
    backend: Backend,
    image: NDArray[np.float32],
    start: tuple[int, ...],
    tile: tuple[int, int, int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes of one tile in voxels of the image, and their scores."""
    part = image[tuple(slice(a, a + n) for a, n in zip(start, tile, strict=True))]
    # Air up to a size that the network's strides divide, as MONAI pads.
    missing = [-size % step for size, step in zip(part.shape, SIZE_DIVISIBLE, strict=True)]
    padded = np.pad(part, [(0, more) for more in missing])
    answer = backend.run(np.ascontiguousarray(padded[None, None]))[0].astype(np.float64)
    grids = [
        [size // step for size, step in zip(padded.shape, strides, strict=True)]
        for strides in STRIDES
    ]
    levels = make_anchors(padded.shape, grids)
    found, rated, first = [], [], 0
    for anchors in levels:
        rows = answer[first : first + len(anchors)]
        first += len(anchors)
        scores = 1.0 / (1.0 + np.exp(-rows[:, 0]))
        best = np.flatnonzero(scores > SCORE_AT_LEAST)
        best = best[np.argsort(-scores[best], kind="stable")[:PER_LEVEL_AT_MOST]]
        boxes, some = clip_boxes(decode_boxes(rows[best, 1:], anchors[best]), part.shape)
        found.append(boxes[some] + np.tile(start, 2))
        rated.append(scores[best][some])
    return np.concatenate(found), np.concatenate(rated)


def _near_search(points: NDArray[np.float64], lungs: LungMask) -> NDArray[np.bool_]:
    """Which points lie in the search region or near it."""
    grid = Volume(hu=np.zeros(lungs.search.shape, dtype=np.int16), affine=lungs.affine)
    distance_mm = ndimage.distance_transform_edt(~lungs.search, sampling=grid.spacing_mm)
    index = np.rint(grid.lps_to_index(points.reshape(-1, 3))).astype(int)
    within = ((index >= 0) & (index < lungs.search.shape)).all(axis=1)
    k, j, i = np.clip(index, 0, np.array(lungs.search.shape) - 1).T
    return np.asarray(within & (distance_mm[k, j, i] <= TOLERANCE_MM))
