"""What may be wrong with the grid of a series' slices; one function per defect.

`geometry` calls them in order. Each says what, where (z of the patient, LPS) and the limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dicom_node.read.header import InstanceHeader
from dicom_node.read.mixed_series import find_two_grids
from dicom_node.read.slice_stack import (
    FARTHEST_MM,
    LATTICE_TOLERANCE_FRACTION,
    UNIT_TOLERANCE,
    Array,
    GeometryLimits,
    GeometryProblem,
    Stack,
    counted,
)


def find_lacking(headers: Sequence[InstanceHeader]) -> GeometryProblem | None:
    """Attributes without which there is no grid."""
    if not headers:
        return GeometryProblem(code="too_few_slices", why="no instance", may_improve=True)
    for header in headers:
        why = _why_no_plane(header)
        if why:
            number = "?" if header.instance_number is None else header.instance_number
            return GeometryProblem(
                code="no_geometry", why=f"{header.sop_instance_uid} (instance {number}) {why}"
            )
    return None


def _why_no_plane(header: InstanceHeader) -> str:
    for keyword, name, value in (
        ("ImagePositionPatient", "Image Position (Patient)", header.image_position_lps_mm),
        ("ImageOrientationPatient", "Image Orientation (Patient)", header.image_orientation),
        ("PixelSpacing", "Pixel Spacing", header.pixel_spacing_mm),
        ("Rows", "Rows", header.rows),
        ("Columns", "Columns", header.columns),
    ):
        if value is None:
            found = (line for line in header.problems if line.startswith(f"{keyword} "))
            return f"has no usable {name}{next((f' ({line})' for line in found), '')}"
    if (header.number_of_frames or 1) > 1:
        return f"has {header.number_of_frames} frames, only single-frame images are stacked"
    if min(header.rows or 0, header.columns or 0) <= 0:
        return f"has {header.rows} rows and {header.columns} columns"
    numbers = (
        *(header.image_position_lps_mm or ()),
        *(header.image_orientation or ()),
        *(header.pixel_spacing_mm or ()),
    )
    if not all(map(math.isfinite, numbers)):
        return "has a position, orientation or Pixel Spacing that is not finite"
    if max(map(abs, header.image_position_lps_mm or ())) > FARTHEST_MM:
        return (
            f"has Image Position (Patient) {header.image_position_lps_mm}, limit {FARTHEST_MM:g} mm"
        )
    if min(header.pixel_spacing_mm or (0.0,)) <= 0:
        return f"has Pixel Spacing {header.pixel_spacing_mm}, must be above 0"
    cosines = np.asarray(header.image_orientation, dtype=np.float64).reshape(2, 3)
    lengths = np.linalg.norm(cosines, axis=1)
    if np.any(np.abs(lengths - 1) > UNIT_TOLERANCE) or abs(cosines[0] @ cosines[1]) > (
        UNIT_TOLERANCE
    ):
        return "has an Image Orientation (Patient) that is no pair of perpendicular unit vectors"
    return ""


def find_uneven(stack: Stack, limits: GeometryLimits) -> GeometryProblem | None:
    """Holes (gaps near a multiple of the spacing) or spacing that is really unequal."""
    gaps = np.diff(stack.along)
    spacing_mm = float(np.median(gaps))
    tolerance = limits.gap_tolerance_mm(spacing_mm)
    odd = np.flatnonzero(np.abs(gaps - spacing_mm) > tolerance)
    if odd.size == 0:
        return None
    lost = _lost_slices(gaps[odd], spacing_mm, tolerance)
    worst = int(odd[np.argmax(np.abs(gaps[odd] - spacing_mm))])
    limit = (
        f"limit {spacing_mm + tolerance:.1f} mm"
        if gaps[worst] > spacing_mm
        else f"at least {spacing_mm - tolerance:.1f} mm"
    )
    where = f"slice gap {gaps[worst]:.1f} mm at z={stack.z(worst):.1f} mm, {limit}"
    if lost:
        return GeometryProblem(
            code="missing_slices",
            why=f"{counted(lost, 'slice')} missing in {counted(odd.size, 'place')}: {where}",
            may_improve=True,
        )
    two_grids = find_two_grids(stack, limits)
    if two_grids is not None:
        return two_grids
    # While a series comes in out of order, most gaps may still be twice the true spacing.
    smallest_mm = float(np.median(gaps[gaps < gaps.min() + tolerance]))
    return GeometryProblem(
        code="unequal_spacing",
        why=f"unequal spacing in {odd.size} of {counted(gaps.size, 'gap')} "
        f"({gaps.min():.2f} to {gaps.max():.2f} mm): {where}",
        may_improve=_lost_slices(gaps, smallest_mm, limits.gap_tolerance_mm(smallest_mm)) > 0,
    )


def _lost_slices(gaps: Array, spacing_mm: float, tolerance_mm: float) -> int:
    """How many slices the gaps leave out; 0 when one of them is no multiple of the spacing."""
    multiples = np.round(gaps / spacing_mm)
    limit = np.minimum(multiples * tolerance_mm, LATTICE_TOLERANCE_FRACTION * spacing_mm)
    if np.any(multiples < 1) or np.any(np.abs(gaps - multiples * spacing_mm) > limit):
        return 0
    return int((multiples - 1).sum())


def find_off_line(stack: Stack, limits: GeometryLimits) -> GeometryProblem | None:
    """Slices beside the straight line of the others: no affine describes them."""
    for residual, line in (
        (_off_line(stack), "the line of the others"),
        (_off_chord(stack), "the line from the first to the last"),
    ):
        across = residual - np.outer(residual @ stack.normal, stack.normal)
        sideways = np.linalg.norm(across, axis=1)
        worst = int(np.argmax(sideways))
        if sideways[worst] > limits.grid_error_mm:
            return GeometryProblem(
                code="mixed_series",
                why=f"slices are shifted sideways: {sideways[worst]:.1f} mm off {line} at "
                f"z={stack.z(worst):.1f} mm, limit {limits.grid_error_mm:g} mm; two "
                "reconstructions are mixed or the table moved",
            )
    return None


def _off_line(stack: Stack) -> Array:
    """Distance vectors (D, 3) of the positions from their least-squares line over `along`."""
    centred = stack.along - stack.along.mean()
    mean = stack.positions.mean(axis=0)
    off: Array = stack.positions - mean - centred[:, None] * _slope(stack)
    return off


def _off_chord(stack: Stack) -> Array:
    """Distance vectors (D, 3) from the line that an affine takes: from the first to the last."""
    share = (stack.along - stack.along[0]) / (stack.along[-1] - stack.along[0])
    way = stack.positions[-1] - stack.positions[0]
    off: Array = stack.positions - stack.positions[0] - share[:, None] * way
    return off


def _slope(stack: Stack) -> Array:
    """The way per mm along the normal, by least squares."""
    centred = stack.along - stack.along.mean()
    slope: Array = np.einsum("d,dx->x", centred, stack.positions) / float(centred @ centred)
    return slope


def find_drift(stack: Stack, limits: GeometryLimits) -> GeometryProblem | None:
    """Even-looking gaps that add up to slices away from where an even grid puts them."""
    even = np.linspace(stack.along[0], stack.along[-1], len(stack.along))
    errors = np.abs(stack.along - even)
    worst = int(np.argmax(errors))
    if errors[worst] <= limits.grid_error_mm:
        return None
    return GeometryProblem(
        code="unequal_spacing",
        why=f"unequal spacing: the slice at z={stack.z(worst):.1f} mm lies "
        f"{errors[worst]:.1f} mm off an even grid, limit {limits.grid_error_mm:g} mm",
    )


def find_tilt(stack: Stack, limits: GeometryLimits) -> list[GeometryProblem]:
    """A sheared grid (gantry tilt), or slices that are not axial."""
    problems = []
    shear_deg = shear_degrees(stack)
    if shear_deg > limits.tilt_deg:
        stated = stack.headers[0].gantry_tilt_deg
        problems.append(
            GeometryProblem(
                code="gantry_tilt",
                why=f"gantry tilt: slices are stacked {shear_deg:.1f} degrees off their normal"
                f"{'' if stated is None else f' (Gantry/Detector Tilt {stated:g})'}, "
                f"limit {limits.tilt_deg} degrees",
            )
        )
    off_axis_deg = math.degrees(math.acos(min(1.0, abs(float(stack.normal[2])))))
    if off_axis_deg > limits.axial_deg:
        problems.append(
            GeometryProblem(
                code="not_axial",
                why=f"slices lie {off_axis_deg:.0f} degrees off the axial plane, "
                f"limit {limits.axial_deg:.0f} degrees",
            )
        )
    return problems


def shear_degrees(stack: Stack) -> float:
    """Angle between the slice normal and the way from slice to slice."""
    slope = _slope(stack)
    cosine = abs(float(slope @ stack.normal)) / float(np.linalg.norm(slope))
    return math.degrees(math.acos(min(1.0, cosine)))
