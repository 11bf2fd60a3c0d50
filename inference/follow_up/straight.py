"""The rigid, then affine map that lays one chest over another: least squares of densities.

Rigid from each of several shifts, as the lungs of a part of a chest look much like another part;
the best goes on. Levenberg-Marquardt on a few ten thousand voxels around the lungs, first
blurred, then sharper. Places outside the earlier CT count nothing, so that a part of a chest
can be laid over a whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.follow_up.lung_grid import LungGrid

POINTS_AT_MOST = 30_000
RIGID_POINTS_AT_MOST = 6_000
RIGID_BLUR_MM, RIGID_ITERATIONS = 12.0, 30
AFFINE_STEPS = ((8.0, 20), (4.0, 15))
"""Blur (standard deviation, mm) and iterations at most."""
SEEN_AT_LEAST = 0.2
"""Share of the voxels that must stay inside the earlier CT."""
SETTLED_MM = 0.02
DAMPING = (1e-3, 10.0, 1e6)
"""At the start, factor up and down, and where it is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blurred:
    """Both chests at one blur: what is wanted at the points, and the earlier image."""

    offsets: NDArray[np.float64]
    wanted: NDArray[np.float64]
    image: NDArray[np.float32]
    slopes: list[NDArray[np.float32]]
    moving: LungGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class _Laid:
    """A map: matrix (3, 3), place of the centre, share of points seen, mean square (HU2)."""

    linear: NDArray[np.float64]
    moved: NDArray[np.float64]
    inside: float
    cost: float

    @property
    def score(self) -> float:
        """The smaller the better; a map that sees little of the lungs must fit better."""
        return self.cost / math.sqrt(max(self.inside, 1e-6))


def lay_over(
    fixed: LungGrid,
    moving: LungGrid,
    around: NDArray[np.bool_],
    shifts_mm: Sequence[NDArray[np.float64]],
) -> NDArray[np.float64]:
    """The affine map from the current chest to the earlier one.

    Parameters
    ----------
    fixed, moving : LungGrid
        Current and earlier chest.
    around : ndarray of shape (D, H, W), dtype bool
        Voxels of `fixed` that are compared.
    shifts_mm : sequence of ndarray of shape (3,)
        Where to start from, LPS mm.

    Returns
    -------
    ndarray of shape (4, 4)
        LPS mm now -> LPS mm then.
    """
    voxels = np.argwhere(around & fixed.seen)
    centre = (voxels[:, ::-1] * fixed.spacing_mm + fixed.origin_lps_mm).mean(axis=0)
    few = _blur(fixed, moving, voxels, centre, RIGID_BLUR_MM, RIGID_POINTS_AT_MOST)
    tried = [
        _fit(few, np.eye(3), centre + shift, rigid=True, iterations=RIGID_ITERATIONS)
        for shift in shifts_mm
    ]
    best = min(tried, key=lambda item: item.score)
    for blur_mm, iterations in AFFINE_STEPS:
        many = _blur(fixed, moving, voxels, centre, blur_mm, POINTS_AT_MOST)
        best = _fit(many, best.linear, best.moved, rigid=False, iterations=iterations)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = best.linear, best.moved - best.linear @ centre
    return matrix


def _blur(
    fixed: LungGrid,
    moving: LungGrid,
    voxels: NDArray[np.int_],
    centre: NDArray[np.float64],
    blur_mm: float,
    points_at_most: int,
) -> _Blurred:
    sigma = blur_mm / fixed.spacing_mm
    chosen = voxels[:: max(1, len(voxels) // points_at_most)]
    image = ndimage.gaussian_filter(moving.hu, sigma)
    return _Blurred(
        offsets=chosen[:, ::-1] * fixed.spacing_mm + fixed.origin_lps_mm - centre,
        wanted=ndimage.gaussian_filter(fixed.hu, sigma)[tuple(chosen.T)].astype(np.float64),
        image=image,
        slopes=np.gradient(image, moving.spacing_mm)[::-1],  # along L, P, S
        moving=moving,
    )


def _fit(
    pair: _Blurred,
    linear: NDArray[np.float64],
    moved: NDArray[np.float64],
    *,
    rigid: bool,
    iterations: int,
) -> _Laid:
    """The map of least squared difference near another one."""
    damping = DAMPING[0]
    offsets = pair.offsets
    inside, off, cost = _difference(pair, linear, moved)
    for _ in range(iterations):
        if not off.size:
            break
        turned = offsets[inside] @ linear.T
        index = pair.moving.to_index(turned + moved).T
        slope = np.stack(
            [ndimage.map_coordinates(part, index, order=1) for part in pair.slopes], axis=-1
        )
        if rigid:
            jacobian = np.concatenate([np.cross(turned, slope), slope], axis=1)
        else:
            by_entry = slope[:, :, None] * offsets[inside][:, None, :]
            jacobian = np.concatenate([by_entry.reshape(-1, 9), slope], axis=1)
        normal, right = jacobian.T @ jacobian, jacobian.T @ off
        while damping < DAMPING[2]:
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), -right)
            turn = _turn(step[:3]) @ linear if rigid else linear + step[:9].reshape(3, 3)
            tried = _difference(pair, turn, moved + step[-3:])
            if tried[2] < cost:
                damping /= DAMPING[1]
                break
            damping *= DAMPING[1]
        else:
            break
        change_mm = np.abs(offsets @ (turn - linear).T + step[-3:]).max()
        linear, moved, (inside, off, cost) = turn, moved + step[-3:], tried
        if change_mm < SETTLED_MM:
            break
    return _Laid(linear=linear, moved=moved, inside=float(inside.mean()), cost=cost)


def _difference(
    pair: _Blurred, linear: NDArray[np.float64], moved: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64], float]:
    """Which points the earlier CT shows, the differences there (HU), and their mean square."""
    index = pair.moving.to_index(pair.offsets @ linear.T + moved).T
    inside = ndimage.map_coordinates(pair.moving.seen.astype(np.uint8), index, order=0) > 0
    if inside.mean() < SEEN_AT_LEAST:
        return inside, np.zeros(0), np.inf
    values = ndimage.map_coordinates(pair.image, index[:, inside], order=1)
    off = values.astype(np.float64) - pair.wanted[inside]
    return inside, off, float((off**2).mean())


def _turn(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrix of a rotation vector, radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)
