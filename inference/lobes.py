"""Which lobe a place lies in, with a probability that says how well it is known.

Two sources: where the fissures were seen in the image, and where anatomy puts them in a lung of
this size and shape. The second is vague, about 2 cm either way, and alone decides only what is
clearly apical or clearly at the back of the base.

Deliberately absent: lobes after surgery or of a lung that is partly without air or cut off
(unknown), and variants such as accessory fissures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from inference.findings import Laterality
from inference.fissures import GRID_MM, Sheets, Surface, find_sheets, fit_surface
from inference.lung_sides import LEFT, RIGHT
from inference.lungs import LungMask
from inference.resample import crop, mask_onto, to_isotropic
from inference.volume import Volume

LobeName = Literal[
    "right upper lobe",
    "right middle lobe",
    "right lower lobe",
    "left upper lobe",
    "left lower lobe",
]
NAMED_FROM = 0.7
"""Below this probability the lobe is unknown."""
CLEAR_FROM = 0.9
"""From here on a lobe is known well enough to be an input of a model of risk."""
THIN_SLICE_MM = 3.0
"""Fissures are looked for up to this slice spacing."""
AERATED_AT_LEAST = 0.9
CUT_AT_MOST = 0.25
"""Largest area in the first or last slice over the lung's largest: how far it may be cut."""
SIDE_AT_LEAST_ML = 600.0
SEEN_RELIABILITY = 0.95
"""A surface with full support is the fissure; with the least it is so in two of three cases."""
LEAST_RELIABILITY = 0.65
MODEL_MM = 2.0
"""Fissures are not of second degree: so much is added to the fit's error."""
FAR_SHARE = 0.1
"""Away from where the fissure was seen it is less well known: mm per mm."""

