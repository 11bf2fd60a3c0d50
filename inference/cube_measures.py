"""Plain measurements of a nodule in a cube: what the grader is given beside the encoder's answers.

Taken from the cube, not from the CT's own grid, so that training and a worker measure alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.findings import VoiMask
from inference.measurement import measure_nodule
from inference.thresholds import CALCIFIED_AT_LEAST_HU, SOLID_AT_LEAST_HU
from inference.volume import Volume

MEASURES_VERSION = "2"
"""Raised when a nodule in a cube is measured otherwise: what was kept of before is made anew."""
MEASURES = (
    "long_axis_mm",
    "short_axis_mm",
    "mean_diameter_mm",
    "max_3d_diameter_mm",
    "volume_mm3",
    "mean_hu",
    "deviation_hu",
    "tenth_hu",
    "ninetieth_hu",
    "solid_fraction",
    "calcified_fraction",
)


def measure_cube(
    hu: NDArray[np.float32], mask: NDArray[np.bool_], spacing_mm: float
) -> NDArray[np.float64]:
    """`MEASURES` of a nodule in a cube, shape (11,)."""
    volume = Volume(
        hu=np.rint(hu).astype(np.int16), affine=np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    )
    measured = measure_nodule(volume, VoiMask(origin_kji=(0, 0, 0), mask=mask), "solid")
    values = hu[mask]
    tenth, ninetieth = np.percentile(values, [10, 90])
    return np.array(
        [
            measured.long_axis.length_mm,
            measured.short_axis.length_mm,
            measured.mean_diameter_mm,
            measured.max_3d_diameter_mm,
            measured.volume_mm3,
            measured.mean_hu,
            values.std(),
            tenth,
            ninetieth,
            (values >= SOLID_AT_LEAST_HU).mean(),
            (values >= CALCIFIED_AT_LEAST_HU).mean(),
        ]
    )
