"""Where a nodule lies in the other CT, to a millimetre or two.

The registration of whole lungs is right to a few millimetres. The nodule and the lung around it
are then searched for near the place that it gives, by correlation of the densities: the map is
moved as a whole, for this nodule only. What has no like there is not believed.

Only nodule and lung count: the chest wall slides along the lung with each breath.

References
----------
Murphy et al., IEEE Trans Med Imaging 2011;30:1901 (EMPIRE10: what lungs at different breath
leave over after registration).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.findings import VoiMask
from inference.follow_up.lung_grid import WINDOW_HU
from inference.lungs import LungMask
from inference.volume import Volume

AROUND_MM = 12.0
"""Of lung around the nodule's outline that is compared with it."""
WALL_MM = 3.0
"""Around the outline, lung or not: the edge of a nodule at the pleura."""
STEP_MM = 2.0
REACH_STEPS = 7
REACH_MM = REACH_STEPS * STEP_MM
"""The search goes 14 mm each way, which is more than the registration is off (docs/pet.md)."""
BLUR_MM = 1.5
"""Standard deviation; noise of a low dose, and slices of 3 to 5 mm, look alike after it."""
EXPECTED_MM, LIKELY = 4.0, 0.01
"""Error of the registration that is expected, and what so much of it must gain in correlation:
along a smooth pleura or a vessel all places look alike."""

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalMatch:
    """What was found near a place.

    Attributes
    ----------
    shift_mm : ndarray of shape (3,)
        Added to places of the current CT before the registration is applied, L, P, S.
    likeness : float
        Correlation of the densities there, -1 to 1.
    at_edge : bool
        The best place lies at the end of the search: there may be a better one beyond it.
    """

    shift_mm: NDArray[np.float64]
    likeness: float
    at_edge: bool


def match_near(
    now: Volume,
    lungs: LungMask,
    voi: VoiMask,
    other: Volume,
    to_other: Callable[[Points], Points],
) -> LocalMatch | None:
    """Search for a nodule with its surroundings in another CT.

    Parameters
    ----------
    now, lungs : Volume, LungMask
        The CT in which it was outlined.
    voi : VoiMask
        Its outline.
    other : Volume
        The other CT.
    to_other : callable
        Points (N, 3) of the current CT to the other one's, LPS mm.

    Returns
    -------
    LocalMatch or None
        `None` where the other CT does not cover the nodule.
    """
    middle = now.index_to_lps(np.array(voi.origin_kji) + (np.array(voi.mask.shape) - 1) / 2)
    if not _covers(other, to_other(middle[None])):
        return None
    axes = _axes(now, voi)
    places = _grid(axes)
    wide = [
        np.concatenate(
            [axis[0] + STEP_MM * np.arange(-REACH_STEPS, 0), axis,
             axis[-1] + STEP_MM * np.arange(1, REACH_STEPS + 1)]
        )
        for axis in axes
    ]  # fmt: skip
    there = _grid(wide)
    scores = _correlations(
        _sampled(now, places),
        _weights(now, lungs, voi, places),
        _sampled(other, to_other(there.reshape(-1, 3)).reshape(there.shape)),
    )
    likely = scores - LIKELY * _squared_mm() / EXPECTED_MM**2
    best = tuple(int(n) for n in np.unravel_index(int(likely.argmax()), scores.shape))
    steps = np.array([_vertex(likely, best, axis) for axis in range(3)]) - REACH_STEPS
    shift_mm = steps[::-1] * STEP_MM  # k, j, i -> L, P, S
    if not _covers(other, to_other(middle[None] + shift_mm)):
        return None
    return LocalMatch(
        shift_mm=shift_mm,
        likeness=float(scores[best]),
        at_edge=any(n in (0, 2 * REACH_STEPS) for n in best),
    )


def _covers(volume: Volume, points_lps_mm: Points) -> bool:
    index = volume.lps_to_index(points_lps_mm)
    return bool((index >= 0).all() and (index <= np.array(volume.shape) - 1).all())


