"""The grid that a series' slices form, or why they form none.

Works on headers alone. Every defect has a constant code and says what, where and the limit;
`may_improve` tells whether late instances could still mend it. A tilted gantry is refused
rather than resampled: the affine of a `CtSeries` then always says where its voxels are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dicom_node.read.grid_defects import (
    find_drift,
    find_lacking,
    find_off_line,
    find_tilt,
    find_uneven,
    shear_degrees,
)
from dicom_node.read.header import InstanceHeader
from dicom_node.read.mixed_series import find_interleaved, find_mixed, find_repeated
from dicom_node.read.slice_stack import (
    GAPPED_FACTOR,
    SPACING_JITTER_MM,
    TILT_TOLERANCE_DEG,
    GeometryLimits,
    GeometryProblem,
    Stack,
    counted,
)

__all__ = [
    "DEFAULT_LIMITS",
    "TILT_TOLERANCE_DEG",
    "GeometryLimits",
    "GeometryProblem",
    "SeriesGeometry",
    "check_geometry",
    "longest_run",
]

DEFAULT_LIMITS = GeometryLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesGeometry:
    """What the headers say of the grid.

    Attributes
    ----------
    sop_instance_uids : tuple of str
        Ascending along the slice normal; empty when the slices could not be ordered.
    affine : ndarray of shape (4, 4) or None
        Voxel centres (k, j, i, 1) to LPS mm; `None` when there is no regular grid.
    spacing_mm : float or None
        Between neighbouring slices (median).
    extent_mm : float
        From the first to the last slice's centre.
    grid_error_mm : float
        Largest distance of a slice from where `affine` puts it (holes make it large).
    problems : tuple of GeometryProblem
        Empty when the series can be analysed as it is.
    warnings : tuple of str
        What limits a result.
    """

    sop_instance_uids: tuple[str, ...] = ()
    affine: NDArray[np.float64] | None = None
    spacing_mm: float | None = None
    extent_mm: float = 0.0
    grid_error_mm: float = 0.0
    problems: tuple[GeometryProblem, ...] = ()
    warnings: tuple[str, ...] = ()


def check_geometry(
    headers: Sequence[InstanceHeader], *, limits: GeometryLimits = DEFAULT_LIMITS
) -> SeriesGeometry:
    """Check the grid of a series.

    Parameters
    ----------
    headers : sequence of InstanceHeader
        In any order; an instance that is given twice counts once.
    limits : GeometryLimits
        What is still taken as regular.

    References
    ----------
    PS3.3 C.7.6.2.1.1 (Image Position and Orientation), C.8.2.1 (gantry tilt).
    """
    headers = list({header.sop_instance_uid: header for header in headers}.values())
    early = find_lacking(headers) or find_mixed(headers)
    if early is not None:
        return SeriesGeometry(problems=(early,))
    stack = _stack(headers)
    uids = tuple(header.sop_instance_uid for header in stack.headers)
    problems: list[GeometryProblem] = []
    if len(headers) < limits.minimum_slices:
        problems.append(
            GeometryProblem(
                code="too_few_slices",
                why=f"{counted(len(headers), 'slice')}, at least {limits.minimum_slices} "
                "are needed",
                may_improve=True,
            )
        )
    if len(headers) < 2:
        return SeriesGeometry(sop_instance_uids=uids, problems=tuple(problems))
    overlaid = find_repeated(stack) or find_interleaved(stack)
    if overlaid is not None:
        return SeriesGeometry(sop_instance_uids=uids, problems=(overlaid,))
    uneven = find_uneven(stack, limits)
    uneven = uneven or find_drift(stack, limits)
    off_line = find_off_line(stack, limits)
    problems += [problem for problem in (uneven, off_line) if problem is not None]
    if off_line is None:
        problems += find_tilt(stack, limits)
    codes = {problem.code for problem in problems}
    affine = None if codes & {"unequal_spacing", "mixed_series"} else _affine(stack)
    spacing_mm = float(np.median(np.diff(stack.along)))
    return SeriesGeometry(
        sop_instance_uids=uids,
        affine=affine,
        spacing_mm=spacing_mm,
        extent_mm=float(stack.along[-1] - stack.along[0]),
        grid_error_mm=0.0 if affine is None else _grid_error_mm(stack, affine),
        problems=tuple(problems),
        warnings=_warnings(stack, spacing_mm, limits),
    )


def longest_run(
    headers: Sequence[InstanceHeader], *, limits: GeometryLimits = DEFAULT_LIMITS
) -> tuple[InstanceHeader, ...]:
    """The longest part of a series without a hole, ascending along the normal.

    Parameters
    ----------
    headers : sequence of InstanceHeader
        Of a series whose only defect is ``missing_slices``.
    limits : GeometryLimits
        As for `check_geometry`.
    """
    stack = _stack(headers)
    gaps = np.diff(stack.along)
    spacing_mm = float(np.median(gaps))
    breaks = np.flatnonzero(gaps > spacing_mm + limits.gap_tolerance_mm(spacing_mm)) + 1
    edges = [0, *breaks.tolist(), len(stack.headers)]
    runs = [stack.headers[a:b] for a, b in pairwise(edges)]
    return max(runs, key=len)


def _directions(
    header: InstanceHeader,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along a row (growing column index), along a column, and normal; LPS."""
    cosines = np.asarray(header.image_orientation, dtype=np.float64)
    row, column = cosines[:3], cosines[3:]
    row, column = row / np.linalg.norm(row), column / np.linalg.norm(column)
    normal = np.cross(row, column)
    return row, column, normal / np.linalg.norm(normal)


