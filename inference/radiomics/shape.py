"""Size and form of a mask, in 3-D and in its slice, as PyRadiomics defines them.

Here rather than from the library, which holds all distances between the points of the surface
at once: gigabytes for a nodule of 30 mm. References: IBSI reference manual, section 3.1;
Lorensen and Cline, SIGGRAPH 1987 (doi:10.1145/37402.37422).
"""

from __future__ import annotations

import contextlib
import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist
from skimage import measure

from inference.radiomics.grid import Region


def shape_3d(region: Region) -> dict[str, float]:
    """Volume, surface, diameters and ratios of the principal axes; mm, mm2, mm3.

    ``elongation`` and ``flatness`` of a single voxel are NaN. The three 2-D diameters lie in
    planes along the grid: ``slice`` across k, ``column`` across j, ``row`` across i.
    """
    corners, triangles = _surface(region.mask)
    points = corners * region.spacing_mm
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    area = float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()) / 2
    volume = abs(float((a * np.cross(b, c)).sum())) / 6
    major, minor, least = _axis_lengths(region.mask, region.spacing_mm)
    across = [_largest_within_planes(corners, region.spacing_mm, axis) for axis in range(3)]
    return {
        "shape_voxel_volume": float(region.mask.sum() * np.prod(region.spacing_mm)),
        "shape_mesh_volume": volume,
        "shape_surface_area": area,
        "shape_surface_volume_ratio": area / volume,
        "shape_sphericity": float(np.cbrt(36 * math.pi * volume**2)) / area,
        "shape_maximum_3d_diameter": _largest_distance(points),
        "shape_maximum_2d_diameter_slice": across[0],
        "shape_maximum_2d_diameter_column": across[1],
        "shape_maximum_2d_diameter_row": across[2],
        "shape_elongation": minor / major if major else math.nan,
        "shape_flatness": least / major if major else math.nan,
    }


def shape_2d(region: Region) -> dict[str, float]:
    """Area, outline, diameter and principal axes of a region of one slice; mm, mm2.

    ``elongation`` of a single pixel is NaN.
    """
    plane, spacing = region.mask[0], region.spacing_mm[1:]
    outlines = [
        outline * spacing
        for outline in measure.find_contours(np.pad(plane, 1).astype(np.float64), 0.5)
    ]
    perimeter = sum(
        float(np.linalg.norm(np.diff(outline, axis=0), axis=1).sum()) for outline in outlines
    )
    # Outlines of holes run the other way round, so their area is taken off.
    area = abs(sum(float(_signed_area(outline)) for outline in outlines))
    major, minor = _axis_lengths(plane, spacing)
    return {
        "shape2d_pixel_surface": float(plane.sum() * np.prod(spacing)),
        "shape2d_mesh_surface": area,
        "shape2d_perimeter": perimeter,
        "shape2d_perimeter_surface_ratio": perimeter / area,
        "shape2d_sphericity": 2 * math.sqrt(math.pi * area) / perimeter,
        "shape2d_maximum_diameter": _largest_distance(np.concatenate(outlines)),
        "shape2d_major_axis_length": major,
        "shape2d_minor_axis_length": minor,
        "shape2d_elongation": minor / major if major else math.nan,
    }


def _surface(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """Corners (N, 3) in voxels and triangles (M, 3) of the surface halfway between voxels.

    Of the complement: where voxels touch by an edge only, the classic cases then separate them,
    as PyRadiomics does.
    """
    outside = 1 - np.pad(mask, 1).astype(np.float32)
    corners, triangles, _, _ = measure.marching_cubes(outside, 0.5, method="lorensen")
    return corners.astype(np.float64), triangles


def _axis_lengths(mask: NDArray[np.bool_], spacing_mm: NDArray[np.float64]) -> list[float]:
    """Four standard deviations of the voxel centres along their principal axes, longest first."""
    points = np.argwhere(mask) * spacing_mm
    points -= points.mean(axis=0)
    eigenvalues = np.linalg.eigvalsh(points.T @ points / len(points))[::-1]
    return [4 * math.sqrt(max(float(value), 0.0)) for value in eigenvalues]


def _signed_area(outline: NDArray[np.float64]) -> float:
    (j, i), (next_j, next_i) = outline[:-1].T, outline[1:].T
    return float((j * next_i - next_j * i).sum()) / 2


def _largest_within_planes(
    corners: NDArray[np.float64], spacing_mm: NDArray[np.float64], axis: int
) -> float:
    """Largest distance between two corners in the same plane across an axis, mm."""
    ordered = corners[np.argsort(corners[:, axis], kind="stable")]
    starts = np.flatnonzero(np.diff(ordered[:, axis])) + 1
    flat = np.delete(ordered * spacing_mm, axis, axis=1)
    return max(_largest_distance(plane) for plane in np.split(flat, starts))


def _largest_distance(points: NDArray[np.float64]) -> float:
    """Largest distance between two of some points, in their unit; 0 for one."""
    if len(points) > 16:
        with contextlib.suppress(QhullError):  # points on one line have no hull: take them all
            points = points[ConvexHull(points).vertices]
    return float(pdist(points).max()) if len(points) > 1 else 0.0
