"""Nodules of LIDC-IDRI with all that their readers rated: shape, eight attributes, malignancy.

Read from the same two tables as `shapes`, which keeps the excluded patients out and divides the
others into parts.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.attributes import ATTRIBUTES
from inference.training.shapes import NoduleShape, Part, load_shapes, part_of

COLUMNS = {"internal_structure": "internalStructure"}
"""Names of the table where they are not ours."""
EVERY_READER = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedNodule:
    """One nodule and its readers' ratings.

    Attributes
    ----------
    shape : NoduleShape
        Consensus mask in cubes of 1 mm, and who it belongs to.
    part : {"train", "tune", "test"}
        Of its patient.
    readings : ndarray of shape (R, 8), dtype float64
        Ratings of `inference.attributes.ATTRIBUTES` by each of R >= 3 readers.
    malignancy : ndarray of shape (R,), dtype float64
        Ratings 1 to 5 by the same readers.
    """

    shape: NoduleShape
    part: Part
    readings: NDArray[np.float64]
    malignancy: NDArray[np.float64]

    @property
    def attributes(self) -> NDArray[np.float64]:
        """Mean of all readers, shape (8,)."""
        return np.asarray(self.readings.mean(axis=0))

    def seen_by(self, reader: int) -> NDArray[np.float64]:
        """Ratings of shape (R', 8): of one reader, or of all for `EVERY_READER`."""
        return self.readings if reader == EVERY_READER else self.readings[[reader]]

    def rating(self, reader: int) -> float:
        """Mean malignancy by the *other* readers, or by all for `EVERY_READER`."""
        if reader == EVERY_READER:
            return float(self.malignancy.mean())
        return float(np.delete(self.malignancy, reader).mean())


def load_rated_nodules(folder: Path, *, parts: Iterable[Part]) -> tuple[RatedNodule, ...]:
    """Read the nodules of some parts of the patients; `EXCLUDED_PATIENTS` are never among them.

    Parameters
    ----------
    folder : Path
        With ``lidc_masks.npz`` and ``lidc_nodules.csv.gz``, whose ``..._readers`` columns hold
        the ratings as ``4|5|4``.
    parts : iterable of {"train", "tune", "test"}
        See `inference.training.shapes.part_of`.

    Raises
    ------
    ValueError
        Naming the nodule whose ratings do not belong to the same number of readers.
    """
    with gzip.open(folder / "lidc_nodules.csv.gz", "rt", newline="") as stream:
        rows = {row["nodule_id"]: row for row in csv.DictReader(stream)}
    found = []
    for shape in load_shapes(folder, parts=parts):
        row = rows[shape.nodule_id]
        columns = [_numbers(row[f"{COLUMNS.get(name, name)}_readers"]) for name in ATTRIBUTES]
        malignancy = _numbers(row["malignancy_readers"])
        if {len(column) for column in columns} != {len(malignancy)}:
            raise ValueError(f"{shape.nodule_id}: not every reader rated every attribute")
        found.append(
            RatedNodule(
                shape=shape,
                part=part_of(shape.patient_id),
                readings=np.array(columns).T,
                malignancy=np.array(malignancy),
            )
        )
    return tuple(found)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split("|")]