def _stack(headers: Sequence[InstanceHeader]) -> Stack:
    """Order slices along the normal, the same way whatever order they came in."""
    headers = sorted(headers, key=lambda header: header.sop_instance_uid)
    normal = _directions(headers[0])[2]
    positions = np.array([header.image_position_lps_mm for header in headers], dtype=np.float64)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    return Stack(
        headers=tuple(headers[int(index)] for index in order),
        positions=positions[order],
        along=along[order],
        normal=normal,
    )


def _affine(stack: Stack) -> NDArray[np.float64]:
    first = stack.headers[0]
    row, column, _ = _directions(first)
    between_rows_mm, between_columns_mm = first.pixel_spacing_mm or (1.0, 1.0)
    affine = np.eye(4)
    affine[:3, 0] = (stack.positions[-1] - stack.positions[0]) / (len(stack.positions) - 1)
    affine[:3, 1] = column * between_rows_mm
    affine[:3, 2] = row * between_columns_mm
    affine[:3, 3] = stack.positions[0]
    return affine


def _grid_error_mm(stack: Stack, affine: NDArray[np.float64]) -> float:
    steps = np.arange(len(stack.positions))[:, None]
    errors = stack.positions - (affine[:3, 3] + steps * affine[:3, 0])
    return float(np.linalg.norm(errors, axis=1).max())


def _warnings(stack: Stack, spacing_mm: float, limits: GeometryLimits) -> tuple[str, ...]:
    warnings = []
    thickness_mm = max((header.slice_thickness_mm or 0.0 for header in stack.headers), default=0.0)
    stated = f", {thickness_mm:g} mm thick" if thickness_mm else ""
    if max(spacing_mm, thickness_mm) > limits.thick_slice_mm:
        warnings.append(
            f"slices every {spacing_mm:g} mm{stated}: "
            "small nodules may be missed and measurements along the body are coarse"
        )
    if thickness_mm and spacing_mm > GAPPED_FACTOR * thickness_mm + SPACING_JITTER_MM:
        warnings.append(
            f"slices {thickness_mm:g} mm thick every {spacing_mm:g} mm: tissue between them "
            "was not imaged"
        )
    tilt_deg = stack.headers[0].gantry_tilt_deg or 0.0
    if abs(tilt_deg) > limits.tilt_deg >= shear_degrees(stack):
        warnings.append(
            f"Gantry/Detector Tilt is {tilt_deg:g} degrees, yet the slices are stacked straight: "
            "they were corrected, or one of the two is wrong"
        )
    return tuple(warnings)
