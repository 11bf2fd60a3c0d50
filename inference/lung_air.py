"""Air inside the body, and which of it is lung: not trachea, bowel, or air between arm and chest.

Works on a coarse grid whose axes run up, back and to the left (`inference.lungs` sees to that).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.errors import NotAnalysable
from inference.thresholds import (
    LUNG_AT_MOST_HU,
    LUNG_MEDIAN_HU,
    LUNGS_AT_LEAST_ML,
    SMALL_LUNGS_MEDIAN_HU,
)
from inference.volume import Volume

Mask = NDArray[np.bool_]

PIECE_AT_LEAST_ML = 60.0
"""Smaller pockets of gas are stomach, colon or the trachea's own, unless they lie in a chest
whose lung is otherwise without air (`keep_rests`)."""
REST_AT_LEAST_ML = 0.5
PIECES_AT_MOST = 40
GAS_AT_MOST_HU = -950.0
"""Median of bowel gas; a piece of emphysema may be as low, but lies in the chest."""
UNDER_LUNG_SHARE = 0.5
ROOM_AIR_HU = (-1030.0, -970.0)
ABOVE_ROOM_AIR_HU = 30.0
"""Median from which a stretch along the image's border may be lung that is cut."""
ROOM_AIR_SHARE = 0.15
CUT_LUNG_AT_LEAST_MM2 = 1200.0
CUT_LUNG_DEEP_MM, CUT_LUNG_DEEP_SHARE = 30.0, 0.1
CUT_LUNG_AT_LEAST_HU = -920.0
"""What such a stretch encloses is lung when it is large, reaches deep into the image, little of
it is as thin as the room's air, and its median lies above this; otherwise it was a blanket."""
CUT_MM = (6.0, 200.0)
"""Length of such a stretch; longer is the way round the whole patient."""
CORNER = 4
IN_PLANE = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], dtype=bool)

AIRWAY_AT_MOST_HU = -880.0
AIRWAY_MM2 = (15.0, 800.0)
TISSUE_AROUND = (0.6, 0.8)
"""Share of the surroundings of a cross-section that is soft tissue: of bronchi, of the trachea.
Around a bulla lies lung."""
TISSUE_HU = -500.0
TRACHEA_MM2 = (60.0, 700.0)
TRACHEA_LONG_MM = 22.0
TRACHEA_FROM_MIDDLE_MM = 45.0
ROUND_FROM = 0.45
"""Area over that of its box."""
AIRWAY_REST_ML = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyAir:
    """Body and the air in it.

    Attributes
    ----------
    body, air : ndarray of shape (D, H, W), dtype bool
        The trunk with all that it encloses; what of it is as thin as lung.
    middle_ji : ndarray of shape (D, 2)
        Middle of the trunk in each slice, on a straight line through the body, voxels.
    cut : bool
        Whether lung reaches the edge of the field of view.
    """

    body: Mask
    air: Mask
    middle_ji: NDArray[np.float64]
    cut: bool


