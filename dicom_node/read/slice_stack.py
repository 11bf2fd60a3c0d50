"""`Stack`: slices in order along their normal, with the limits and the defects of their grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_node.read.header import InstanceHeader

Array = NDArray[np.float64]

FARTHEST_MM = 1e5
"""No scanner's frame of reference reaches that far; such a number is a slip or rubbish."""
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
GRID_ERROR_MM = 0.5
"""Largest distance of a slice from where the affine puts it, sideways or along the normal:
about the size of a pixel, so that no measurement and no contour is visibly off."""
TILT_TOLERANCE_DEG = 0.5
"""Largest angle between the slice normal and the way from slice to slice: 0.5 degrees shift a
slice by 1 mm over 11 cm. Beyond it the grid is sheared, which is refused, not corrected."""
AXIAL_TOLERANCE_DEG = 30.0
"""Largest angle between the slice normal and the patient's long axis."""
MINIMUM_SLICES = 16
"""Fewer cannot hold lungs: at the largest spacing accepted they span 8 cm."""
THICK_SLICE_MM = 3.0
"""Above this nodules under 6 mm are easily missed (ACR-STR: 2.5 mm or less for screening;
LIDC-IDRI, doi 10.1118/1.3528204, took no thicker slices than 3 mm)."""
GAPPED_FACTOR = 1.05
"""Slices further apart than this many thicknesses leave tissue between them unimaged."""
LATTICE_TOLERANCE_FRACTION = 0.25
"""A gap counts as a multiple of the spacing when it is within this share of it."""
MINIMUM_GRID_SLICES = 3
"""The fewest slices that show a spacing of their own."""
WHERE_AT_MOST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometryLimits:
    """The limits of a grid that is taken; the constants of this module say why."""

    spacing_jitter_mm: float = SPACING_JITTER_MM
    spacing_jitter_fraction: float = SPACING_JITTER_FRACTION
    grid_error_mm: float = GRID_ERROR_MM
    tilt_deg: float = TILT_TOLERANCE_DEG
    axial_deg: float = AXIAL_TOLERANCE_DEG
    minimum_slices: int = MINIMUM_SLICES
    thick_slice_mm: float = THICK_SLICE_MM

    def gap_tolerance_mm(self, spacing_mm: float) -> float:
        """How far one gap may be from the spacing."""
        return max(self.spacing_jitter_mm, self.spacing_jitter_fraction * spacing_mm)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometryProblem:
    """One defect of a series' geometry; `may_improve` when late instances could mend it."""

    code: str
    why: str
    may_improve: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Slices ordered along their normal.

    Attributes
    ----------
    headers : tuple of InstanceHeader
    positions : ndarray of shape (D, 3)
        Image Position (Patient), LPS mm.
    along : ndarray of shape (D,)
        Their projection on the normal, mm, ascending.
    normal : ndarray of shape (3,)
        Row direction x column direction.
    """

    headers: tuple[InstanceHeader, ...]
    positions: Array
    along: Array
    normal: Array

    def z(self, index: int) -> float:
        """Where a slice begins on the patient's long axis, LPS mm."""
        return float(self.positions[index, 2])


def counted(number: int, noun: str) -> str:
    """``1 slice``, ``2 slices``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
