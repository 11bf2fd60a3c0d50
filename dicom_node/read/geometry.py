"""The grid that a series' slices form, or why they form none.

Works on headers alone. Every defect has a constant code and says what, where and the limit;
`may_improve` tells whether late instances could still mend it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_node.read.header import InstanceHeader

SAME_POSITION_MM = 0.01
"""Slices closer than this lie at one position; DS values carry rounding of about 1e-4 mm."""
ORIENTATION_TOLERANCE = 1e-3
"""Largest difference of direction cosines within a series (0.06 degrees)."""
UNIT_TOLERANCE = 1e-2
"""Largest error of a direction cosine's length, and of the right angle between the two."""
PIXEL_SPACING_TOLERANCE_MM = 1e-3
SPACING_JITTER_MM = 0.1
"""Largest deviation of one slice gap from the series' own: scanners report positions of the
table, whose rounding was seen to reach some hundredths of a millimetre."""
SPACING_JITTER_FRACTION = 0.02
TILT_TOLERANCE_DEG = 0.5
"""Largest angle between the slice normal and the way from slice to slice: 0.5 degrees shift a
slice by 1 mm over 11 cm. Beyond it the grid is sheared, which is refused, not corrected."""
AXIAL_TOLERANCE_DEG = 30.0
"""Largest angle between the slice normal and the patient's long axis."""
MINIMUM_SLICES = 16
"""Fewer cannot hold lungs: at the largest spacing accepted they span 8 cm."""
THICK_SLICE_MM = 3.0
"""Above this nodules under 6 mm are easily missed (ACR-STR: 2.5 mm or less for screening)."""
WHERE_AT_MOST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometryProblem:
    """One defect of a series' geometry."""

    code: str
    why: str
    may_improve: bool = False


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
    problems : tuple of GeometryProblem
        Empty when the series can be analysed as it is.
    warnings : tuple of str
        What limits a result.
    """

    sop_instance_uids: tuple[str, ...] = ()
    affine: NDArray[np.float64] | None = None
    spacing_mm: float | None = None
    extent_mm: float = 0.0
    problems: tuple[GeometryProblem, ...] = ()
    warnings: tuple[str, ...] = ()


def check_geometry(headers: Sequence[InstanceHeader]) -> SeriesGeometry:
    """Check the grid of a series.

    Parameters
    ----------
    headers : sequence of InstanceHeader
        In any order.

    References
    ----------
    PS3.3 C.7.6.2.1.1 (Image Position and Orientation), C.8.2.1 (gantry tilt).
    """
    early = _lacking(headers) or _mixed(headers)
    if early is not None:
        return SeriesGeometry(problems=(early,))
    first = headers[0]
    row, column = _directions(first)
    normal = np.cross(row, column)
    positions = np.array([header.image_position_lps_mm for header in headers], dtype=np.float64)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    along, positions = along[order], positions[order]
    uids = tuple(headers[int(index)].sop_instance_uid for index in order)

    repeated = _repeated(headers, along)
    if repeated is not None:
        return SeriesGeometry(sop_instance_uids=uids, problems=(repeated,))
    problems: list[GeometryProblem] = []
    if len(headers) < MINIMUM_SLICES:
        problems.append(
            GeometryProblem(
                code="too_few_slices",
                why=f"{len(headers)} slices, at least {MINIMUM_SLICES} are needed",
                may_improve=True,
            )
        )
    if len(headers) < 2:
        return SeriesGeometry(sop_instance_uids=uids, problems=tuple(problems))
    gaps = np.diff(along)
    spacing_mm = float(np.median(gaps))
    uneven = _uneven(gaps, spacing_mm, along)
    if uneven is not None:
        problems.append(uneven)
    step = (positions[-1] - positions[0]) / (along[-1] - along[0])
    problems += _tilted(first, normal, step)
    regular = not any(problem.code == "unequal_spacing" for problem in problems)
    return SeriesGeometry(
        sop_instance_uids=uids,
        affine=_affine(first, positions, row, column) if regular else None,
        spacing_mm=spacing_mm,
        extent_mm=float(along[-1] - along[0]),
        problems=tuple(problems),
        warnings=_warnings(first, spacing_mm),
    )


def _directions(header: InstanceHeader) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along a row (growing column index) and along a column; LPS."""
    cosines = np.asarray(header.image_orientation, dtype=np.float64)
    row, column = cosines[:3], cosines[3:]
    return row / np.linalg.norm(row), column / np.linalg.norm(column)