def find_body_air(coarse: Volume) -> BodyAir:
    """Air that, slice by slice, is enclosed by the body or by the edge of the field of view.

    Raises
    ------
    NotAnalysable
        With code ``no_lungs`` when there is no body.
    """
    air = coarse.hu < LUNG_AT_MOST_HU
    # Thin sheets that touch the skin (table, blanket) enclose air that is not the body's.
    thick = ndimage.binary_opening(~air, structure=np.ones((1, 3, 3), dtype=bool))
    pieces, count = ndimage.label(thick)
    if count == 0:
        raise NotAnalysable("no_lungs", "no lungs: there is nothing but air in the volume")
    trunk = pieces == int(np.bincount(pieces.ravel())[1:].argmax()) + 1
    seen = _field_of_view(coarse.hu)
    border = _border_in_order(seen)
    filled = np.zeros_like(trunk)
    cut = 0
    from_border = ndimage.distance_transform_edt(np.pad(seen, 1))[1:-1, 1:-1]
    pixel_mm = float(coarse.spacing_mm[1:].mean())
    for k, plane in enumerate(trunk):
        closed = ndimage.binary_closing(plane, iterations=2) | plane
        filled[k] = ndimage.binary_fill_holes(closed)
        wall = _cut_lung(coarse.hu[k], plane, border, pixel_mm)
        if len(wall):
            closed[wall[:, 0], wall[:, 1]] = True
            more = ndimage.binary_fill_holes(closed)
            new = more & ~filled[k] & air[k]
            gained = coarse.hu[k][new]
            deep = from_border[new] * pixel_mm > CUT_LUNG_DEEP_MM
            room = gained < ROOM_AIR_HU[1] + ABOVE_ROOM_AIR_HU
            if (
                gained.size * pixel_mm**2 >= CUT_LUNG_AT_LEAST_MM2
                and deep.mean() > CUT_LUNG_DEEP_SHARE
                and room.mean() < ROOM_AIR_SHARE
                and np.median(gained) > CUT_LUNG_AT_LEAST_HU
            ):
                filled[k] = more
                cut += len(wall)
    if cut:
        # A slice in which the stretch was not clear, between such in which it was.
        filled |= ndimage.binary_closing(filled, np.ones((5, 1, 1), dtype=bool))
    filled &= seen
    return BodyAir(
        body=filled,
        air=air & filled,
        middle_ji=_middle(filled),
        cut=cut * pixel_mm * float(coarse.spacing_mm[0]) > 1000.0,
    )


def _field_of_view(hu: NDArray[np.int16]) -> Mask:
    """Where a scanner that fills everything outside a circle has measured; shape (H, W)."""
    height, width = hu.shape[1:]
    corners = np.stack(
        [hu[:, :CORNER, :CORNER], hu[:, -CORNER:, :CORNER], hu[:, :CORNER, -CORNER:]]
    )
    if corners.min() != corners.max():
        return np.ones((height, width), dtype=bool)
    empty = (hu == corners.min()).all(axis=0)
    pieces, _ = ndimage.label(empty)
    outside = np.isin(pieces, [label for label in np.unique(_edge(pieces)) if label])
    return ~outside


def _edge(plane: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])


def _border_in_order(seen: Mask) -> NDArray[np.int_]:
    """Pixels at the edge of the field of view, going round; shape (N, 2), j and i."""
    inner = ndimage.binary_erosion(seen, iterations=2)
    border = np.argwhere(seen & ~inner)
    middle = (np.array(seen.shape) - 1) / 2
    return border[np.argsort(np.arctan2(*(border - middle).T), kind="stable")]


def _cut_lung(
    plane_hu: NDArray[np.int16], trunk: Mask, border: NDArray[np.int_], pixel_mm: float
) -> NDArray[np.int_]:
    """Border pixels where lung, not the room's air, lies between two places of the trunk."""
    on_trunk = trunk[border[:, 0], border[:, 1]]
    if not on_trunk.any() or on_trunk.all():
        return border[:0]
    first = int(np.flatnonzero(on_trunk)[0])
    border, on_trunk = np.roll(border, -first, axis=0), np.roll(on_trunk, -first)
    hu = plane_hu[border[:, 0], border[:, 1]].astype(np.float64)
    room_hu = float(np.clip(np.percentile(hu, 5), *ROOM_AIR_HU))
    runs, count = ndimage.label(~on_trunk)
    # The border is two pixels wide.
    long_mm = np.bincount(runs, minlength=count + 1)[1:] * pixel_mm / 2
    medians = ndimage.median(hu, runs, np.arange(1, count + 1))
    lung = (medians > room_hu + ABOVE_ROOM_AIR_HU) & (medians < LUNG_AT_MOST_HU)
    wanted = lung & (long_mm >= CUT_MM[0]) & (long_mm <= CUT_MM[1])
    return np.asarray(border[np.isin(runs, np.flatnonzero(wanted) + 1)])


