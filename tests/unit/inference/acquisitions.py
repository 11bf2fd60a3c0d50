"""The same patient, stored or acquired otherwise: places in the patient stay where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from inference.volume import Volume


def turned(volume: Volume, *axes: int) -> Volume:
    """The same voxels with some axes stored the other way round."""
    affine = volume.affine.copy()
    for axis in axes:
        last = [0, 0, 0]
        last[axis] = volume.shape[axis] - 1
        affine[:3, 3] += affine[:3, :3] @ last
        affine[:3, axis] *= -1
    return Volume(hu=np.ascontiguousarray(np.flip(volume.hu, axes)), affine=affine)


def rows_for_columns(volume: Volume) -> Volume:
    """The same voxels with each slice transposed."""
    affine = volume.affine.copy()
    affine[:3, [1, 2]] = affine[:3, [2, 1]]
    return Volume(hu=np.ascontiguousarray(volume.hu.transpose(0, 2, 1)), affine=affine)


def shifted(volume: Volume, by_hu: int) -> Volume:
    """A scanner that is off by so many HU."""
    return replace(volume, hu=(volume.hu + by_hu).astype(np.int16))


STORED = {
    "slices from above": lambda volume: turned(volume, 0),
    "feet first": lambda volume: turned(volume, 0, 2),
    "prone": lambda volume: turned(volume, 1, 2),
    "rows for columns": rows_for_columns,
    "20 HU darker": lambda volume: shifted(volume, -20),
    "20 HU brighter": lambda volume: shifted(volume, 20),
}
"""What becomes of a series on its way; the voxels stay the same, or nearly so."""