def _affine(
    header: InstanceHeader,
    positions: NDArray[np.float64],
    row: NDArray[np.float64],
    column: NDArray[np.float64],
) -> NDArray[np.float64]:
    between_rows_mm, between_columns_mm = header.pixel_spacing_mm or (1.0, 1.0)
    affine = np.eye(4)
    affine[:3, 0] = (positions[-1] - positions[0]) / (len(positions) - 1)
    affine[:3, 1] = column * between_rows_mm
    affine[:3, 2] = row * between_columns_mm
    affine[:3, 3] = positions[0]
    return affine


def _lacking(headers: Sequence[InstanceHeader]) -> GeometryProblem | None:
    """Attributes without which there is no grid."""
    if not headers:
        return GeometryProblem(code="too_few_slices", why="no instance", may_improve=True)
    for header in headers:
        for name, value in (
            ("Image Position (Patient)", header.image_position_lps_mm),
            ("Image Orientation (Patient)", header.image_orientation),
            ("Pixel Spacing", header.pixel_spacing_mm),
            ("Rows", header.rows),
            ("Columns", header.columns),
        ):
            if value is None:
                return GeometryProblem(
                    code="no_geometry",
                    why=f"{header.sop_instance_uid} has no usable {name}",
                )
        spacing = header.pixel_spacing_mm or ()
        if min(spacing) <= 0 or not all(math.isfinite(item) for item in spacing):
            return GeometryProblem(
                code="no_geometry",
                why=f"{header.sop_instance_uid} has Pixel Spacing {spacing}, must be above 0",
            )
        cosines = np.asarray(header.image_orientation, dtype=np.float64).reshape(2, 3)
        lengths = np.linalg.norm(cosines, axis=1)
        skew = abs(float(cosines[0] @ cosines[1]))
        if np.any(np.abs(lengths - 1) > UNIT_TOLERANCE) or skew > UNIT_TOLERANCE:
            return GeometryProblem(
                code="no_geometry",
                why=f"{header.sop_instance_uid}: Image Orientation (Patient) is no pair of "
                "perpendicular unit vectors",
            )
    return None


def _mixed(headers: Sequence[InstanceHeader]) -> GeometryProblem | None:
    """Instances of different grids under one Series Instance UID."""
    first = headers[0]
    aspects: tuple[tuple[str, Callable[[InstanceHeader], object]], ...] = (
        ("matrix", lambda header: (header.rows, header.columns)),
        ("Frame of Reference UID", lambda header: header.frame_of_reference_uid),
        ("Convolution Kernel", lambda header: header.convolution_kernel),
        ("Samples per Pixel", lambda header: header.samples_per_pixel),
    )
    for name, aspect in aspects:
        counts = Counter(aspect(header) for header in headers)
        if len(counts) > 1:
            return _mixed_problem(name, [f"{value} ({n})" for value, n in counts.most_common()])
    for name, values, tolerance in (
        ("orientation", [header.image_orientation for header in headers], ORIENTATION_TOLERANCE),
        (
            "Pixel Spacing",
            [header.pixel_spacing_mm for header in headers],
            PIXEL_SPACING_TOLERANCE_MM,
        ),
    ):
        array = np.asarray(values, dtype=np.float64)
        differing = np.abs(array - array[0]).max(axis=1) > tolerance
        if differing.any():
            other = headers[int(np.argmax(differing))]
            difference = (
                f"{first.sop_instance_uid} and {other.sop_instance_uid} differ, "
                f"{int(differing.sum())} of {len(headers)} instances in all"
            )
            return _mixed_problem(name, [difference])
    return None


def _mixed_problem(name: str, values: Sequence[str]) -> GeometryProblem:
    return GeometryProblem(
        code="mixed_series",
        why=f"two series mixed under one Series Instance UID: {name} {', '.join(values)}",
    )


