"""`Volume`: a CT in HU with its place in the patient.

Arrays are ``(D, H, W)`` = slice, row, column = ``k j i``. Points in the patient are LPS
millimetres. Nothing here resamples; see `inference.resample`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A regular CT grid.

    Attributes
    ----------
    hu : ndarray of shape (D, H, W), dtype int16
        Radiodensity in HU.
    affine : ndarray of shape (4, 4), dtype float64
        Homogeneous map from ``(k, j, i, 1)`` of voxel centres to LPS mm.
    """

    hu: NDArray[np.int16]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Refuse what is not a grid.

        Raises
        ------
        ValueError
            If `hu` is not 3-D, or `affine` is not an invertible (4, 4) matrix.
        """
        if self.hu.ndim != 3:
            raise ValueError(f"hu has {self.hu.ndim} axes, wanted 3 (D, H, W)")
        if self.affine.shape != (4, 4):
            raise ValueError(f"affine has shape {self.affine.shape}, wanted (4, 4)")
        if abs(float(np.linalg.det(self.affine[:3, :3]))) < 1e-9:
            raise ValueError("affine is not invertible: two axes point the same way")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W)."""
        depth, height, width = self.hu.shape
        return depth, height, width

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Distance between neighbouring voxel centres along k, j, i; shape (3,), mm."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0), dtype=np.float64)

    @property
    def direction(self) -> NDArray[np.float64]:
        """Unit LPS vectors of the k, j, i axes as columns; shape (3, 3)."""
        return np.asarray(self.affine[:3, :3] / self.spacing_mm, dtype=np.float64)

    @property
    def origin_lps_mm(self) -> NDArray[np.float64]:
        """Centre of voxel (0, 0, 0); shape (3,), LPS mm."""
        return np.asarray(self.affine[:3, 3], dtype=np.float64)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel, mm3."""
        return abs(float(np.linalg.det(self.affine[:3, :3])))

    def index_to_lps(self, index_kji: ArrayLike) -> NDArray[np.float64]:
        """Map (continuous) voxel indices to points in the patient.

        Parameters
        ----------
        index_kji : array_like of shape (..., 3)
            Indices k, j, i; integers are voxel centres.

        Returns
        -------
        ndarray of shape (..., 3), dtype float64
            LPS mm.
        """
        index = np.asarray(index_kji, dtype=np.float64)
        return np.asarray(index @ self.affine[:3, :3].T + self.affine[:3, 3])

    def lps_to_index(self, point_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """Map points in the patient (LPS mm, shape (..., 3)) to continuous indices k, j, i."""
        point = np.asarray(point_lps_mm, dtype=np.float64) - self.affine[:3, 3]
        return np.asarray(point @ np.linalg.inv(self.affine[:3, :3]).T)
