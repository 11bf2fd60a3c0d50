"""A place in a CT where another examination shows a nodule: is it covered, and what is there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.findings import Candidate, Measurements, NoduleType, PointLps
from inference.follow_up.matching import plausible_size, reach_mm
from inference.lungs import LungMask
from inference.measurement import centre_of, measure_segmented
from inference.ranking import nodule_probability
from inference.segmentation import Segmented, Segmenter
from inference.volume import Volume

SURE_AT_LEAST = 0.5
"""Probability from which what was outlined is taken for a nodule."""
LUNG_WITHIN_MM = 6.0
"""A place farther from any lung is not covered: the registration put it into the chest wall."""
SLICES_ACROSS = 2.0
"""A nodule with less than so many slice spacings across may be missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A nodule that was found at a place."""

    centre_lps_mm: PointLps
    type: NoduleType
    measurements: Measurements
    distance_mm: float
    """From the place."""


def look_at(
    volume: Volume,
    lungs: LungMask,
    places_lps_mm: Sequence[PointLps],
    diameter_mm: float,
    segmenter: Segmenter,
) -> Seen | None:
    """Outline what lies at a place.

    Parameters
    ----------
    volume : Volume
        Where to look.
    lungs : LungMask
        Of the same CT.
    places_lps_mm : sequence of point
        The place, then others to try (candidates near it); only what lies within the reach of
        the first one counts.
    diameter_mm : float
        How large it is in the other examination.
    segmenter : Segmenter
        The one that outlined it there.

    Returns
    -------
    Seen or None
        The first that passes for a nodule of a plausible size.
    """
    wanted = places_lps_mm[0]
    for place in places_lps_mm:
        candidate = Candidate(centre_lps_mm=place, probability=0.5, diameter_mm=diameter_mm)
        item = segmenter.segment(volume, lungs, candidate)
        if item is None or _probability(volume, candidate, item) < SURE_AT_LEAST:
            continue
        nodule_type, measured = measure_segmented(volume, item)
        centre = centre_of(volume, item.voi)
        distance_mm = math.dist(centre, wanted)
        if distance_mm <= reach_mm(diameter_mm, measured.mean_diameter_mm) and plausible_size(
            measured.mean_diameter_mm, diameter_mm
        ):
            return Seen(
                centre_lps_mm=centre,
                type=nodule_type,
                measurements=measured,
                distance_mm=distance_mm,
            )
    return None


def _probability(volume: Volume, candidate: Candidate, item: Segmented) -> float:
    """That of the segmenter where it judges, else by shape and surroundings."""
    if item.probability is not None:
        return item.probability
    mm3 = float(item.voi.mask.sum()) * volume.voxel_volume_mm3
    return nodule_probability(
        candidate,
        item,
        equivalent_diameter_mm=float((6 * mm3 / np.pi) ** (1 / 3)),
        slice_spacing_mm=float(volume.spacing_mm[0]),
    )


def why_not_visible(
    volume: Volume, lungs: LungMask, place_lps_mm: PointLps, diameter_mm: float
) -> str | None:
    """Why a nodule at a place could not be seen in a CT, or `None` where it could.

    Parameters
    ----------
    volume : Volume
        The CT.
    lungs : LungMask
        Of the same CT.
    place_lps_mm : PointLps
        Where it would lie.
    diameter_mm : float
        How large it is in the other examination.
    """
    index = volume.lps_to_index(place_lps_mm)
    room = diameter_mm / 2 / volume.spacing_mm
    if (index < room).any() or (index > np.array(volume.shape) - 1 - room).any():
        return "that CT does not cover the place"
    spacing_mm = float(volume.spacing_mm[0])
    if diameter_mm < SLICES_ACROSS * spacing_mm:
        return (
            f"slices every {spacing_mm:g} mm are too far apart to be sure of {diameter_mm:.0f} mm"
        )
    grid = Volume(hu=np.zeros((1, 1, 1), dtype=np.int16), affine=lungs.affine)
    reach = np.ceil((LUNG_WITHIN_MM + diameter_mm / 2) / grid.spacing_mm).astype(int)
    middle = np.rint(grid.lps_to_index(place_lps_mm)).astype(int)
    low = np.clip(middle - reach, 0, np.array(lungs.lungs.shape))
    high = np.clip(middle + reach + 1, 0, np.array(lungs.lungs.shape))
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    if not lungs.search[box].any():
        return "the place lies outside the lungs of that CT"
    if (lungs.unaerated[box] > 0).sum() > (lungs.lungs[box] > 0).sum():
        return "the lung holds no air there"
    return None