def _repeated(
    headers: Sequence[InstanceHeader], along: NDArray[np.float64]
) -> GeometryProblem | None:
    """Several images at one position: a time series, two acquisitions, or duplicates."""
    groups: dict[int, int] = defaultdict(int)
    group = 0
    for index, position in enumerate(along):
        if index and position - along[index - 1] > SAME_POSITION_MM:
            group += 1
        groups[group] += 1
    repeats = [count for count in groups.values() if count > 1]
    if not repeats:
        return None
    where = ", ".join(
        f"{along[index]:.1f}"
        for index in range(1, len(along))
        if along[index] - along[index - 1] <= SAME_POSITION_MM
    ).split(", ")
    counts = set(groups.values())
    if len(counts) == 1 and len(groups) > 1:
        times = counts.pop()
        phases = {header.temporal_position for header in headers} - {None}
        acquisitions = {header.acquisition_number for header in headers} - {None}
        what = (
            f"{len(phases)} temporal positions"
            if len(phases) > 1
            else f"{len(acquisitions)} acquisitions"
            if len(acquisitions) > 1
            else f"{times} images"
        )
        return GeometryProblem(
            code="temporal_4d",
            why=f"{what} at each of {len(groups)} positions: a 4-D or repeated series has no "
            "single volume; route one phase as a series of its own",
        )
    shown = ", ".join(where[:WHERE_AT_MOST])
    return GeometryProblem(
        code="duplicate_slices",
        why=f"{len(repeats)} positions hold several images with different UIDs, along the normal "
        f"at {shown}{' ...' if len(where) > WHERE_AT_MOST else ''} mm",
    )


def _uneven(
    gaps: NDArray[np.float64], spacing_mm: float, along: NDArray[np.float64]
) -> GeometryProblem | None:
    """Holes (gaps near a multiple of the spacing) or spacing that is really unequal."""
    tolerance = max(SPACING_JITTER_MM, SPACING_JITTER_FRACTION * spacing_mm)
    odd = np.flatnonzero(np.abs(gaps - spacing_mm) > tolerance)
    if odd.size == 0:
        return None
    multiples = np.round(gaps[odd] / spacing_mm)
    is_hole = (multiples >= 2) & (
        np.abs(gaps[odd] - multiples * spacing_mm) <= multiples * tolerance
    )
    worst = int(odd[np.argmax(np.abs(gaps[odd] - spacing_mm))])
    where = (
        f"slice gap {gaps[worst]:.1f} mm at {along[worst]:.1f} mm along the normal, "
        f"limit {spacing_mm + tolerance:.1f} mm"
    )
    if bool(is_hole.all()):
        lost = int((multiples - 1).sum())
        return GeometryProblem(
            code="missing_slices",
            why=f"{lost} slices missing in {odd.size} places: {where}",
            may_improve=True,
        )
    return GeometryProblem(
        code="unequal_spacing",
        why=f"unequal spacing in {odd.size} of {gaps.size} places "
        f"({gaps.min():.2f} to {gaps.max():.2f} mm): {where}",
        may_improve=bool(is_hole.any()),
    )


def _tilted(
    header: InstanceHeader, normal: NDArray[np.float64], step: NDArray[np.float64]
) -> list[GeometryProblem]:
    """A sheared grid (gantry tilt), or slices that are not axial."""
    problems = []
    cosine = float(step @ normal) / float(np.linalg.norm(step))
    shear_deg = math.degrees(math.acos(min(1.0, abs(cosine))))
    if shear_deg > TILT_TOLERANCE_DEG:
        stated = header.gantry_tilt_deg
        problems.append(
            GeometryProblem(
                code="gantry_tilt",
                why=f"gantry tilt: slices are stacked {shear_deg:.1f} degrees off their normal"
                f"{'' if stated is None else f' (Gantry/Detector Tilt {stated:g})'}, "
                f"limit {TILT_TOLERANCE_DEG} degrees",
            )
        )
    off_axis_deg = math.degrees(math.acos(min(1.0, abs(float(normal[2])))))
    if off_axis_deg > AXIAL_TOLERANCE_DEG:
        problems.append(
            GeometryProblem(
                code="not_axial",
                why=f"slices lie {off_axis_deg:.0f} degrees off the axial plane, "
                f"limit {AXIAL_TOLERANCE_DEG:.0f} degrees",
            )
        )
    return problems


def _warnings(header: InstanceHeader, spacing_mm: float) -> tuple[str, ...]:
    warnings = []
    thickness_mm = header.slice_thickness_mm
    if max(spacing_mm, thickness_mm or 0.0) > THICK_SLICE_MM:
        warnings.append(
            f"slices every {spacing_mm:g} mm"
            f"{'' if thickness_mm is None else f', {thickness_mm:g} mm thick'}: "
            "small nodules may be missed and measurements along the body are coarse"
        )
    if thickness_mm is not None and spacing_mm > 1.05 * thickness_mm + SPACING_JITTER_MM:
        warnings.append(
            f"slices {thickness_mm:g} mm thick every {spacing_mm:g} mm: tissue between them "
            "was not imaged"
        )
    return tuple(warnings)
