"""Reads label volumes from NIfTI-1 files (``.nii``, ``.nii.gz``): voxels only, no geometry.

NIfTI-1, nifti.nimh.nih.gov/nifti-1: dimensions at byte 40, type at 70, first voxel at 108.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 348
TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}


def read_labels(path: Path) -> NDArray[Any]:
    """The voxels of a file, axes slice, row, column (D, H, W).

    Raises
    ------
    ValueError
        If it is not a 3-D NIfTI-1 file of plain numbers.
    """
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    for order in "<>":
        if len(data) > HEADER_BYTES and struct.unpack_from(f"{order}i", data)[0] == HEADER_BYTES:
            break
    else:
        raise ValueError(f"{path} is not a NIfTI-1 file")
    axes, width, height, depth = struct.unpack_from(f"{order}4h", data, 40)
    code = struct.unpack_from(f"{order}h", data, 70)[0]
    first = int(struct.unpack_from(f"{order}f", data, 108)[0])
    if axes != 3 or code not in TYPES:
        raise ValueError(f"{path} has {axes} axes and data type {code}, wanted 3 axes of numbers")
    voxels = np.frombuffer(
        data, dtype=order + TYPES[code], count=depth * height * width, offset=first
    )
    return voxels.reshape(depth, height, width)