# Where the fissures lie in a lung, as shares of its depth (front 0, back 1) and its height (base
# 0, apex 1): the oblique one runs from the back a quarter below the apex (level of T4) to the
# diaphragm a little behind the front; the horizontal one at about half height (fourth rib) from
# the oblique one to the front. Rounded by hand, also from looking at real series: see
# docs/methods.md.
OBLIQUE_BACK, OBLIQUE_FRONT = (1.0, 0.78), (0.22, 0.22)
HORIZONTAL_HEIGHT = 0.52
PRIOR_ERROR_SHARE = 0.09
"""One standard deviation, of the lung's height."""
CUT_FACTOR = 1.6
"""So much larger where the lungs are cut and their height is not known."""
POSITION_AT_MOST = 0.95
"""Position alone is never surer than this: fissures vary more than a normal curve says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fissure:
    surface: Surface
    expected: Surface

    def below(self, point: NDArray[np.float64]) -> float:
        """Probability that a point (3,) lies below the fissure."""
        place = point[None, :]
        prior = float(ndtr(-self.expected.height_mm(place)[0] / self.expected.error_mm))
        if not self.surface.seen:
            return min(max(prior, 1 - POSITION_AT_MOST), POSITION_AT_MOST)
        away = float(np.linalg.norm((point - self.surface.centre)[:2]))
        error = np.hypot(self.surface.error_mm, MODEL_MM) + FAR_SHARE * max(0.0, away - 60.0)
        here = float(ndtr(-self.surface.height_mm(place)[0] / error))
        trust = np.interp(self.surface.support, (0.35, 0.8), (LEAST_RELIABILITY, SEEN_RELIABILITY))
        return float(trust * here + (1 - trust) * prior)


@dataclass(frozen=True, slots=True, kw_only=True)
class LobeMap:
    """The fissures of both lungs; a side is missing where its lobes are unknown."""

    oblique: dict[Laterality, _Fissure]
    horizontal: _Fissure | None
    remarks: tuple[str, ...] = ()
    """Why lobes are unknown, or known from position alone."""

    def probabilities(
        self, point_lps_mm: NDArray[np.float64], side: Laterality | None
    ) -> dict[LobeName, float]:
        """Probability of each lobe of a side; empty where unknown."""
        if side is None or side not in self.oblique:
            return {}
        point = np.asarray(point_lps_mm, dtype=np.float64)
        lower = self.oblique[side].below(point)
        if side == "left":
            return {"left upper lobe": 1 - lower, "left lower lobe": lower}
        if self.horizontal is None:
            return {}
        middle = (1 - lower) * self.horizontal.below(point)
        return {
            "right upper lobe": 1 - lower - middle,
            "right middle lobe": middle,
            "right lower lobe": lower,
        }

    def upper_at(self, point_lps_mm: NDArray[np.float64], side: Laterality | None) -> bool | None:
        """Whether a point lies in an upper lobe; `None` where that is not clear."""
        table = self.probabilities(point_lps_mm, side)
        if not table:
            return None
        upper = sum(share for name, share in table.items() if name.endswith("upper lobe"))
        return True if upper >= CLEAR_FROM else False if upper <= 1 - CLEAR_FROM else None

    def lobe_at(
        self, point_lps_mm: NDArray[np.float64], side: Laterality | None
    ) -> tuple[LobeName, float] | None:
        """The most probable lobe with its probability; `None` below `NAMED_FROM`."""
        table = self.probabilities(point_lps_mm, side)
        if not table:
            return None
        name = max(table, key=lambda lobe: table[lobe])
        return (name, table[name]) if table[name] >= NAMED_FROM else None


def find_lobes(volume: Volume, lungs: LungMask) -> LobeMap:
    """Find the fissures of both lungs.

    Parameters
    ----------
    volume : Volume
        The CT.
    lungs : LungMask
        Of the same volume.
    """
    oblique: dict[Laterality, _Fissure] = {}
    horizontal: _Fissure | None = None
    remarks: list[str] = []
    thin = float(volume.spacing_mm.max()) <= THIN_SLICE_MM
    for side in lungs.sides:
        label = RIGHT if side.side == "right" else LEFT
        why = _unknown_because(lungs, label, side.aerated_ml, side.aerated_fraction)
        if why:
            remarks.append(f"lobes of the {side.side} lung unknown: {why}")
            continue
        places = _places(lungs, label)
        sheets = _sheets(volume, lungs, label) if thin else None
        error = PRIOR_ERROR_SHARE * (CUT_FACTOR if lungs.coverage == "partial" else 1.0)
        expected = _expected_oblique(places, error)
        found = _fit(sheets, expected, places)
        oblique[side.side] = _Fissure(surface=found, expected=expected)
        seen = [found.seen]
        if side.side == "right":
            level = _expected_horizontal(places, error)
            above = places[found.height_mm(places) > 4.0]
            flat = _fit(_above(sheets, found), level, above)
            horizontal = _Fissure(surface=flat, expected=level)
            seen.append(flat.seen)
        if not all(seen):
            remarks.append(
                f"fissures of the {side.side} lung not all seen: lobes by position where clear"
            )
    return LobeMap(oblique=oblique, horizontal=horizontal, remarks=tuple(remarks))


def _unknown_because(
    lungs: LungMask, label: int, aerated_ml: float, aerated_fraction: float | None
) -> str | None:
    if aerated_ml < SIDE_AT_LEAST_ML:
        return f"only {aerated_ml:.0f} ml of air"
    if aerated_fraction is not None and aerated_fraction < AERATED_AT_LEAST:
        return "part of it holds no air"
    area = (lungs.lungs == label).sum(axis=(1, 2))
    if max(area[0], area[-1]) > CUT_AT_MOST * area.max():
        return "it is cut by the first or last slice"
    return None


def _places(lungs: LungMask, label: int) -> NDArray[np.float64]:
    """Voxel centres of one lung, LPS mm."""
    grid = Volume(hu=np.zeros(lungs.lungs.shape, dtype=np.int16), affine=lungs.affine)
    return grid.index_to_lps(np.argwhere(lungs.lungs == label))


def _sheets(volume: Volume, lungs: LungMask, label: int) -> Sheets:
    mask = lungs.lungs == label
    inside = np.argwhere(mask)
    coarse = Volume(hu=np.zeros(mask.shape, dtype=np.int16), affine=lungs.affine)
    ends = volume.lps_to_index(coarse.index_to_lps(np.array([inside.min(0), inside.max(0)])))
    margin = 4.0 / volume.spacing_mm
    start = np.maximum(np.floor(ends.min(axis=0) - margin), 0).astype(int)
    stop = np.minimum(np.ceil(ends.max(axis=0) + margin) + 1, volume.shape).astype(int)
    grid = to_isotropic(crop(volume, start, stop), spacing_mm=GRID_MM)
    return find_sheets(grid, mask_onto(mask, lungs.affine, grid))


def _above(sheets: Sheets | None, surface: Surface) -> Sheets | None:
    """Only what lies clearly above a surface."""
    if sheets is None:
        return None
    above = surface.height_mm(sheets.points) > 4.0
    return Sheets(
        points=sheets.points[above], normals=sheets.normals[above], strength=sheets.strength[above]
    )


def _fit(sheets: Sheets | None, expected: Surface, places: NDArray[np.float64]) -> Surface:
    if sheets is None or not len(sheets.points) or not len(places):
        return expected
    return fit_surface(sheets, expected, places)


def _extent(places: NDArray[np.float64]) -> tuple[float, float, float, float, float]:
    """Front, back, base, apex and middle of x, LPS mm, outliers left out."""
    front, back = np.percentile(places[:, 1], (0.5, 99.5))
    base, apex = np.percentile(places[:, 2], (0.2, 99.9))
    return float(front), float(back), float(base), float(apex), float(np.median(places[:, 0]))


def _expected_oblique(places: NDArray[np.float64], error_share: float) -> Surface:
    front, back, base, apex, middle_x = _extent(places)
    deep, high = back - front, apex - base
    (u0, v0), (u1, v1) = OBLIQUE_FRONT, OBLIQUE_BACK
    slope = (v1 - v0) * high / ((u1 - u0) * deep)
    middle_y = (front + back) / 2
    z = base + high * (v0 + (v1 - v0) * (0.5 - u0) / (u1 - u0))
    return Surface(
        centre=np.array([middle_x, middle_y, 0.0]),
        factors=np.array([z, 0.0, slope, 0.0, 0.0, 0.0]),
        error_mm=error_share * high,
    )


def _expected_horizontal(places: NDArray[np.float64], error_share: float) -> Surface:
    front, back, base, apex, middle_x = _extent(places)
    high = apex - base
    return Surface(
        centre=np.array([middle_x, front + 0.35 * (back - front), 0.0]),
        factors=np.array([base + HORIZONTAL_HEIGHT * high, 0.0, 0.0, 0.0, 0.0, 0.0]),
        error_mm=error_share * high,
    )
