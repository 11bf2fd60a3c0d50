"""How large and of what shape an outlined nodule is, from its mask alone: no pixels are needed.

Lengths, areas and volumes are in mm. Masks are (D, H, W) = slice, row, column. Columns stay NaN
where a mask is too small for them, never guessed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist
from skimage import measure

SMOOTHING_MM = 0.6
"""Of the mask before its surface is triangulated: a staircase has far too much surface."""
LEVEL = 0.5
ANGLES = 128
BANDS = {"2_3": (2, 3), "4_8": (4, 8), "9_32": (9, 32)}
"""Harmonics of the radius: oval, lobulated, spiculated."""
ROI = (
    "roi_area_mm2", "roi_perimeter_mm", "roi_circularity", "roi_solidity", "roi_radial_cv",
    *(f"roi_rad_pow_{name}" for name in BANDS),
    "axial_long_mm", "axial_short_mm", "axial_mean_diam_mm", "axial_aspect",
    "bbox_y_mm", "bbox_x_mm",
)  # fmt: skip
"""Columns of one slice: outline of the largest, axes of the longest."""
VOI = (
    "volume_mm3", "eff_diameter_mm", "z_extent_mm", "n_slices", "area_ratio_mean_max",
    "major_axis_mm", "minor_axis_mm", "least_axis_mm", "elongation", "flatness",
    "surface_mm2", "surface_volume_ratio", "sphericity3d", "solidity3d", "max3d_diam_mm",
    "hull_surface_ratio", "radial_cv3d", "radial_p95_p50", "n_components",
)  # fmt: skip
"""Columns of the whole mask."""

Shape = dict[str, float]


def measure_mask(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> Shape:
    """Every column of `ROI` and `VOI`.

    Parameters
    ----------
    mask : ndarray of shape (D, H, W), dtype bool
        At least one voxel.
    spacing_mm : tuple of float
        Of slices, rows, columns; rows and columns alike.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    if not mask.any():
        raise ValueError("an empty mask has no shape")
    return _roi(mask, spacing_mm[1]) | _voi(mask, np.array(spacing_mm))


def _roi(mask: NDArray[np.bool_], pixel_mm: float) -> Shape:
    areas = mask.sum(axis=(1, 2))
    largest = int(areas.argmax())
    outlines = {
        k: _outline(mask[k]) * pixel_mm for k in range(len(mask)) if areas[k]
    }  # slice -> (P, 2)
    long_mm, short_mm = max(_axes(outline) for outline in outlines.values())
    outline = outlines[largest]
    area_mm2 = float(areas[largest]) * pixel_mm**2
    perimeter_mm = float(np.linalg.norm(np.diff(outline, axis=0), axis=1).sum())
    pixels = np.argwhere(mask[largest]) * pixel_mm
    corners = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]) * pixel_mm
    hull = ConvexHull((pixels[:, None] + corners).reshape(-1, 2))
    # The outlines begin one pixel outside of the mask: they were padded.
    centre = pixels.mean(axis=0) + pixel_mm
    spread = np.ptp(np.argwhere(mask)[:, 1:], axis=0) + 1
    return {
        "roi_area_mm2": area_mm2,
        "roi_perimeter_mm": perimeter_mm,
        "roi_circularity": 4 * np.pi * area_mm2 / perimeter_mm**2,
        "roi_solidity": area_mm2 / float(hull.volume),
        **_radial(outline - centre),
        "axial_long_mm": long_mm,
        "axial_short_mm": short_mm,
        "axial_mean_diam_mm": (long_mm + short_mm) / 2,
        "axial_aspect": short_mm / long_mm,
        "bbox_y_mm": float(spread[0]) * pixel_mm,
        "bbox_x_mm": float(spread[1]) * pixel_mm,
    }