def _axes(now: Volume, voi: VoiMask) -> list[NDArray[np.float64]]:
    """Where a grid along S, P and L around the nodule has its points."""
    low = np.array(voi.origin_kji) - 0.5
    corners = _grid([np.array([a, a + n]) for a, n in zip(low, voi.mask.shape, strict=True)])
    lps = now.index_to_lps(corners.reshape(-1, 3)[:, ::-1])
    first, last = lps.min(axis=0) - AROUND_MM, lps.max(axis=0) + AROUND_MM
    return [
        np.arange(a, b + STEP_MM, STEP_MM) for a, b in zip(first[::-1], last[::-1], strict=True)
    ]


def _grid(axes: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Points (D, H, W, 3) of values along three axes, the last one first."""
    return np.stack(np.meshgrid(*axes, indexing="ij")[::-1], axis=-1)


def _weights(
    now: Volume, lungs: LungMask, voi: VoiMask, places: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How much each place counts: the nodule as much as all that lies around it."""
    pad = np.ceil(AROUND_MM / now.spacing_mm).astype(int) + 1
    mask = np.pad(voi.mask, [(int(n), int(n)) for n in pad])
    away_mm = ndimage.distance_transform_edt(~mask, sampling=now.spacing_mm)
    index = now.lps_to_index(places.reshape(-1, 3)) - (np.array(voi.origin_kji) - pad)
    away = ndimage.map_coordinates(
        away_mm.astype(np.float32), index.T, order=1, mode="constant", cval=np.inf
    )
    in_lungs = np.linalg.inv(lungs.affine)
    at = places.reshape(-1, 3) @ in_lungs[:3, :3].T + in_lungs[:3, 3]
    lung = ndimage.map_coordinates(lungs.search.astype(np.uint8), at.T, order=0) > 0
    own, around = away <= WALL_MM, lung & (away > WALL_MM) & (away <= AROUND_MM)
    weights = own / max(1, own.sum()) + around / max(1, around.sum())
    return np.asarray(weights.reshape(places.shape[:-1]))


def _sampled(volume: Volume, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blurred densities at places (D, H, W, 3); those of the edge where there is no image."""
    size = np.array(volume.shape)
    index = np.clip(volume.lps_to_index(places.reshape(-1, 3)), 0, size - 1)
    low, high = np.floor(index.min(axis=0)).astype(int), np.ceil(index.max(axis=0)).astype(int) + 1
    room = np.ceil(3 * BLUR_MM / volume.spacing_mm).astype(int)
    low, high = np.maximum(low - room, 0), np.minimum(high + room, size)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    hu = np.clip(volume.hu[box].astype(np.float32), *WINDOW_HU)
    hu = ndimage.gaussian_filter(hu, BLUR_MM / volume.spacing_mm)
    values = ndimage.map_coordinates(hu, (index - low).T, order=1, mode="nearest")
    return np.asarray(values, dtype=np.float64).reshape(places.shape[:-1])


def _correlations(
    wanted: NDArray[np.float64], weights: NDArray[np.float64], found: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted correlation at each shift, shape (n, n, n) for n = 2 `REACH_STEPS` + 1."""
    n = 2 * REACH_STEPS + 1
    counts = weights > 0
    share = weights[counts] / weights.sum()
    asked = wanted[counts] - share @ wanted[counts]
    asked = share * asked / max(float(np.sqrt(share @ asked**2)), 1e-6)
    scores = np.zeros((n, n, n))
    depth, height, width = wanted.shape
    for k, j, i in itertools.product(range(n), repeat=3):
        there = found[k : k + depth, j : j + height, i : i + width][counts]
        there = there - share @ there
        scores[k, j, i] = float(asked @ there) / max(float(np.sqrt(share @ there**2)), 1e-6)
    return scores


def _squared_mm() -> NDArray[np.float64]:
    """Squared length of each shift, shape as of `_correlations`."""
    steps = np.arange(-REACH_STEPS, REACH_STEPS + 1) * STEP_MM
    return np.asarray(sum(part**2 for part in np.meshgrid(steps, steps, steps, indexing="ij")))


def _vertex(scores: NDArray[np.float64], best: tuple[int, ...], axis: int) -> float:
    """Where along an axis a parabola through the best and its neighbours is highest."""
    line = scores[tuple(slice(None) if n == axis else at for n, at in enumerate(best))]
    at = best[axis]
    if at in (0, len(line) - 1):
        return float(at)
    before, top, after = line[at - 1 : at + 2]
    bend = before - 2 * top + after
    return float(at) if bend >= 0 else float(at + 0.5 * (before - after) / bend)
