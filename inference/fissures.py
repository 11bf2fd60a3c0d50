"""The fissures of a lung: thin sheets in it, and a smooth surface through them.

Sheets are found by the Hessian's eigenvalues on cubes of about 1.75 mm: a fissure curves in one
direction only. Of all sheets those near the place where anatomy puts the fissure, and about as
steep, are taken; a surface of second degree goes through them. How much of the surface lies on
sheets, and how much more than of surfaces beside it, says whether it was seen at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.volume import Volume

Points = NDArray[np.float64]

GRID_MM = 1.75
SMOOTHING_MM = 1.2
AERATED_HU = (-970.0, -550.0)
"""A fissure is thinner than a voxel: it stays as thin as lung."""
SHEET_AT_LEAST_HU = 14.0
SHEET_OVER_REST = 0.45
"""Curvature across the other directions, as a share of that along the normal, at most."""
DEPTH_MM = 3.5
"""The pleura itself is a sheet: so far from it nothing counts."""
SHEETS_AT_MOST = 120_000
STEEP_FROM_COS = 0.8
TILTS = (-0.4, -0.2, 0.0, 0.2, 0.4, 0.7, 1.0, 1.4)
"""Slopes towards the back, about the expected one: steep fissures are common."""
BANDS_MM = (14.0, 8.0, 5.0, 4.0)
ON_SURFACE_MM = 2.5
CELL_MM = 8.0
BESIDE_MM = (-18.0, -13.0, 13.0, 18.0)
SEEN_SUPPORT, SEEN_MARGIN = 0.4, 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheets:
    """Places that look like a thin sheet: LPS mm and unit normals (N, 3), strength in HU (N,)."""

    points: Points
    normals: Points
    strength: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """z = f(x, y), of second degree, LPS mm about `centre`.

    Attributes
    ----------
    centre : ndarray of shape (3,)
        Where x and y are counted from.
    factors : ndarray of shape (6,)
        Of 1, x, y, x^2, x y, y^2.
    error_mm : float
        One standard deviation across the surface.
    support : float
        Share of the surface inside the lung that lies on sheets, 0 to 1; 0 for what anatomy
        alone gives.
    margin : float
        How much more that is than beside it.
    """

    centre: NDArray[np.float64]
    factors: NDArray[np.float64]
    error_mm: float
    support: float = 0.0
    margin: float = 0.0

    @property
    def seen(self) -> bool:
        """Whether the fissure was found in the image."""
        return self.support >= SEEN_SUPPORT and self.margin >= SEEN_MARGIN

    def height_mm(self, points: Points) -> NDArray[np.float64]:
        """Signed distance to the surface, mm, positive above; points (N, 3)."""
        x, y, z = (points - self.centre).T
        rise = _terms(x, y) @ self.factors
        _, fx, fy, fxx, fxy, fyy = self.factors
        slope = np.hypot(fx + 2 * fxx * x + fxy * y, fy + fxy * x + 2 * fyy * y)
        return np.asarray((z - rise) / np.sqrt(1 + slope**2))


def _terms(x: NDArray[np.float64], y: NDArray[np.float64]) -> Points:
    terms = np.column_stack([np.ones_like(x), x, y, x * x, x * y, y * y])
    return np.asarray(terms, dtype=np.float64)


def find_sheets(grid: Volume, lung: NDArray[np.bool_]) -> Sheets:
    """Thin sheets inside a lung.

    Parameters
    ----------
    grid : Volume
        Cubes of about `GRID_MM`.
    lung : ndarray of shape (D, H, W), dtype bool
        One lung on that grid.
    """
    image = np.clip(grid.hu, -1000, -300).astype(np.float32)
    smooth = ndimage.gaussian_filter(image, SMOOTHING_MM / grid.spacing_mm, truncate=3.0)
    deep = ndimage.distance_transform_edt(lung, sampling=grid.spacing_mm) > DEPTH_MM
    bent = [_second(smooth, axis) for axis in range(3)]
    laplace = -(bent[0] + bent[1] + bent[2])
    candidate = deep & (laplace > SHEET_AT_LEAST_HU)
    candidate &= (smooth > AERATED_HU[0]) & (smooth < AERATED_HU[1])
    index = np.argwhere(candidate)
    if len(index) > SHEETS_AT_MOST:
        index = index[:: len(index) // SHEETS_AT_MOST + 1]
    if not len(index):
        return Sheets(points=np.empty((0, 3)), normals=np.empty((0, 3)), strength=np.empty(0))
    k, j, i = index.T
    hessian = np.empty((len(index), 3, 3), dtype=np.float32)
    for a in range(3):
        hessian[:, a, a] = bent[a][k, j, i]
        for b in range(a):
            hessian[:, a, b] = hessian[:, b, a] = _mixed(smooth, index, a, b)
    values, vectors = np.linalg.eigh(hessian)
    strength = -values[:, 0]
    rest = np.maximum(np.abs(values[:, 1]), np.abs(values[:, 2]))
    sheet = (strength > SHEET_AT_LEAST_HU) & (rest < SHEET_OVER_REST * strength)
    normals = vectors[sheet][:, :, 0] @ grid.direction.T
    return Sheets(
        points=grid.index_to_lps(index[sheet]),
        normals=np.asarray(normals, dtype=np.float64),
        strength=strength[sheet].astype(np.float64),
    )


def _second(image: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Second difference along an axis; zero at the ends."""
    result = np.zeros_like(image)
    moved = np.moveaxis(image, axis, 0)
    np.moveaxis(result, axis, 0)[1:-1] = moved[2:] + moved[:-2] - 2 * moved[1:-1]
    return result