def _middle(body: Mask) -> NDArray[np.float64]:
    """Middle of the body's extent per slice, smoothed to a straight line; shape (D, 2)."""
    depth = body.shape[0]
    rows = []
    for k in range(depth):
        j = body[k].any(axis=1).nonzero()[0]
        if len(j):
            # Columns by mass: an arm that is cut off on one side moves the extent, not this.
            centre_i = float((body[k].sum(axis=0) * np.arange(body.shape[2])).sum() / body[k].sum())
            rows.append((k, (j[0] + j[-1]) / 2, centre_i))
    table = np.array(rows)
    if len(table) < 3:
        return np.repeat(table[:1, 1:], depth, axis=0)
    heights = np.arange(depth)
    return np.column_stack(
        [np.polyval(np.polyfit(table[:, 0], table[:, axis], 1), heights) for axis in (1, 2)]
    )


def find_lung_pieces(coarse: Volume, air: Mask) -> Mask:
    """Pieces of air that are as large and as dense as lungs, bowel gas left out.

    Raises
    ------
    NotAnalysable
        With code ``no_lungs`` and what was found instead.
    """
    ml = coarse.voxel_volume_mm3 / 1000.0
    pieces, count = ndimage.label(air)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1) * ml
    kept = np.zeros_like(air)
    seen = []
    for label in np.argsort(sizes[1:])[::-1][:PIECES_AT_MOST] + 1:
        if sizes[label] < PIECE_AT_LEAST_ML:
            break
        piece = pieces == label
        median = float(np.median(coarse.hu[piece]))
        seen.append(f"{sizes[label]:.0f} ml at {median:.0f} HU")
        if not LUNG_MEDIAN_HU[0] <= median <= LUNG_MEDIAN_HU[1]:
            continue
        if median <= GAS_AT_MOST_HU and _lies_under(piece, kept):
            continue
        kept |= piece
    total_ml = float(kept.sum() * ml)
    least_ml = LUNGS_AT_LEAST_ML
    if kept.any() and float(np.median(coarse.hu[kept])) > SMALL_LUNGS_MEDIAN_HU:
        least_ml /= 2
    if total_ml < least_ml:
        found = ", ".join(seen) or "no air space inside the body"
        raise NotAnalysable(
            "no_lungs",
            f"no lungs: {total_ml:.0f} ml of lung-like air, at least {least_ml:.0f} ml "
            f"wanted (found: {found})",
        )
    return kept


def _lies_under(piece: Mask, lungs: Mask) -> bool:
    """Tell whether most of a piece lies below lungs: stomach or colon under the diaphragm."""
    columns = piece.any(axis=0)
    top = piece.shape[0] - 1 - piece[::-1].argmax(axis=0)
    height = np.arange(piece.shape[0])[:, None, None]
    above = (lungs & (height > top)).any(axis=0)
    return float(above[columns].mean()) > UNDER_LUNG_SHARE


def keep_rests(coarse: Volume, air: Mask, lungs: Mask, chest: Mask) -> Mask:
    """Small pieces of air in a part of the chest that is otherwise without: lung as well.

    Parameters
    ----------
    coarse : Volume
        For voxel size.
    air, lungs : ndarray of shape (D, H, W), dtype bool
        All air in the body; the lungs so far (airways are not to come back).
    chest : ndarray of shape (D, H, W), dtype bool
        Inside the ribs, where lung without air was found.
    """
    ml = coarse.voxel_volume_mm3 / 1000.0
    pieces, count = ndimage.label(air & ~lungs)
    size = np.bincount(pieces.ravel(), minlength=count + 1)
    inside = np.bincount(pieces[chest], minlength=count + 1)
    wanted = (size * ml >= REST_AT_LEAST_ML) & (inside > 0.5 * size)
    wanted[0] = False
    return np.asarray(lungs | wanted[pieces])