def _outline(slice_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The longest outline of a slice, halfway between inside and outside, shape (P, 2), pixels."""
    found = measure.find_contours(np.pad(slice_mask, 1).astype(np.float64), LEVEL)
    return np.asarray(max(found, key=len))


def _axes(outline: NDArray[np.float64]) -> tuple[float, float]:
    """Long axis, and how wide the outline is across it, mm."""
    distance = pdist(outline)
    farthest = int(distance.argmax())
    first, second = np.triu_indices(len(outline), 1)
    along = (outline[first[farthest]] - outline[second[farthest]]) / distance[farthest]
    across = outline @ np.array([-along[1], along[0]])
    return float(distance[farthest]), float(np.ptp(across))


def _radial(around: NDArray[np.float64]) -> Shape:
    """How the radius varies with the angle: as a whole, and by harmonics."""
    angle, radius = np.arctan2(around[:, 0], around[:, 1]), np.linalg.norm(around, axis=1)
    order = np.argsort(angle)
    steps = np.linspace(-np.pi, np.pi, ANGLES, endpoint=False)
    radius = np.interp(steps, angle[order], radius[order], period=2 * np.pi)
    power = np.abs(np.fft.rfft(radius / radius.mean())) / ANGLES
    bands = {
        f"roi_rad_pow_{name}": float(np.sqrt((power[low : high + 1] ** 2).sum()))
        for name, (low, high) in BANDS.items()
    }
    return {"roi_radial_cv": float(radius.std() / radius.mean()), **bands}


def _voi(mask: NDArray[np.bool_], spacing_mm: NDArray[np.float64]) -> Shape:
    index = np.argwhere(mask)
    points = index * spacing_mm
    volume_mm3 = len(index) * float(np.prod(spacing_mm))
    areas = mask.sum(axis=(1, 2))
    areas = areas[areas > 0]
    # A voxel is a box, not a point: its own extent counts, so that one slice has a thickness.
    covariance = np.cov(points.T, bias=True) if len(points) > 1 else np.zeros((3, 3))
    variance = np.linalg.eigvalsh(covariance + np.diag(spacing_mm**2) / 12)[::-1]
    major, minor, least = (float(value) for value in 4 * np.sqrt(variance))
    return {
        "volume_mm3": volume_mm3,
        "eff_diameter_mm": float((6 * volume_mm3 / np.pi) ** (1 / 3)),
        "z_extent_mm": len(areas) * float(spacing_mm[0]),
        "n_slices": float(len(areas)),
        "area_ratio_mean_max": float(areas.mean() / areas.max()),
        "major_axis_mm": major,
        "minor_axis_mm": minor,
        "least_axis_mm": least,
        "elongation": minor / major,
        "flatness": least / major,
        **_surface(mask, spacing_mm, points.mean(axis=0)),
        "n_components": float(ndimage.label(mask, np.ones((3, 3, 3)))[1]),
    }


def _surface(
    mask: NDArray[np.bool_], spacing_mm: NDArray[np.float64], centre_mm: NDArray[np.float64]
) -> Shape:
    pad = 4
    box = np.pad(mask, pad).astype(np.float64)
    smooth = ndimage.gaussian_filter(box, SMOOTHING_MM / spacing_mm)
    if smooth.max() <= LEVEL:
        smooth = box  # smaller than the smoothing
    vertices, faces, _, _ = measure.marching_cubes(smooth, LEVEL, spacing=tuple(spacing_mm))
    corners = vertices[faces].astype(np.float64)  # (F, 3, 3)
    surface_mm2 = float(measure.mesh_surface_area(vertices, faces))
    normal = np.cross(corners[:, 1], corners[:, 2])
    volume_mm3 = abs(float(np.einsum("fi,fi->", corners[:, 0], normal))) / 6
    radius = np.linalg.norm(vertices - pad * spacing_mm - centre_mm, axis=1)
    try:
        hull = ConvexHull(vertices)
    except QhullError:
        return _sphericity(surface_mm2, volume_mm3)
    return {
        **_sphericity(surface_mm2, volume_mm3),
        "solidity3d": volume_mm3 / float(hull.volume),
        "max3d_diam_mm": float(pdist(vertices[hull.vertices]).max()),
        "hull_surface_ratio": float(hull.area) / surface_mm2,
        "radial_cv3d": float(radius.std() / radius.mean()),
        "radial_p95_p50": float(np.percentile(radius, 95) / np.percentile(radius, 50)),
    }


def _sphericity(surface_mm2: float, volume_mm3: float) -> Shape:
    return {
        "surface_mm2": surface_mm2,
        "surface_volume_ratio": surface_mm2 / volume_mm3,
        "sphericity3d": float(np.pi ** (1 / 3) * (6 * volume_mm3) ** (2 / 3) / surface_mm2),
    }
