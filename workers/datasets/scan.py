"""`AnnotatedScan`: a CT with the nodules that people marked in it, whatever format it came in.

A scan that cannot be used becomes a `BrokenScan` with its reason, so that one bad scan of a
thousand stops nothing; `workers.datasets.source` counts them. Volumes are read only when asked
for: a data set does not fit into memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inference.volume import Volume

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedMask:
    """A mask with its own place in the patient.

    Attributes
    ----------
    mask : ndarray of shape (D, H, W), dtype bool
        A box of the CT's grid: slice, row, column.
    affine : ndarray of shape (4, 4)
        Voxel centres (k, j, i, 1) of the box to LPS mm.
    """

    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]

    @property
    def volume_mm3(self) -> float:
        """Of all voxels of the mask."""
        return float(self.mask.sum() * abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def diameter_mm(self) -> float:
        """Of the ball of equal volume."""
        return float((6.0 * self.volume_mm3 / np.pi) ** (1 / 3))

    @property
    def centroid_lps_mm(self) -> Point:
        """Mean of the voxel centres, LPS mm."""
        index = np.argwhere(self.mask).mean(axis=0)
        x, y, z = self.affine[:3, :3] @ index + self.affine[:3, 3]
        return float(x), float(y), float(z)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedNodule:
    """A nodule that somebody marked.

    Attributes
    ----------
    centre_lps_mm : tuple of float
        Centroid of `mask` where there is one.
    diameter_mm : float
        Of the ball of equal volume where there is a mask; else as the source gives it.
    readers : int, optional
        How many marked it; `None` where the source does not say, and then it always counts.
    kind : str
        ``solid``, ``part-solid``, ``ground-glass``, ``calcified`` or ``unknown``.
    ratings : mapping
        Mean over the readers of each of LIDC's characteristics, by its name there.
    measurements : mapping
        What a report measured, by name with unit (``mean_diameter_mm``).
    mask : PlacedMask, optional
        Consensus of the readers, or the segment.
    """

    identifier: str
    centre_lps_mm: Point
    diameter_mm: float
    readers: int | None = None
    kind: str = "unknown"
    ratings: Mapping[str, float] = field(default_factory=dict)
    measurements: Mapping[str, float] = field(default_factory=dict)
    mask: PlacedMask | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherMark:
    """A place that counts neither as a nodule nor as a mistake when a detector is measured.

    ``small``: a nodule under 3 mm. ``non-nodule``: readers saw it and said that it is none.
    ``excluded``: the source says to leave it aside.
    """

    centre_lps_mm: Point
    radius_mm: float
    kind: Literal["small", "non-nodule", "excluded"]


def _no_points() -> NDArray[np.float64]:
    return np.zeros((0, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedScan:
    """A CT series and what was marked in it.

    Attributes
    ----------
    identifier : str
        Series Instance UID.
    patient_id : str
        What splits go by. Where the format names no patient, the identifier.
    source : Path
        File or folder, for messages.
    nodules : tuple of AnnotatedNodule
        All of them, by however many readers.
    other_marks : tuple of OtherMark
        See there.
    negatives_lps_mm : ndarray of shape (N, 3)
        Places known to be no nodule that look like one.
    read_volume : callable
        Reads and decodes the CT; raises what the reader of its format raises.
    """

    identifier: str
    patient_id: str
    source: Path
    nodules: tuple[AnnotatedNodule, ...]
    other_marks: tuple[OtherMark, ...] = ()
    negatives_lps_mm: NDArray[np.float64] = field(default_factory=_no_points)
    read_volume: Callable[[], Volume] = field(repr=False)

    def split_by_readers(
        self, at_least: int
    ) -> tuple[tuple[AnnotatedNodule, ...], tuple[AnnotatedNodule, ...]]:
        """Nodules that count, and those marked by too few readers to be right or wrong."""
        counted = tuple(
            item for item in self.nodules if item.readers is None or item.readers >= at_least
        )
        return counted, tuple(item for item in self.nodules if item not in counted)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenScan:
    """A scan that cannot be used, and why; the rest of the data set goes on."""

    source: str
    why: str
