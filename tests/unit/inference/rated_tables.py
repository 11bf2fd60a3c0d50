"""LIDC-like tables with what every reader rated, and rated nodules made by hand."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inference.attributes import ATTRIBUTES
from inference.training.rated_nodules import COLUMNS, RatedNodule
from tests.unit.inference.lung_box import ball

PLAIN = {
    "subtlety": 5.0,
    "internal_structure": 1.0,
    "calcification": 6.0,
    "sphericity": 4.0,
    "margin": 5.0,
    "lobulation": 1.0,
    "spiculation": 1.0,
    "texture": 5.0,
}


def rated(diameter_mm: float = 14.0, *, readers: int = 3, **ratings: float) -> RatedNodule:
    """A ball that all readers rated alike, but for malignancy 2, 3, 4 ..."""
    row = [(PLAIN | ratings)[name] for name in ATTRIBUTES]
    return RatedNodule(
        shape=ball(diameter_mm),
        part="train",
        readings=np.array([row] * readers),
        malignancy=np.arange(readers) + 2.0,
    )


def write_rated_tables(folder: Path, numbers: Sequence[int]) -> None:
    """Balls of patients by number, ratings that vary with it."""
    folder.mkdir(parents=True)
    names = [COLUMNS.get(name, name) for name in ATTRIBUTES]
    masks, rows = [], []
    for number in numbers:
        patient = f"LIDC-IDRI-{number:04d}"
        masks.append(ball(6.0 + number % 9).mask)
        calcified = number % 4 == 0
        values = PLAIN | {
            "calcification": 3.0 if calcified else 6.0,
            "texture": 5.0 if calcified else 1.0 + number % 5,
            "spiculation": 1.0 + number % 3,
        }
        row: dict[str, object] = {
            "nodule_id": f"{patient}_n0",
            "patient_id": patient,
            "series_instance_uid": f"1.2.{number}",
            "calcified_frac": float(calcified),
            "malignancy_readers": f"{1 + number % 4}|{1 + number % 5}|3",
        }
        for name, own in zip(names, ATTRIBUTES, strict=True):
            row[f"{name}_readers"] = "|".join([f"{values[own]:g}"] * 3)
            row[f"{name}_mean"] = values[own]
        rows.append(row)
    packed = [np.packbits(mask) for mask in masks]
    np.savez(
        folder / "lidc_masks.npz",
        ids=np.array([row["nodule_id"] for row in rows]),
        shapes=np.array([mask.shape for mask in masks]),
        bits=np.concatenate(packed),
        offsets=np.cumsum([0, *(len(item) for item in packed)]),
    )
    with gzip.open(folder / "lidc_nodules.csv.gz", "wt", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
