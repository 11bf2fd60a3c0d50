"""Lung without air: what lies between the ribs and the aerated lung.

The chest is unrolled around the body's axis. For every direction and height the map holds how
far out air reaches and where the ribs begin. In health the two lie a few millimetres apart all
around, down to the diaphragm. A wide gap is effusion, consolidation, collapse or a mass; so is
tissue that aerated lung encloses.

How far down a gap belongs to the chest is not visible where nothing is aerated. It is taken
from what is: the same side reaches at the back at least as low as at the front, and the two
sides reach about as low as each other. What neither rule covers is not claimed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.volume import Volume

Mask = NDArray[np.bool_]
Map = NDArray[np.float64]

ANGLES = 144
ANGLE_STEP_DEG = 360.0 / ANGLES
RADIUS_STEP_MM = 2.5
RADII = 88
BONE_AT_LEAST_HU = 170.0
"""Mean of a block of about 2.5 mm: ribs are thinner than that in places."""
BULKY_MM = 9.0
"""Thicker than a rib: contrast in the heart, vertebrae, shoulder."""
RIB_WINDOW_MM, RIB_WINDOW_DEG = 17.0, 6.0
"""Ribs are about 25 mm apart; the wall between them lies on their line."""
REFERENCE_SHARE = 0.8
BEYOND_MM = 80.0
GAP_AT_LEAST_MM = 13.0
"""Chest wall and pleura take 3 to 8 mm in health, on this grid up to about 10."""
EVIDENCE_DEG = (55.0, 160.0)
"""A gap must be seen between these directions: the heart lies before, the spine behind."""
LOOKED_AT_DEG = (30.0, 168.0)
"""So far it is followed."""
BACK_SLACK_MM = 10.0
SIDES_SLACK_MM = 32.0
"""The domes of the diaphragm differ by 10 to 30 mm in health."""
APEX_SLACK_MM = 12.0
POCKET_AT_LEAST_MM2 = 500.0
POCKET_HALF_MM = 9.0
"""Half the least width: along the spine, where no ribs are, narrow stripes look open."""
MEDIASTINUM_MM = 20.0
SIDE_WITHOUT_AIR = 0.6
"""From this share of a side's wall on, the gap goes as deep as the mediastinum."""
MASS_RADIUS_MM = 11.0
"""Of the largest ball inside tissue that lung encloses: hilar vessels are thinner."""
SPINE_DEG, SPINE_MM = 35.0, (65.0, 115.0)
"""The back of the spine lies so far from straight back, and so far from the axis (the aorta
with contrast medium is nearer)."""
SPINE_TURN_DEG = 25.0
"""More is not believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unrolled:
    """The chest around its axis; maps have shape (D, ANGLES), mm.

    Direction 0 is front, then left, back, right.
    """

    lung_mm: Map
    """How far out air reaches; 0 without air."""
    wall_mm: Map
    """Inner side of the ribs; nan where no rib is near."""
    height_mm: float
    """Of a slice."""


def find_unaerated(coarse: Volume, lungs: Mask, body: Mask, middle_ji: NDArray[np.float64]) -> Mask:
    """Parts of the chest in which lung should be and no air is.

    Parameters
    ----------
    coarse : Volume
        Axes up, back, left.
    lungs, body : ndarray of shape (D, H, W), dtype bool
        Aerated lung of both sides without airways; the trunk.
    middle_ji : ndarray of shape (D, 2)
        The body's axis in each slice, voxels.

    Returns
    -------
    ndarray of shape (D, H, W), dtype bool
    """
    bone = (coarse.hu > BONE_AT_LEAST_HU) & body
    bulky = _bulky_bone(coarse, bone)
    turn, radius = _polar(coarse, middle_ji)
    turn = turn - np.float32(_spine_turn(turn, radius, bone))
    angle = np.rint(turn * np.float32(ANGLES / (2 * np.pi))).astype(np.int16) % ANGLES
    unrolled = _unroll(coarse, lungs, bone & ~bulky, angle, radius)
    in_chest = _in_chest(unrolled)
    pocket = _pockets(unrolled, in_chest)
    depth = _depth_limit(unrolled, pocket)
    wall = np.nan_to_num(unrolled.wall_mm)
    k = np.arange(coarse.shape[0])[:, None, None]
    lateral = np.abs(radius * np.sin(turn)) > MEDIASTINUM_MM
    tissue = (radius < wall[k, angle] - 1.0) & lateral & body & ~lungs
    gap = tissue & pocket[k, angle]
    gap &= radius > np.maximum(unrolled.lung_mm, wall - depth)[k, angle]
    gap = ndimage.binary_opening(gap)
    return np.asarray(gap | _enclosed(coarse, lungs | gap, tissue))


def _polar(
    coarse: Volume, middle_ji: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Direction (0 front, pi / 2 left) and distance from the axis, mm, of every voxel."""
    along_j, along_i = (
        (np.arange(coarse.shape[axis])[None, :] - middle_ji[:, axis - 1][:, None])
        * coarse.spacing_mm[axis]
        for axis in (1, 2)
    )
    j = along_j[:, :, None].astype(np.float32)
    i = along_i[:, None, :].astype(np.float32)
    (x_j, x_i), (y_j, y_i) = coarse.direction[:2, 1:].astype(np.float32)
    return np.arctan2(x_j * j + x_i * i, -(y_j * j + y_i * i)), np.sqrt(i * i + j * j)


