"""Real nodule shapes: consensus masks and ratings of LIDC-IDRI, without any of its pixels.

LIDC-IDRI annotations (Armato et al., Med Phys 2011;38:915, doi 10.7937/K9/TCIA.2015.LO9QL9SX,
CC BY 3.0), as tables: ``lidc_masks.npz`` (masks of nodules marked by at least three readers,
1 mm cubes) and ``lidc_nodules.csv.gz`` (mean ratings).

The readings of LIDC-IDRI-0001 to 0020 are kept out of everything that is trained.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

EXCLUDED_PATIENTS = frozenset(f"LIDC-IDRI-{number:04d}" for number in range(1, 21))
"""Kept for evaluation by others; never in training, tuning or a bank."""
MASK_SPACING_MM = 1.0
HELD_OUT_ONE_IN = 5
Part = Literal["train", "tune", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleShape:
    """One nodule's consensus mask and mean ratings.

    Attributes
    ----------
    mask : ndarray of shape (D, H, W), dtype bool
        At least half of the readers, cubes of 1 mm, axes slice, row, column.
    diameter_mm : float
        Of the ball of equal volume.
    texture, margin, spiculation : float
        LIDC's scales 1 to 5: 1 ground glass to 5 solid; 1 blurred to 5 sharp; 1 none to 5
        marked.
    calcified : bool
        By most readers.
    """

    nodule_id: str
    patient_id: str
    mask: NDArray[np.bool_]
    diameter_mm: float
    texture: float
    margin: float
    spiculation: float
    calcified: bool


def part_of(patient_id: str) -> Part:
    """Whether a patient's nodules train, tune or test: by a hash, so it never changes."""
    digit = int(hashlib.sha256(patient_id.encode()).hexdigest(), 16) % (2 * HELD_OUT_ONE_IN)
    return "test" if digit == 0 else "tune" if digit == 1 else "train"


def load_shapes(folder: Path, *, parts: Iterable[Part]) -> tuple[NoduleShape, ...]:
    """Read the shapes of some parts of the patients, never of `EXCLUDED_PATIENTS`.

    Parameters
    ----------
    folder : Path
        With ``lidc_masks.npz`` and ``lidc_nodules.csv.gz``.
    parts : iterable of {"train", "tune", "test"}
        See `part_of`.
    """
    wanted = set(parts)
    with gzip.open(folder / "lidc_nodules.csv.gz", "rt", newline="") as stream:
        ratings = {row["nodule_id"]: row for row in csv.DictReader(stream)}
    found = []
    with np.load(folder / "lidc_masks.npz") as table:
        ids, sizes, offsets, bits = (table[name] for name in ("ids", "shapes", "offsets", "bits"))
    for index, name in enumerate(ids):
        nodule_id = str(name)
        row = ratings[nodule_id]
        patient_id = row["patient_id"]
        if patient_id in EXCLUDED_PATIENTS or part_of(patient_id) not in wanted:
            continue
        size = tuple(int(value) for value in sizes[index])
        packed = bits[offsets[index] : offsets[index + 1]]
        mask = np.unpackbits(packed, count=int(np.prod(size))).reshape(size).astype(bool)
        found.append(
            NoduleShape(
                nodule_id=nodule_id,
                patient_id=patient_id,
                mask=mask,
                diameter_mm=float((6 * mask.sum() * MASK_SPACING_MM**3 / np.pi) ** (1 / 3)),
                texture=float(row["texture_mean"]),
                margin=float(row["margin_mean"]),
                spiculation=float(row["spiculation_mean"]),
                calcified=float(row["calcified_frac"]) > 0.5,
            )
        )
    return tuple(found)
