"""The lungs on a coarse grid, and the region in which nodules are looked for.

Deliberately absent: lobes (they need fissures, and a method that earns them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.errors import NotAnalysable
from inference.plausibility import check_hu
from inference.resample import shrink
from inference.thresholds import LUNG_AT_MOST_HU, LUNG_MEDIAN_HU, LUNGS_AT_LEAST_ML
from inference.volume import Volume

GRID_MM = 2.5
PIECE_AT_LEAST_ML = 60.0
"""Smaller pockets of gas are stomach, colon or the trachea's own."""
SEPARATION_STEPS = 5
SEARCH_CLOSING_MM = 14.0
"""Nodules up to about twice this that touch the pleura come back into the search region."""
TRACHEA_AT_MOST_HU = -920.0
TRACHEA_AREA_MM2 = (60.0, 700.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LungMask:
    """The lungs of a volume, on a coarser grid of the same axes.

    Attributes
    ----------
    lungs : ndarray of shape (D, H, W), dtype uint8
        0 outside, 1 right, 2 left, 3 where the sides could not be told apart.
    search : ndarray of shape (D, H, W), dtype bool
        The lungs closed over vessels and over nodules at the pleura.
    affine : ndarray of shape (4, 4)
        Voxel centres (k, j, i, 1) to LPS mm.
    coverage : {"full", "partial"}
        Partial when a lung reaches the first or the last slice.
    """

    lungs: NDArray[np.uint8]
    search: NDArray[np.bool_]
    affine: NDArray[np.float64]
    right_ml: float | None
    left_ml: float | None
    total_ml: float
    coverage: Literal["full", "partial"]

    def side_at(self, point_lps_mm: NDArray[np.float64]) -> Literal["left", "right"] | None:
        """The lung whose voxel is nearest to a point, or `None` where sides are unknown."""
        if self.right_ml is None:
            return None
        grid = Volume(hu=np.zeros(self.lungs.shape, dtype=np.int16), affine=self.affine)
        index = grid.lps_to_index(point_lps_mm)
        voxels = np.argwhere(self.lungs > 0)
        distance = (((voxels - index) * grid.spacing_mm) ** 2).sum(axis=1)
        label = int(self.lungs[tuple(voxels[int(distance.argmin())])])
        return "right" if label == 1 else "left" if label == 2 else None


def segment_lungs(volume: Volume) -> LungMask:
    """Find the lungs.

    Air inside the body that is large enough and as dense as lungs; told apart into right and
    left by erosion where they touch; closed for the search.

    Raises
    ------
    NotAnalysable
        With code ``no_lungs`` when there is no such air, and what was found instead; with
        ``implausible_hu`` when the values cannot be HU.
    """
    check_hu(volume.hu)
    coarse = shrink(volume, spacing_mm=GRID_MM)
    air = _air_inside_body(coarse)
    lungs = _plausible_pieces(coarse, air)
    lungs = _without_trachea(coarse, lungs)
    labels = _left_and_right(coarse, lungs)
    ml = coarse.voxel_volume_mm3 / 1000.0
    right_ml, left_ml = (float((labels == label).sum() * ml) for label in (1, 2))
    told_apart = right_ml > 0 and left_ml > 0
    first_area, last_area = (int((labels[k] > 0).sum()) for k in (0, -1))
    mm2 = float(np.prod(coarse.spacing_mm[1:]))
    return LungMask(
        lungs=labels,
        search=_search_region(coarse, labels > 0),
        affine=coarse.affine,
        right_ml=right_ml if told_apart else None,
        left_ml=left_ml if told_apart else None,
        total_ml=float((labels > 0).sum() * ml),
        coverage="partial" if max(first_area, last_area) * mm2 > 400.0 else "full",
    )


def _air_inside_body(coarse: Volume) -> NDArray[np.bool_]:
    """Air that, slice by slice, is enclosed by the body."""
    air = coarse.hu < LUNG_AT_MOST_HU
    # Thin sheets that touch the skin (table, blanket) enclose air that is not the body's.
    thick = ndimage.binary_opening(~air, structure=np.ones((1, 3, 3), dtype=bool))
    body, count = ndimage.label(thick)
    if count == 0:
        raise NotAnalysable("no_lungs", "no lungs: there is nothing but air in the volume")
    largest = int(np.bincount(body.ravel())[1:].argmax()) + 1
    trunk = body == largest
    filled = np.zeros_like(trunk)
    for k, plane in enumerate(trunk):
        closed = ndimage.binary_closing(plane, iterations=2)
        filled[k] = ndimage.binary_fill_holes(closed | plane)
    return np.asarray(air & filled)


def _plausible_pieces(coarse: Volume, air: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pieces of air that are as large and as dense as lungs."""
    ml = coarse.voxel_volume_mm3 / 1000.0
    pieces, count = ndimage.label(air)
    kept = np.zeros_like(air)
    seen = []
    sizes = np.bincount(pieces.ravel(), minlength=count + 1) * ml
    for label in np.argsort(sizes[1:])[::-1][:12] + 1:
        if sizes[label] < PIECE_AT_LEAST_ML:
            break
        piece = pieces == label
        median = float(np.median(coarse.hu[piece]))
        seen.append(f"{sizes[label]:.0f} ml at {median:.0f} HU")
        if LUNG_MEDIAN_HU[0] <= median <= LUNG_MEDIAN_HU[1]:
            kept |= piece
    total_ml = float(kept.sum() * ml)
    if total_ml < LUNGS_AT_LEAST_ML:
        found = ", ".join(seen) or "no air space inside the body"
        raise NotAnalysable(
            "no_lungs",
            f"no lungs: {total_ml:.0f} ml of lung-like air, at least {LUNGS_AT_LEAST_ML:.0f} ml "
            f"wanted (found: {found})",
        )
    return kept


def _without_trachea(coarse: Volume, lungs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Take out round, nearly pure air in single slices: trachea and main bronchi."""
    mm2 = float(np.prod(coarse.spacing_mm[1:]))
    pure = lungs & (coarse.hu < TRACHEA_AT_MOST_HU)
    airway = np.zeros_like(lungs)
    middle = np.argwhere(lungs)[:, 2].mean()
    reach = 40.0 / coarse.spacing_mm[2]
    for k, plane in enumerate(pure):
        pieces, _ = ndimage.label(plane)
        for label, where in enumerate(ndimage.find_objects(pieces), start=1):
            piece = pieces[where] == label
            area = piece.sum() * mm2
            centre = where[1].start + piece.shape[1] / 2
            box = piece.shape[0] * piece.shape[1]
            near_middle = abs(centre - middle) < reach
            if TRACHEA_AREA_MM2[0] < area < TRACHEA_AREA_MM2[1] and near_middle:
                airway[k][where] |= piece & (piece.sum() > 0.5 * box)
    wall = ndimage.binary_dilation(airway, iterations=1)
    rest = lungs & ~wall
    pieces, count = ndimage.label(rest)
    if count == 0:
        return lungs
    sizes = np.bincount(pieces.ravel()) * coarse.voxel_volume_mm3 / 1000.0
    sizes[0] = 0
    return np.asarray(np.isin(pieces, np.flatnonzero(sizes >= 10.0)))


def _left_and_right(coarse: Volume, lungs: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Label the sides; LPS x grows to the patient's left."""
    core = lungs
    for _ in range(SEPARATION_STEPS):
        pieces, count = ndimage.label(core)
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)
        sizes[0] = 0
        order = np.argsort(sizes)[::-1]
        if count >= 2 and sizes[order[1]] > 0.15 * sizes[order[0]]:
            return _spread(coarse, lungs, pieces, order[:2])
        core = ndimage.binary_erosion(core)
    return np.where(lungs, np.uint8(3), np.uint8(0))


def _spread(
    coarse: Volume, lungs: NDArray[np.bool_], pieces: NDArray[np.int32], two: NDArray[np.int_]
) -> NDArray[np.uint8]:
    """Give each lung voxel the side of the nearer core."""
    x = [float(coarse.index_to_lps(np.argwhere(pieces == label).mean(axis=0))[0]) for label in two]
    right = int(two[int(np.argmin(x))])
    distances = [
        ndimage.distance_transform_edt(pieces != label, sampling=coarse.spacing_mm)
        for label in (right, int(two.sum()) - right)
    ]
    side = np.where(distances[0] <= distances[1], np.uint8(1), np.uint8(2))
    return np.where(lungs, side, np.uint8(0))


def _search_region(coarse: Volume, lungs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Close the lungs over what lies in them or dents them, by distances in mm."""
    pad = np.ceil(SEARCH_CLOSING_MM / coarse.spacing_mm).astype(int) + 1
    padded = np.pad(lungs, [(int(size), int(size)) for size in pad])
    near = ndimage.distance_transform_edt(~padded, sampling=coarse.spacing_mm) <= SEARCH_CLOSING_MM
    closed = ndimage.distance_transform_edt(near, sampling=coarse.spacing_mm) > SEARCH_CLOSING_MM
    inner = tuple(slice(int(size), -int(size)) for size in pad)
    return np.asarray(closed[inner] | lungs)