def find_airway(coarse: Volume, air: Mask, middle_ji: NDArray[np.float64]) -> Mask:
    """Trachea and main bronchi: a chain of round cross-sections of pure air in soft tissue.

    It starts at a piece that is long and near the middle; without one (the neck and carina are
    not in the series) there is no airway. Bullae hang in no such chain and have lung around.
    """
    pure = air & (coarse.hu < AIRWAY_AT_MOST_HU)
    sections, count = ndimage.label(pure, structure=np.pad(IN_PLANE, ((1, 1), (0, 0), (0, 0))))
    if count == 0:
        return pure
    mm2 = float(np.prod(coarse.spacing_mm[1:]))
    area = np.bincount(sections.ravel(), minlength=count + 1) * mm2
    plausible = (area >= AIRWAY_MM2[0]) & (area <= AIRWAY_MM2[1])
    plausible[0] = False
    for label, where in enumerate(ndimage.find_objects(sections), start=1):
        box_mm2 = mm2 * (where[1].stop - where[1].start) * (where[2].stop - where[2].start)
        plausible[label] &= area[label] >= ROUND_FROM * box_mm2
    sections = np.where(plausible[sections], sections, 0)
    near = ndimage.maximum_filter(sections, size=(1, 3, 3))
    around = ndimage.maximum_filter(sections, size=(1, 5, 5))
    ring = (around > 0) & (near == 0)
    voxels = np.bincount(around[ring], minlength=count + 1)
    tissue = np.bincount(around[ring & (coarse.hu > TISSUE_HU)], minlength=count + 1)
    share = tissue / np.maximum(voxels, 1)
    trachea = _longest_chain(coarse, (share >= TISSUE_AROUND[1])[sections], middle_ji, mm2)
    if not trachea.any():
        return trachea
    chains, _ = ndimage.label(
        (share >= TISSUE_AROUND[0])[sections] | trachea, structure=np.ones((3, 3, 3), dtype=bool)
    )
    return np.asarray(np.isin(chains, np.unique(chains[trachea])))


def _longest_chain(
    coarse: Volume, sections: Mask, middle_ji: NDArray[np.float64], mm2: float
) -> Mask:
    """The longest stack of sections that lies and measures like a trachea; empty if none."""
    chains, _ = ndimage.label(sections, structure=np.ones((3, 3, 3), dtype=bool))
    best, longest = 0, TRACHEA_LONG_MM
    for label, where in enumerate(ndimage.find_objects(chains), start=1):
        chain = chains[where] == label
        long_mm = chain.shape[0] * float(coarse.spacing_mm[0])
        if long_mm <= longest:
            continue
        places = np.argwhere(chain) + [part.start for part in where]
        from_middle = np.abs(places[:, 2] - middle_ji[places[:, 0], 1]).mean()
        typical_mm2 = float(np.median(chain.sum(axis=(1, 2)))) * mm2
        if (
            from_middle * coarse.spacing_mm[2] < TRACHEA_FROM_MIDDLE_MM
            and TRACHEA_MM2[0] < typical_mm2 < TRACHEA_MM2[1]
        ):
            best, longest = label, long_mm
    return np.asarray(chains == best) if best else np.zeros_like(sections)


def without_airway(coarse: Volume, lungs: Mask, airway: Mask) -> Mask:
    """The lungs without the airway, its blurred border and the small rests that hang on it."""
    if not airway.any():
        return lungs
    border = ndimage.binary_dilation(airway)
    rest = lungs & ~border
    pieces, count = ndimage.label(rest)
    size = np.bincount(pieces.ravel(), minlength=count + 1)
    beside = np.bincount(
        pieces[ndimage.binary_dilation(border) & rest], minlength=count + 1
    ).astype(bool)
    small = size * coarse.voxel_volume_mm3 / 1000.0 < AIRWAY_REST_ML
    drop = small & beside
    return np.asarray(rest & ~drop[pieces])
