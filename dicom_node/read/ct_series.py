"""`CtSeries`: the decoded, geometry-checked CT series that leaves the DICOM edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class CtSeries:
    """One axial CT series as a regular grid in HU.

    Attributes
    ----------
    hu : ndarray of shape (D, H, W), dtype int16
        HU after the modality transform; axes are slice, row, column (``k j i``).
        Slices ascend along the slice normal (``row x column`` direction), whatever order
        they were sent in.
    affine : ndarray of shape (4, 4), dtype float64
        Maps homogeneous ``(k, j, i, 1)`` of voxel centres to LPS millimetres
        (PS3.3 C.7.6.2.1.1). Column 0 is the step from slice to slice, column 1 the step
        from row to row, column 2 the step from column to column.
    headers : tuple of Dataset
        One data set per slice in the order of `hu`, without Pixel Data.
    warnings : tuple of str
        What a reader of the result should know (thick slices, odd spacing, lossy ...).
    """

    hu: NDArray[np.int16]
    affine: NDArray[np.float64]
    headers: tuple[Dataset, ...]
    warnings: tuple[str, ...] = ()

    @property
    def study_instance_uid(self) -> str:
        """Study Instance UID (0020,000D)."""
        return str(self.headers[0].StudyInstanceUID)

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID (0020,000E)."""
        return str(self.headers[0].SeriesInstanceUID)

    @property
    def sop_instance_uids(self) -> tuple[str, ...]:
        """SOP Instance UIDs in the order of `hu`'s slices."""
        return tuple(str(header.SOPInstanceUID) for header in self.headers)
