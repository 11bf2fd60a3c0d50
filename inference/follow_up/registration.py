"""Where a place in the lungs lay at an earlier examination.

Shifts first (among them by masked correlation of the lungs, so that a part of the chest finds
its place in a whole one), then rotation, then an affine map, then a smooth deformation for
another breath. All
of it on a coarse grid: places are found to a few millimetres, which tells nodules apart. Nothing
is measured in the deformed images.

Deliberately absent: a proof that both are one patient. The lungs of two people can be laid over
each other nearly as well; identity is asked of the headers.

References
----------
Padfield, IEEE Trans Image Process 2012;21:2706 (masked correlation). Murphy et al., IEEE TMI
2011;30:1901 (EMPIRE10: lungs at different breath).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from inference.follow_up.bending import bend
from inference.follow_up.lung_grid import LungGrid, make_lung_grid
from inference.follow_up.straight import lay_over
from inference.lungs import LungMask
from inference.volume import Volume

GRID_MM = 4.0
COARSE_STEP = 2
"""Grid voxels per voxel of the search for the shift."""
AROUND_MM = 12.0
"""Of the chest wall is compared beside the lungs."""
COMMON_VOXELS_AT_LEAST = (0.3, 0.7)
"""Share of the larger grid that both must have in common at a shift."""
ALIKE_MM = 10.0
"""Shifts nearer to each other than this lead to the same place."""
OVERLAP_AT_LEAST = 0.8
"""Dice coefficient of the lungs below which nothing is matched (docs/follow_up.md)."""
COMMON_AT_LEAST = 0.05
"""Share of the current lungs that the earlier CT must cover."""
BACK_ITERATIONS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A map from the current examination to an earlier one.

    Attributes
    ----------
    affine : ndarray of shape (4, 4)
        LPS mm now -> LPS mm then, as far as straight lines stay straight.
    shift_mm : ndarray of shape (D, H, W, 3)
        What is added (L, P, S) at the voxel centres of `grid`.
    grid, prior_grid : LungGrid
        Of the current and of the earlier examination.
    overlap : float
        Dice coefficient of the lungs where both examinations see, 0 to 1.
    common : float
        Share of the current lungs that the earlier examination covers, 0 to 1.
    likeness : float
        Correlation of the densities inside both lungs, -1 to 1.
    """

    affine: NDArray[np.float64]
    shift_mm: NDArray[np.float32]
    grid: LungGrid
    prior_grid: LungGrid
    overlap: float = 0.0
    common: float = 0.0
    likeness: float = 0.0

    @property
    def why_not(self) -> str | None:
        """Why no place can be believed, or `None`."""
        if self.common < COMMON_AT_LEAST:
            return (
                f"both CTs have {100 * self.common:.0f} % of the lungs in common, "
                f"at least {100 * COMMON_AT_LEAST:.0f} % wanted"
            )
        if self.overlap < OVERLAP_AT_LEAST:
            return (
                f"the lungs of both CTs could not be laid over each other: overlap "
                f"{self.overlap:.2f}, at least {OVERLAP_AT_LEAST:.2f} wanted"
            )
        return None

    def to_prior(self, points_lps_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where points, shape (N, 3), LPS mm, lay then."""
        points = np.asarray(points_lps_mm, dtype=np.float64).reshape(-1, 3)
        index = self.grid.to_index(points).T
        shift = np.stack(
            [
                ndimage.map_coordinates(self.shift_mm[..., axis], index, order=1, mode="nearest")
                for axis in range(3)
            ],
            axis=-1,
        )
        return np.asarray(points @ self.affine[:3, :3].T + self.affine[:3, 3] + shift)

    def to_current(self, points_lps_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where points of the earlier examination, shape (N, 3), LPS mm, lie now."""
        wanted = np.asarray(points_lps_mm, dtype=np.float64).reshape(-1, 3)
        back = np.linalg.inv(self.affine[:3, :3])
        points = (wanted - self.affine[:3, 3]) @ back.T
        for _ in range(BACK_ITERATIONS):
            points = points + (wanted - self.to_prior(points)) @ back.T
        return np.asarray(points)


def register(
    current: Volume, current_lungs: LungMask, prior: Volume, prior_lungs: LungMask
) -> Registration:
    """Lay the current lungs over those of an earlier examination.

    Parameters
    ----------
    current, prior : Volume
        Both CTs, in any grid and any frame of reference.
    current_lungs, prior_lungs : LungMask
        Of these CTs.
    """
    fixed = make_lung_grid(current, current_lungs, spacing_mm=GRID_MM)
    moving = make_lung_grid(prior, prior_lungs, spacing_mm=GRID_MM)
    around = ndimage.distance_transform_edt(~fixed.lungs, sampling=GRID_MM) <= AROUND_MM
    affine = lay_over(fixed, moving, around, _find_shifts(fixed, moving))
    return _with_quality(
        Registration(
            affine=affine,
            shift_mm=bend(fixed, moving, around, affine),
            grid=fixed,
            prior_grid=moving,
        )
    )


def _find_shifts(fixed: LungGrid, moving: LungGrid) -> list[NDArray[np.float64]]:
    """Shifts, current -> prior, LPS mm, from which one may get to the right place.

    Middle on middle, apex on apex, base on base; and where the lungs fall over each other best
    when most or only a part of the grids must meet.
    """
    now, then = (grid.points(grid.lungs) for grid in (fixed, moving))
    middle = then.mean(axis=0) - now.mean(axis=0)
    ends = [np.percentile(then[:, 2], end) - np.percentile(now[:, 2], end) for end in (1, 99)]
    shifts = [middle, *(np.array([middle[0], middle[1], end]) for end in ends)]
    every = (slice(None, None, COARSE_STEP),) * 3
    for common in COMMON_VOXELS_AT_LEAST:
        shift, *_ = phase_cross_correlation(
            fixed.lungs[every].astype(np.float32),
            moving.lungs[every].astype(np.float32),
            reference_mask=fixed.seen[every],
            moving_mask=moving.seen[every],
            overlap_ratio=common,
        )
        offset_mm = np.asarray(shift)[::-1] * COARSE_STEP * GRID_MM
        shifts.append(np.asarray(moving.origin_lps_mm - fixed.origin_lps_mm - offset_mm))
    unlike: list[NDArray[np.float64]] = []
    for shift in shifts:
        if all(np.linalg.norm(shift - other) > ALIKE_MM for other in unlike):
            unlike.append(shift)
    return unlike


def _with_quality(found: Registration) -> Registration:
    """The registration with its figures, on the current grid."""
    fixed, moving = found.grid, found.prior_grid
    places = fixed.points(np.ones(fixed.lungs.shape, dtype=bool))
    index = moving.to_index(found.to_prior(places)).T

    def then(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.asarray(ndimage.map_coordinates(mask.astype(np.uint8), index, order=0) > 0)

    seen = then(moving.seen) & fixed.seen.ravel()
    now, before = fixed.lungs.ravel() & seen, then(moving.lungs) & seen
    both = now & before
    likeness = 0.0
    if both.any():
        hu = ndimage.map_coordinates(moving.hu, index[:, both], order=1)
        pair = np.corrcoef(fixed.hu.ravel()[both], hu)
        likeness = float(np.nan_to_num(pair[0, 1]))
    return replace(
        found,
        overlap=float(2 * both.sum() / max(1, now.sum() + before.sum())),
        common=float(now.sum() / max(1, fixed.lungs.sum())),
        likeness=likeness,
    )
