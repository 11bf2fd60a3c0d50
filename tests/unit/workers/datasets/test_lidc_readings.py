from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from inference.evaluation.grading.folds import patient_folds
from inference.grading.table import to_grades
from inference.grading.table_file import digest_table, load_table, save_table
from tests.conftest import SHARED, missing
from workers.datasets.lidc_consensus import consensus
from workers.datasets.lidc_database import ScanReadings, find_database, read_scans
from workers.datasets.lidc_readings import (
    ReadNodule,
    build_tables,
    find_nodules,
    without_threes,
)
from workers.datasets.mask_shape import measure_mask

EXACT = (
    "volume_mm3", "eff_diameter_mm", "z_extent_mm", "roi_area_mm2", "area_ratio_mean_max",
    "major_axis_mm", "minor_axis_mm", "least_axis_mm", "elongation", "flatness",
    "bbox_y_mm", "bbox_x_mm",
)  # fmt: skip
SHARES = {**dict.fromkeys(EXACT, 0.93), "axial_long_mm": 0.97, "axial_short_mm": 0.85,
          "roi_perimeter_mm": 0.95, "roi_circularity": 0.95, "roi_solidity": 0.95}  # fmt: skip
"""Share of masks that must agree to 0.1 %: the others have holes, outlines of two parts, or two
chords of the same length."""
CLOSE = {"surface_mm2": 0.03, "sphericity3d": 0.02, "solidity3d": 0.02, "max3d_diam_mm": 0.03}
"""Median relative difference: the surface is smoothed in another way."""


@pytest.fixture(scope="module")
def scans() -> Sequence[ScanReadings]:
    return list(read_scans(find_database()))


@pytest.fixture(scope="module")
def nodules(scans: Sequence[ScanReadings]) -> list[ReadNodule]:
    return [nodule for scan in scans for nodule in find_nodules(scan)]


def _table(name: str) -> list[dict[str, str]]:
    path = SHARED / "lidc" / name
    if not path.is_file():
        missing(f"the table {name}")
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return list(csv.DictReader(text.decode().splitlines()))


def test_the_readings_hold_as_many_nodules_as_published(nodules: list[ReadNodule]) -> None:
    by_readers = Counter(len(nodule.marks) for nodule in nodules)

    assert len(nodules) == 2669
    assert by_readers == {1: 783, 2: 492, 3: 484, 4: 910}


def test_grades_of_nodules_with_three_readers_are_as_often_as_published(
    nodules: list[ReadNodule],
) -> None:
    means = [np.mean(nodule.malignancy) for nodule in nodules if len(nodule.marks) >= 3]

    assert np.bincount(to_grades(np.array(means))).tolist() == [224, 638, 384, 148]


def test_every_nodule_has_the_marks_of_the_table_made_by_others(
    nodules: list[ReadNodule],
) -> None:
    theirs = {
        frozenset(map(int, row["ann_ids"].split("|"))) for row in _table("lidc_nodules.csv.gz")
    }

    assert {frozenset(mark.reader for mark in one.marks) for one in nodules} == theirs


def test_folds_are_those_of_the_published_baselines(nodules: list[ReadNodule]) -> None:
    several = [nodule for nodule in nodules if len(nodule.marks) >= 3]
    patients = np.array([nodule.scan.patient_id for nodule in several])
    grades = to_grades(np.array([np.mean(nodule.malignancy) for nodule in several]))
    published = [row for row in _table("folds.csv") if int(row["n_readers"]) >= 3]

    for seed in (0, 1, 2):
        dealt = patient_folds(patients, grades, seed=seed)
        theirs = {row["patient_id"]: int(row[f"seed{seed}"]) for row in published}

        assert dealt == theirs


def test_shapes_agree_with_the_tables_made_by_others(nodules: list[ReadNodule]) -> None:
    """A sample of consensus masks."""
    theirs = {row["ann_ids"]: row for row in _table("lidc_nodules.csv.gz")}
    ours, wanted = [], []
    for nodule in nodules[::15]:
        _, mask = consensus(nodule.marks)
        pixel = nodule.scan.pixel_spacing_mm
        ours.append(measure_mask(mask, (nodule.scan.slice_spacing_mm, pixel, pixel)))
        wanted.append(theirs["|".join(str(m) for m in sorted(m.reader for m in nodule.marks))])

    def apart(name: str) -> np.ndarray:
        mine = np.array([shape[name] for shape in ours])
        other = np.array([float(row[name]) for row in wanted])
        return np.abs(mine - other) / np.abs(other)

    for name, share in SHARES.items():
        assert (apart(name) < 1e-3).mean() >= share, name
    for name, limit in CLOSE.items():
        assert np.median(apart(name)) < limit, name


@pytest.fixture(scope="module")
def some(scans: Sequence[ScanReadings]) -> Sequence[ScanReadings]:
    return list(islice(scans, 25))


def test_the_truth_of_a_reading_is_what_the_other_readers_said(
    some: Sequence[ScanReadings],
) -> None:
    table = build_tables(some)["D2"]
    found = {nodule.nodule_id: nodule for scan in some for nodule in find_nodules(scan)}

    for nodule_id in np.unique(table.nodules):
        nodule = found[str(nodule_id)]
        total, count = sum(nodule.malignancy), len(nodule.malignancy)
        expected = [(total - own) / (count - 1) for own in nodule.malignancy]
        assert table.rating[table.nodules == nodule_id].tolist() == pytest.approx(expected)


def test_a_reading_does_not_change_with_its_own_malignancy(some: Sequence[ScanReadings]) -> None:
    scan = next(s for s in some if any(len(n.marks) == 4 for n in find_nodules(s)))
    nodule = next(n for n in find_nodules(scan) if len(n.marks) == 4)
    other = {1: 5, 2: 5, 3: 5, 4: 1, 5: 1}
    changed = replace(
        scan,
        marks=tuple(
            replace(
                mark,
                ratings={**mark.ratings, "malignancy": other[mark.ratings["malignancy"]]},
            )
            if mark.reader == nodule.marks[0].reader
            else mark
            for mark in scan.marks
        ),
    )

    before, after = (build_tables([one])["D2"] for one in (scan, changed))

    rows = np.flatnonzero(before.nodules == nodule.nodule_id)
    for name, values in before.features.items():
        assert (values == after.features[name]).all()
    assert before.rating[rows[0]] == after.rating[rows[0]]
    assert (before.rating[rows[1:]] != after.rating[rows[1:]]).all()


def test_rows_of_a_nodule_are_one_in_d1_and_its_readers_in_d2(
    some: Sequence[ScanReadings],
) -> None:
    tables = build_tables(some)

    assert set(tables["D1"].nodules) == set(tables["D2"].nodules)
    assert len(np.unique(tables["D1"].nodules)) == len(tables["D1"])
    assert all(np.isfinite(values).all() for values in tables["D2"].features.values())


def test_ratings_of_exactly_three_can_be_left_out(some: Sequence[ScanReadings]) -> None:
    table = build_tables(some)["D1"]

    assert (without_threes(table).rating != 3).all()


def test_a_table_comes_back_from_its_file(some: Sequence[ScanReadings], tmp_path: Path) -> None:
    table = build_tables(some[:5])["D2"]
    save_table(tmp_path / "table.npz", table)

    again = load_table(tmp_path / "table.npz")

    assert digest_table(again) == digest_table(table)
    assert again.names == table.names