def _bulky_bone(coarse: Volume, bone: Mask) -> Mask:
    """Bone, or contrast medium, that is thicker than ribs are."""
    steps = np.maximum(1, np.rint(BULKY_MM / coarse.spacing_mm / 2)).astype(int)
    core = ndimage.minimum_filter(bone, size=2 * steps + 1)
    return np.asarray(ndimage.maximum_filter(core, size=2 * steps + 3))


def _spine_turn(turn: NDArray[np.float32], radius: NDArray[np.float32], bone: Mask) -> float:
    """How far the spine lies from straight back, rad: for a patient who lies on one side."""
    from_back = (turn[bone] % (2 * np.pi)) - np.pi
    far = radius[bone]
    spine = (np.abs(from_back) < np.radians(SPINE_DEG)) & (far > SPINE_MM[0]) & (far < SPINE_MM[1])
    if spine.sum() < 50:
        return 0.0
    most = float(np.radians(SPINE_TURN_DEG))
    return float(np.clip(np.median(from_back[spine]), -most, most))


def _unroll(
    coarse: Volume,
    lungs: Mask,
    ribs: Mask,
    angle: NDArray[np.int16],
    radius: NDArray[np.float32],
) -> _Unrolled:
    shape = (coarse.shape[0], ANGLES, RADII)
    tables = []
    for mask in (lungs, ribs):
        table = np.zeros(shape, dtype=bool)
        k, j, i = mask.nonzero()
        step = np.rint(radius[k, j, i] / RADIUS_STEP_MM).astype(int)
        table[k, angle[k, j, i], np.minimum(step, RADII - 1)] = True
        tables.append(table)
    air, bone = tables
    # Far out a voxel is narrower than a step of the angle, near the axis it is wider.
    air = ndimage.binary_closing(air, np.ones((1, 3, 1), dtype=bool)) | air
    lung_mm = np.where(air.any(axis=2), (RADII - 1 - air[:, :, ::-1].argmax(axis=2)), 0)
    lung_mm = lung_mm * RADIUS_STEP_MM
    height_mm = float(coarse.spacing_mm[0])
    return _Unrolled(lung_mm=lung_mm, wall_mm=_wall(lung_mm, bone, height_mm), height_mm=height_mm)


def _window(height_mm: float) -> tuple[int, int]:
    return (
        2 * round(RIB_WINDOW_MM / height_mm) + 1,
        2 * round(RIB_WINDOW_DEG / ANGLE_STEP_DEG) + 1,
    )


def _wall(lung_mm: Map, bone: Mask, height_mm: float) -> Map:
    """The first rib that a ray meets where lung may end, smoothed over neighbouring ribs."""
    reference = ndimage.maximum_filter(
        np.maximum(lung_mm, _mirrored(lung_mm)), size=_window(height_mm), mode=("nearest", "wrap")
    )
    radius = np.arange(RADII) * RADIUS_STEP_MM
    low = REFERENCE_SHARE * reference[:, :, None]
    beyond = bone & (radius > low) & (radius < low + BEYOND_MM)
    beyond &= reference[:, :, None] > 0
    first = np.where(beyond.any(axis=2), beyond.argmax(axis=2) * RADIUS_STEP_MM, np.inf)
    nearest = ndimage.minimum_filter(first, size=_window(height_mm), mode=("nearest", "wrap"))
    wall = np.where(np.isfinite(nearest), nearest, np.nan)
    return np.fmax(wall, np.where(np.isnan(wall), np.nan, lung_mm))


