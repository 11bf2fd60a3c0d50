"""The lungs on a coarse grid, what of them holds no air, and the region that is searched.

Air first (`inference.lung_air`), then the sides, then what lies between air and ribs
(`inference.chest_wall`). What is not aerated is searched as well, and named: nodules do not
show in it. Lobes: `inference.lobes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.chest_wall import find_unaerated
from inference.findings import LungSide
from inference.lung_air import (
    BodyAir,
    find_airway,
    find_body_air,
    find_lung_pieces,
    keep_rests,
    without_airway,
)
from inference.lung_coverage import describe_coverage
from inference.lung_sides import LEFT, RIGHT, UNKNOWN, find_sides
from inference.plausibility import check_hu
from inference.reference_hu import measure_air_hu, measure_blood_hu
from inference.resample import shrink
from inference.volume import Volume

GRID_MM = 2.5
SEARCH_CLOSING_MM = 14.0
"""Nodules up to about twice this that touch the pleura come back into the search region."""
CUT_AT_LEAST_MM2 = 400.0
"""Lung in the first or last slice from which the lungs are said to reach beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LungMask:
    """The lungs of a volume, on a coarser grid of the same axes (perhaps turned round).

    Attributes
    ----------
    lungs : ndarray of shape (D, H, W), dtype uint8
        Aerated lung: 0 outside, 1 right, 2 left, 3 where the sides could not be told apart.
    unaerated : ndarray of shape (D, H, W), dtype uint8
        Chest cavity without air where lung should be, by side as above: effusion,
        consolidation, collapse or a mass.
    search : ndarray of shape (D, H, W), dtype bool
        Both, closed over vessels and over nodules at the pleura.
    affine : ndarray of shape (4, 4)
        Voxel centres (k, j, i, 1) to LPS mm.
    coverage : {"full", "partial"}
        Partial when a lung reaches the first or the last slice or the edge of the images.
    sides : tuple of LungSide
        Right and left; empty where they could not be told apart.
    beyond : tuple of str
        Ends of the series that the lungs reach beyond.
    warnings : tuple of str
        What was not covered or holds no air, for reports.
    air_hu, blood_hu : float, optional
        What air and blood measure in this scan; see `inference.reference_hu`.
    """

    lungs: NDArray[np.uint8]
    unaerated: NDArray[np.uint8]
    search: NDArray[np.bool_]
    affine: NDArray[np.float64]
    right_ml: float | None
    left_ml: float | None
    total_ml: float
    unaerated_ml: float
    coverage: Literal["full", "partial"]
    sides: tuple[LungSide, ...] = ()
    beyond: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    air_hu: float | None = None
    blood_hu: float | None = None

    def side_at(self, point_lps_mm: NDArray[np.float64]) -> Literal["left", "right"] | None:
        """The lung, aerated or not, that is nearest to a point; `None` where sides are unknown."""
        if self.right_ml is None:
            return None
        grid = Volume(hu=np.zeros(self.lungs.shape, dtype=np.int16), affine=self.affine)
        index = grid.lps_to_index(point_lps_mm)
        labels = np.maximum(self.lungs, self.unaerated)
        voxels = np.argwhere(labels > 0)
        distance = (((voxels - index) * grid.spacing_mm) ** 2).sum(axis=1)
        label = int(labels[tuple(voxels[int(distance.argmin())])])
        return "right" if label == RIGHT else "left" if label == LEFT else None