def _mixed(
    image: NDArray[np.float32], index: NDArray[np.int_], a: int, b: int
) -> NDArray[np.float32]:
    last = np.array(image.shape) - 1
    total = np.zeros(len(index), dtype=np.float32)
    for sign_a in (-1, 1):
        for sign_b in (-1, 1):
            place = index.copy()
            place[:, a] += sign_a
            place[:, b] += sign_b
            place = np.clip(place, 0, last)
            total += sign_a * sign_b * image[tuple(place.T)]
    return np.asarray(total / 4, dtype=np.float32)


def fit_surface(sheets: Sheets, expected: Surface, lung: Points) -> Surface:
    """A surface through the sheets near an expected one; `expected` itself where none is seen.

    Parameters
    ----------
    sheets : Sheets
        Of one lung.
    expected : Surface
        What anatomy gives.
    lung : ndarray of shape (N, 3)
        Places all over the part of the lung that the fissure can cross, LPS mm.
    """
    best = expected
    for start in _starts(sheets, expected):
        surface = start
        for band_mm in BANDS_MM:
            surface = _refit(sheets, surface, band_mm)
        support = _support(sheets, surface, lung)
        if support > best.support:
            beside = [_support(sheets, _moved(surface, step), lung) for step in BESIDE_MM]
            best = Surface(
                centre=surface.centre,
                factors=surface.factors,
                error_mm=surface.error_mm,
                support=support,
                margin=support - max(beside),
            )
    return best if best.seen else expected


def _moved(surface: Surface, step_mm: float) -> Surface:
    factors = surface.factors.copy()
    factors[0] += step_mm * np.hypot(1.0, np.hypot(*factors[1:3]))
    return Surface(centre=surface.centre, factors=factors, error_mm=surface.error_mm)


def _starts(sheets: Sheets, expected: Surface) -> list[Surface]:
    """The best few surfaces of the expected shape, moved up and down and tilted."""
    rows = []
    reach = 1.6 * expected.error_mm
    for tilt in TILTS:
        factors = expected.factors.copy()
        factors[2] += tilt
        tilted = Surface(centre=expected.centre, factors=factors, error_mm=expected.error_mm)
        along = _along(sheets, tilted)
        heights = tilted.height_mm(sheets.points)
        bins = np.arange(-reach, reach + 2.0, 2.0)
        counts, _ = np.histogram(heights[along], bins=bins)
        smooth = ndimage.gaussian_filter1d(counts.astype(np.float64), 1.0)
        top = int(smooth.argmax())
        rows.append((float(smooth[top]), tilt, _moved(tilted, float(bins[top] + 1.0))))
    rows.sort(key=lambda row: (-row[0], row[1]))
    return [row[2] for row in rows[:4]]


def _along(sheets: Sheets, surface: Surface) -> NDArray[np.bool_]:
    """Sheets that run about as the surface does at their place."""
    x, y, _ = (sheets.points - surface.centre).T
    _, fx, fy, fxx, fxy, fyy = surface.factors
    normal = np.column_stack(
        [-(fx + 2 * fxx * x + fxy * y), -(fy + fxy * x + 2 * fyy * y), np.ones_like(x)]
    )
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    cosine = np.abs((normal * sheets.normals).sum(axis=1))
    return np.asarray(cosine >= STEEP_FROM_COS)


def _refit(sheets: Sheets, surface: Surface, band_mm: float) -> Surface:
    """Least squares through the sheets in a band, the shape held back where they are few."""
    heights = surface.height_mm(sheets.points)
    chosen = _along(sheets, surface) & (np.abs(heights) < band_mm)
    if chosen.sum() < 60:
        return surface
    x, y, z = (sheets.points[chosen] - surface.centre).T
    weight = np.minimum(sheets.strength[chosen], 60.0) * (1 - (heights[chosen] / band_mm) ** 2)
    terms = _terms(x, y)
    scale = np.array([1.0, 60.0, 60.0, 3600.0, 3600.0, 3600.0])
    design = terms / scale * np.sqrt(weight)[:, None]
    residue = (z - terms @ surface.factors) * np.sqrt(weight)
    hold = 0.01 * weight.sum() * np.diag([0.0, 0.1, 0.1, 1.0, 1.0, 1.0])
    change = np.linalg.solve(design.T @ design + hold, design.T @ residue) / scale
    fitted = Surface(centre=surface.centre, factors=surface.factors + change, error_mm=0.0)
    rest = fitted.height_mm(sheets.points[chosen])
    error_mm = float(np.sqrt(np.average(rest**2, weights=weight)))
    return Surface(
        centre=fitted.centre, factors=fitted.factors, error_mm=max(error_mm, 0.5 * GRID_MM)
    )


def _support(sheets: Sheets, surface: Surface, lung: Points) -> float:
    """Share of the surface's cells inside the lung that hold a sheet along it."""
    crossing = lung[np.abs(surface.height_mm(lung)) < ON_SURFACE_MM]
    on_it = _along(sheets, surface)
    on_it &= np.abs(surface.height_mm(sheets.points)) < ON_SURFACE_MM
    cells = {tuple(cell) for cell in np.floor(crossing[:, :2] / CELL_MM).astype(int)}
    if len(cells) < 15:
        return 0.0
    filled = {tuple(cell) for cell in np.floor(sheets.points[on_it, :2] / CELL_MM).astype(int)}
    return len(cells & filled) / len(cells)