def _mirrored(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same direction on the other side."""
    return np.roll(table[:, ::-1], 1, axis=1)


def _side_directions(side: int) -> NDArray[np.int_]:
    """Directions of a side (+1 left, -1 right) that are looked at, front to back."""
    degrees = np.arange(ANGLES // 2) * ANGLE_STEP_DEG
    chosen = np.flatnonzero((degrees >= LOOKED_AT_DEG[0]) & (degrees <= LOOKED_AT_DEG[1]))
    return np.asarray(chosen if side > 0 else -chosen % ANGLES)


def _pockets(unrolled: _Unrolled, in_chest: Mask) -> Mask:
    """Where on the wall lung should be and is not; shape (D, ANGLES)."""
    gap = np.nan_to_num(unrolled.wall_mm - unrolled.lung_mm)
    wide = (gap >= GAP_AT_LEAST_MM) & in_chest
    # One open stripe between two ribs does not part a pocket.
    wide = ndimage.binary_closing(wide, np.ones((3, 3), dtype=bool)) & (gap > 0)
    pieces, count = ndimage.label(wide)
    mm2 = np.nan_to_num(unrolled.wall_mm) * np.radians(ANGLE_STEP_DEG) * unrolled.height_mm
    degrees = np.abs((np.arange(ANGLES) * ANGLE_STEP_DEG + 180.0) % 360.0 - 180.0)
    mm2 = mm2 * ((degrees >= EVIDENCE_DEG[0]) & (degrees <= EVIDENCE_DEG[1]))
    area = np.bincount(pieces.ravel(), weights=mm2.ravel(), minlength=count + 1)
    half_mm = _half_width_mm(wide, unrolled)
    widest = np.zeros(count + 1)
    np.maximum.at(widest, pieces.ravel(), (half_mm * (mm2 > 0)).ravel())
    wanted = (area >= POCKET_AT_LEAST_MM2) & (widest >= POCKET_HALF_MM)
    wanted[0] = False
    return np.asarray(wanted[pieces])


def _half_width_mm(table: Mask, unrolled: _Unrolled) -> Map:
    """Distance on the wall to the nearest cell that is not set; what ends a series does not."""
    wall_mm = np.nan_to_num(unrolled.wall_mm)
    across_mm = float(np.median(wall_mm[table])) if table.any() else 100.0
    across_mm = max(across_mm, 30.0) * float(np.radians(ANGLE_STEP_DEG))
    half = ANGLES // 2
    turned = np.pad(table, ((0, 0), (half, half)), mode="wrap")
    turned = np.pad(turned, ((8, 8), (0, 0)), mode="edge")
    distance = ndimage.distance_transform_edt(turned, sampling=(unrolled.height_mm, across_mm))
    return np.asarray(distance[8:-8, half:-half])


def _in_chest(unrolled: _Unrolled) -> Mask:
    """Heights between diaphragm and apex, for every direction that is looked at."""
    gap = np.nan_to_num(unrolled.wall_mm - unrolled.lung_mm)
    touched = (unrolled.lung_mm > 0) & (gap < GAP_AT_LEAST_MM)
    height_mm = unrolled.height_mm
    depth = touched.shape[0]
    bounds = {side: _bounds(touched[:, _side_directions(side)]) for side in (1, -1)}
    inside = np.zeros_like(touched)
    k = np.arange(depth)[:, None]
    for side in (1, -1):
        (own_low, own_high), (other_low, other_high) = bounds[side], bounds[-side]
        low = np.minimum(
            np.minimum.accumulate(own_low) + np.ceil(BACK_SLACK_MM / height_mm),
            np.minimum.accumulate(other_low) + np.ceil(SIDES_SLACK_MM / height_mm),
        )
        low = np.minimum(low, own_low)
        high = np.maximum(own_high, other_high - np.ceil(APEX_SLACK_MM / height_mm))
        inside[:, _side_directions(side)] = (k >= low) & (k <= high)
    return inside


def _bounds(touched: Mask) -> tuple[Map, Map]:
    """Lowest and highest slice in which air touches the wall, per direction."""
    depth = touched.shape[0]
    some = touched.any(axis=0)
    low = np.where(some, touched.argmax(axis=0), depth).astype(np.float64)
    high = np.where(some, depth - 1 - touched[::-1].argmax(axis=0), -1).astype(np.float64)
    return low, high


def _depth_limit(unrolled: _Unrolled, pocket: Mask) -> Map:
    """How far inwards a pocket may reach: about as far as it is wide; mm."""
    wall_mm = np.nan_to_num(unrolled.wall_mm)
    # Only air at the wall bounds a pocket; spine, sternum and the series' ends do not.
    open_wall = (unrolled.lung_mm <= 0) | ~(unrolled.wall_mm - unrolled.lung_mm < GAP_AT_LEAST_MM)
    half_mm = _half_width_mm(open_wall | pocket, unrolled)
    depth = 2.0 * half_mm + 10.0
    known = np.isfinite(unrolled.wall_mm)
    for side in (1, -1):
        directions = _side_directions(side)
        of_side = pocket[:, directions]
        rows = of_side.any(axis=1)
        if rows.any() and of_side.sum() > SIDE_WITHOUT_AIR * known[rows][:, directions].sum():
            depth[:, directions] = wall_mm[:, directions]
    return np.asarray(depth)


def _enclosed(coarse: Volume, lungs: Mask, tissue: Mask) -> Mask:
    """Bulky tissue that lung encloses in a section of any of the three directions."""
    where = ndimage.find_objects(lungs.astype(np.uint8))[0]
    inside = lungs[where]
    filled = np.zeros_like(inside)
    for axis in range(3):
        planes, out = np.moveaxis(inside, axis, 0), np.moveaxis(filled, axis, 0)
        for index, plane in enumerate(planes):
            if plane.any():
                out[index] |= ndimage.binary_fill_holes(plane)
    holes = filled & tissue[where]
    depth = ndimage.distance_transform_edt(np.pad(holes, 1), sampling=coarse.spacing_mm)
    cores = depth[1:-1, 1:-1, 1:-1] >= MASS_RADIUS_MM
    result = np.zeros_like(lungs)
    if cores.any():
        away = ndimage.distance_transform_edt(~cores, sampling=coarse.spacing_mm)
        result[where] = holes & (away < MASS_RADIUS_MM + 1.0)
    return result