def segment_lungs(volume: Volume) -> LungMask:
    """Find the lungs.

    Raises
    ------
    NotAnalysable
        With code ``no_lungs`` when there is no lung-like air, and what was found instead; with
        ``implausible_hu`` when the values cannot be HU.
    """
    check_hu(volume.hu)
    coarse, upright = _upright(shrink(volume, spacing_mm=GRID_MM))
    found = find_body_air(coarse)
    lungs = find_lung_pieces(coarse, found.air)
    airway = find_airway(coarse, found.air, found.middle_ji)
    lungs = without_airway(coarse, lungs, airway)
    unaerated = np.zeros_like(lungs)
    if upright:
        unaerated = find_unaerated(coarse, lungs, found.body, found.middle_ji)
        unaerated &= ~ndimage.binary_dilation(airway, iterations=2)
        lungs = keep_rests(coarse, found.air & ~airway, lungs, unaerated)
        unaerated &= ~lungs
    labels = find_sides(coarse, lungs, found.middle_ji)
    return replace(
        _to_mask(coarse, found, labels, unaerated, upright),
        air_hu=measure_air_hu(coarse, airway),
        blood_hu=measure_blood_hu(coarse, labels) if upright else None,
    )


def _upright(coarse: Volume) -> tuple[Volume, bool]:
    """The grid with its axes running up, back and left as far as turning round can do it.

    Also tells whether that was enough: not for sections that are not roughly axial.
    """
    hu, affine = coarse.hu, coarse.affine.copy()
    main = np.abs(coarse.direction).argmax(axis=0)
    upright = bool((main == (2, 1, 0)).all())
    for axis, row in enumerate(main):
        if affine[row, axis] < 0:
            affine[:3, 3] += affine[:3, axis] * (hu.shape[axis] - 1)
            affine[:3, axis] *= -1
            hu = np.flip(hu, axis)
    return Volume(hu=np.ascontiguousarray(hu), affine=affine), upright


def _to_mask(
    coarse: Volume,
    found: BodyAir,
    labels: NDArray[np.uint8],
    unaerated: NDArray[np.bool_],
    upright: bool,
) -> LungMask:
    lungs = labels > 0
    columns = np.arange(coarse.shape[2])[None, None, :]
    on_left = columns > found.middle_ji[:, 1][:, None, None]
    told_apart = not (labels == UNKNOWN).any()
    side = np.where(on_left, np.uint8(LEFT), np.uint8(RIGHT))
    missing = np.where(unaerated, side if told_apart else np.uint8(UNKNOWN), np.uint8(0))
    mm2 = float(np.prod(coarse.spacing_mm[1:]))
    low, high = (float(lungs[k].sum()) * mm2 > CUT_AT_LEAST_MM2 for k in (0, -1))
    covered = describe_coverage(
        coarse,
        labels,
        missing,
        below=low,
        above=high,
        beside=found.cut,
        upright=upright,
    )
    ml = coarse.voxel_volume_mm3 / 1000.0
    right_ml, left_ml = (float((labels == label).sum() * ml) for label in (RIGHT, LEFT))
    return LungMask(
        lungs=labels,
        unaerated=missing,
        search=_search_region(coarse, lungs | unaerated),
        affine=coarse.affine,
        right_ml=right_ml if told_apart else None,
        left_ml=left_ml if told_apart else None,
        total_ml=float(lungs.sum() * ml),
        unaerated_ml=float(unaerated.sum() * ml),
        coverage="partial" if low or high or found.cut else "full",
        sides=covered.sides,
        beyond=covered.beyond,
        warnings=covered.warnings,
    )


def _search_region(coarse: Volume, lungs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Close the lungs over what lies in them or dents them, by distances in mm."""
    where = ndimage.find_objects(lungs.astype(np.uint8))[0]
    inside = lungs[where]
    pad = np.ceil(SEARCH_CLOSING_MM / coarse.spacing_mm).astype(int) + 1
    # Along the body the first and last slices go on: what they cut through stays closed.
    ends = [(int(size), int(size)) for size in pad]
    padded = np.pad(np.pad(inside, [ends[0], (0, 0), (0, 0)], mode="edge"), [(0, 0), *ends[1:]])
    near = ndimage.distance_transform_edt(~padded, sampling=coarse.spacing_mm) <= SEARCH_CLOSING_MM
    closed = ndimage.distance_transform_edt(near, sampling=coarse.spacing_mm) > SEARCH_CLOSING_MM
    search = lungs.copy()
    search[where] |= closed[tuple(slice(int(size), -int(size)) for size in pad)]
    return np.asarray(search)
