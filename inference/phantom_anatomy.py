"""The phantom's anatomy as formulas of the place, and how a slice of it is drawn.

Coordinates are LPS mm from the middle of the chest. Borders are drawn with a width of about
a millimetre, which stands for the partial volume of voxels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

AIR_HU, FAT_HU, MUSCLE_HU, BLOOD_HU, BONE_HU, LUNG_HU = -1000.0, -95.0, 45.0, 45.0, 450.0, -860.0
GRAVITY_HU_PER_MM = 0.35
"""Lungs are denser towards the back (dependent density)."""
TEXTURE_HU = 14.0
BODY_MM = (168.0, 118.0)
WALL_MM = (150.0, 101.0)
LUNG_CENTRE_X_MM = 74.0
LUNG_MM = (58.0, 86.0, 118.0)
HEART_CENTRE_MM, HEART_MM = (24.0, -32.0, -52.0), (58.0, 48.0, 58.0)
TRACHEA_MM, CARINA_Z_MM = 8.0, 25.0
RIB_PERIOD_MM, RIB_WIDTH_MM = 27.0, 9.0
EDGE_MM = 0.6
VESSEL_GAP_MM = 2.5
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sphere:
    """A ball of one density."""

    centre: tuple[float, float, float]
    radius_mm: float
    hu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tube:
    """A piece of vessel, thinner towards its end."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """What differs from phantom to phantom."""

    tubes: tuple[Tube, ...]
    spheres: tuple[Sphere, ...]


def lung_depth_mm(x: Any, y: Any, z: Any) -> Any:
    """About how deep a point lies inside a lung, mm; negative outside. Broadcasts."""
    a, b, c = LUNG_MM
    along = (np.asarray(z) / c) ** 4
    side = np.sqrt(((np.abs(x) - LUNG_CENTRE_X_MM) / a) ** 2 + (np.asarray(y) / b) ** 2 + along)
    lung = (1 - side) * a
    hx, hy, hz = HEART_CENTRE_MM
    rx, ry, rz = HEART_MM
    heart = np.sqrt(((x - hx) / rx) ** 2 + ((y - hy) / ry) ** 2 + ((z - hz) / rz) ** 2)
    return np.minimum(lung, (heart - 1) * ry)


def grow_vessels(random: np.random.Generator) -> list[Tube]:
    """Branching vessels from both hila, kept inside the lungs."""
    tubes: list[Tube] = []
    taken: list[Array] = []
    for side in (-1.0, 1.0):
        hilum = np.array([side * 12.0, 5.0, 5.0])  # in the mediastinum: trunks enter apart
        for _ in range(9):
            heading = np.array([side, random.normal(0, 0.9), random.normal(0, 1.2)])
            _branch(hilum, heading, 3.6, 0, tubes, taken, random)
    return tubes


def _branch(
    start: Array,
    heading: Array,
    radius_mm: float,
    level: int,
    tubes: list[Tube],
    taken: list[Array],
    random: np.random.Generator,
) -> None:
    if radius_mm < 0.35 or level > 9:
        return
    heading = heading / np.linalg.norm(heading)
    end = start + heading * (9.0 + 4.5 * radius_mm) * random.uniform(0.7, 1.2)
    if float(lung_depth_mm(*end)) < 4.0 and level > 0:
        return
    outer = start + (end - start) * np.array([[0.6], [0.8], [1.0]])
    if taken and float(cdist(outer, np.concatenate(taken)).min()) < VESSEL_GAP_MM + radius_mm:
        return  # vessels of one lung do not run through each other
    taken.append(start + (end - start) * np.array([[0.3], [0.5], [0.75], [1.0]]))
    tubes.append(
        Tube(
            start=(float(start[0]), float(start[1]), float(start[2])),
            end=(float(end[0]), float(end[1]), float(end[2])),
            radius_mm=radius_mm,
        )
    )
    for share in (0.86, 0.68):
        turned = heading + random.normal(0, 0.36, 3)
        _branch(end, turned, radius_mm * share, level + 1, tubes, taken, random)


def _inside(depth_mm: Any) -> Any:
    """1 inside, 0 outside, smooth over the border; depth in mm."""
    return 1.0 / (1.0 + np.exp(np.clip(-np.asarray(depth_mm) / (EDGE_MM / 2), -30, 30)))


def _mix(hu: Array, share: Any, density: Any) -> None:
    hu += share * (density - hu)


def _ellipse_depth_mm(x: Array, y: Array, radii: tuple[float, float]) -> Array:
    return np.asarray((1 - np.sqrt((x / radii[0]) ** 2 + (y / radii[1]) ** 2)) * min(radii))


def render_slice(
    anatomy: Anatomy,
    affine: NDArray[np.float64],
    k: int,
    shape: tuple[int, int],
    texture: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Draw slice `k` of a grid.

    Parameters
    ----------
    anatomy : Anatomy
        Vessels and nodules.
    affine : ndarray of shape (4, 4)
        Voxel centres (k, j, i, 1) to LPS mm.
    k : int
        Slice index.
    shape : (int, int)
        Rows and columns.
    texture : ndarray of shape (H, W)
        Variation of the parenchyma, standard deviation 1.

    Returns
    -------
    ndarray of shape (H, W)
        HU.
    """
    j, i = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij", sparse=True)
    x, y, z = (
        affine[row, 0] * k + affine[row, 1] * j + affine[row, 2] * i + affine[row, 3]
        for row in range(3)
    )
    x, y, z = np.broadcast_arrays(x, y, z)
    hu = np.full(shape, AIR_HU)
    _draw_body(hu, x, y, z)
    lung = _inside(lung_depth_mm(x, y, z))
    _mix(hu, lung, LUNG_HU + GRAVITY_HU_PER_MM * y + TEXTURE_HU * texture)
    _draw_trachea(hu, x, y, z)
    for tube in _near_plane(anatomy.tubes, affine, k):
        _draw_tube(hu, tube, affine, k, shape)
    for sphere in anatomy.spheres:
        _draw_sphere(hu, sphere, affine, k, shape)
    return hu


