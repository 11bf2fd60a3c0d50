from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest

from inference.training.shapes import EXCLUDED_PATIENTS, load_shapes, part_of
from tests.conftest import SHARED, missing

FOLDER = SHARED / "lidc"
PARTS = ("train", "tune", "test")


@pytest.fixture(scope="module", autouse=True)
def _tables() -> None:
    if not FOLDER.is_dir():
        missing("the LIDC tables")


@pytest.mark.real_ct
def test_the_first_twenty_patients_are_in_no_part() -> None:
    with gzip.open(FOLDER / "lidc_nodules.csv.gz", "rt", newline="") as stream:
        on_file = {row["patient_id"] for row in csv.DictReader(stream)}
    wanted = {f"LIDC-IDRI-{number:04d}" for number in range(1, 21)}

    used = {shape.patient_id for shape in load_shapes(FOLDER, parts=PARTS)}

    assert wanted == EXCLUDED_PATIENTS
    assert wanted & on_file, "the tables no longer hold what is to be excluded"
    assert not wanted & used
    assert len(used) > 600


@pytest.mark.real_ct
def test_no_patient_is_in_two_parts() -> None:
    patients = [
        {shape.patient_id for shape in load_shapes(FOLDER, parts=(part,))} for part in PARTS
    ]

    assert not patients[0] & patients[1]
    assert not patients[0] & patients[2]
    assert not patients[1] & patients[2]
    assert len(patients[0]) > 4 * len(patients[2]) > 0


@pytest.mark.real_ct
def test_masks_are_as_large_as_the_tables_say() -> None:
    with gzip.open(FOLDER / "lidc_nodules.csv.gz", "rt", newline="") as stream:
        rows = {row["nodule_id"]: float(row["eff_diameter_mm"]) for row in csv.DictReader(stream)}

    ratios = [
        shape.diameter_mm / rows[shape.nodule_id] for shape in load_shapes(FOLDER, parts=PARTS)
    ]

    # The masks were brought to 1 mm and rounded at half: small ones lose a little.
    assert 0.93 < np.median(ratios) < 1.02


def test_a_patient_stays_in_its_part() -> None:
    assert [part_of(f"LIDC-IDRI-{number:04d}") for number in (21, 22, 23, 24)] == [
        part_of(f"LIDC-IDRI-{number:04d}") for number in (21, 22, 23, 24)
    ]
    assert {part_of(f"LIDC-IDRI-{number:04d}") for number in range(21, 121)} == set(PARTS)