def _near_plane(tubes: tuple[Tube, ...], affine: NDArray[np.float64], k: int) -> Iterator[Tube]:
    """The tubes that slice `k` may cut."""
    if not tubes:
        return
    to_slice = np.linalg.inv(affine)[0]
    ends = np.array([(tube.start, tube.end) for tube in tubes]) @ to_slice[:3] + to_slice[3]
    margin = 6.0 * np.linalg.norm(to_slice[:3])
    near = (ends.min(axis=1) - margin <= k) & (ends.max(axis=1) + margin >= k)
    for index in np.flatnonzero(near):
        yield tubes[int(index)]


def _draw_body(hu: Array, x: Array, y: Array, z: Array) -> None:
    _mix(hu, _inside(_ellipse_depth_mm(x, y, BODY_MM)), FAT_HU)
    wall = _ellipse_depth_mm(x, y, WALL_MM)
    _mix(hu, _inside(wall), MUSCLE_HU)
    # Ribs: a shell of the chest wall, cut into sloping bands.
    shell = _inside(3.5 - np.abs(wall - 7.0))
    band = (z + 0.35 * np.abs(x) - 0.25 * y) % RIB_PERIOD_MM
    ribs = shell * _inside(RIB_WIDTH_MM / 2 - np.abs(band - RIB_PERIOD_MM / 2))
    _mix(hu, ribs, BONE_HU)
    spine = 19.0 - np.sqrt((x / 1.15) ** 2 + (y - 78.0) ** 2)
    _mix(hu, _inside(spine), 220.0)
    _mix(hu, _inside(spine) * _inside(3.0 - np.abs(spine - 1.5)), BONE_HU)
    sternum = 8.0 - np.maximum(np.abs(x) / 2.2, np.abs(y + 92.0))
    _mix(hu, _inside(sternum), 250.0)


def _draw_trachea(hu: Array, x: Array, y: Array, z: Array) -> None:
    distance = np.sqrt(x**2 + (y - 12.0) ** 2)
    tube = np.minimum(TRACHEA_MM - distance, z - CARINA_Z_MM)
    _mix(hu, _inside(tube), AIR_HU)


def _window(
    low: Array, high: Array, affine: NDArray[np.float64], k: int, shape: tuple[int, int]
) -> tuple[slice, slice, Array, Array, Array] | None:
    """The part of slice `k` that holds the box low..high (LPS mm), with its coordinates."""
    inverse = np.linalg.inv(affine)
    corners = np.array(
        [[(low, high)[b][axis] for axis, b in enumerate(bits)] for bits in np.ndindex(2, 2, 2)]
    )
    index = corners @ inverse[:3, :3].T + inverse[:3, 3]
    if not index[:, 0].min() - 1 <= k <= index[:, 0].max() + 1:
        return None
    start = np.maximum(np.floor(index.min(axis=0)[1:]), 0).astype(int)
    stop = np.minimum(np.ceil(index.max(axis=0)[1:]) + 1, shape).astype(int)
    if (stop <= start).any():
        return None
    j, i = np.meshgrid(
        np.arange(start[0], stop[0]), np.arange(start[1], stop[1]), indexing="ij", sparse=True
    )
    x, y, z = (
        affine[row, 0] * k + affine[row, 1] * j + affine[row, 2] * i + affine[row, 3]
        for row in range(3)
    )
    return slice(start[0], stop[0]), slice(start[1], stop[1]), x, y, z


def _draw_tube(
    hu: Array, tube: Tube, affine: NDArray[np.float64], k: int, shape: tuple[int, int]
) -> None:
    start, end = np.array(tube.start), np.array(tube.end)
    margin = tube.radius_mm + 2.0
    window = _window(
        np.minimum(start, end) - margin, np.maximum(start, end) + margin, affine, k, shape
    )
    if window is None:
        return
    rows, columns, x, y, z = window
    along = end - start
    share = np.clip(
        ((x - start[0]) * along[0] + (y - start[1]) * along[1] + (z - start[2]) * along[2])
        / float(along @ along),
        0,
        1,
    )
    distance = np.sqrt(
        (x - start[0] - share * along[0]) ** 2
        + (y - start[1] - share * along[1]) ** 2
        + (z - start[2] - share * along[2]) ** 2
    )
    part = hu[rows, columns]
    _mix(part, _inside(tube.radius_mm * (1 - 0.15 * share) - distance), BLOOD_HU)


def _draw_sphere(
    hu: Array, sphere: Sphere, affine: NDArray[np.float64], k: int, shape: tuple[int, int]
) -> None:
    centre = np.array(sphere.centre)
    margin = sphere.radius_mm + 2.0
    window = _window(centre - margin, centre + margin, affine, k, shape)
    if window is None:
        return
    rows, columns, x, y, z = window
    distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    part = hu[rows, columns]
    share = _inside(sphere.radius_mm - distance)
    _mix(part, share, np.maximum(sphere.hu, np.where(sphere.hu < -300, part, sphere.hu)))
