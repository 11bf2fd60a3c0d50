"""The commands that train and measure, on a tiny set: two phantoms and a few balls."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from inference.training.shapes import EXCLUDED_PATIENTS, part_of
from inference.weights import load_weights
from tests.conftest import SHARED
from tests.unit.inference.lung_box import ball
from workers.cli.main import app
from workers.phantom import write_phantom
from workers.training_data import check_names, read_lesions, scan_names

COLUMNS = ("texture_mean", "margin_mean", "spiculation_mean", "calcified_frac")


def write_tables(folder: Path) -> None:
    """LIDC-like tables: balls of several sizes, of patients of all three parts."""
    folder.mkdir(parents=True)
    masks, rows = [], []
    for number in range(21, 61):
        patient = f"LIDC-IDRI-{number:04d}"
        masks.append(ball(5.0 + number % 12).mask)
        rows.append((f"{patient}_n0", patient, 5.0, 4.0, 1.0, 0.0))
    packed = [np.packbits(mask) for mask in masks]
    np.savez(
        folder / "lidc_masks.npz",
        ids=np.array([row[0] for row in rows]),
        shapes=np.array([mask.shape for mask in masks]),
        bits=np.concatenate(packed),
        offsets=np.cumsum([0, *(len(item) for item in packed)]),
    )
    with gzip.open(folder / "lidc_nodules.csv.gz", "wt", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["nodule_id", "patient_id", *COLUMNS])
        writer.writerows(rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_tables(folder / "lidc")
    for seed, name in enumerate(("first", "second")):
        write_phantom(
            folder / "ct" / name / "dicom",
            seed=seed,
            slices=32,
            spacing_mm=4.0,
            pixels=128,
            pixel_spacing_mm=2.8,
            noise_hu=10.0,
            descending=False,
            nodules=["solid:20"],
        )
    return folder


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_training_and_evaluation_run_from_the_command_line(data: Path, tmp_path: Path) -> None:
    truth = json.loads((data / "ct" / "second" / "dicom" / "truth.json").read_text())["nodules"][0]
    lesions = tmp_path / "lesions.yaml"
    entry = {
        "centre_lps_mm": truth["centre_lps_mm"],
        "diameter_mm": 20,
        "radius_mm": 14,
        "evaluate": True,
        "source": "phantom",
    }
    lesions.write_text(json.dumps({"second": [entry]}))  # JSON is YAML
    common = ["--data", str(data), "--lesions", str(lesions), "--cache", str(tmp_path / "cache")]
    out, figures = tmp_path / "out", tmp_path / "figures.json"

    run("train", "detector", "--out", str(out), "--steps", "1", "--simulated", "0",
        "--leave-out", "second", *common)  # fmt: skip
    said = run("evaluate", "detector", "--model", str(out), "--json", str(figures),
               "--volumes", "1", "--thoraces", "0", "--no-flips", "--no-classical",
               *common)  # fmt: skip

    facts = load_weights("detector", out).facts
    assert facts["backgrounds"] == ["first"]
    assert facts["left_out"] == ["second"]
    assert facts["steps"] == 1
    result = json.loads(figures.read_text())
    assert [row["scan"] for row in result["real"]] == ["second"]
    assert result["simulated"]["real background"]["volumes"] == 1
    assert result["protocol"]["models"][0]["sha256"] == load_weights("detector", out).sha256
    assert "second" in said


def test_a_scan_that_is_not_there_cannot_be_left_out(data: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app,
        ["train", "detector", "--data", str(data), "--out", str(tmp_path), "--leave-out", "third"],
    )

    assert result.exit_code == 1
    assert "no CT series third" in result.output


def test_every_known_lesion_belongs_to_a_series_and_evaluated_ones_are_nodules() -> None:
    lesions = read_lesions()

    for entries in lesions.values():
        for entry in entries:
            assert entry.radius_mm > entry.diameter_mm / 2
            assert not entry.evaluate or entry.diameter_mm <= 30
    if (SHARED / "ct").is_dir():
        check_names(lesions, SHARED)
        assert set(scan_names(SHARED)) == set(lesions)


def test_the_balls_stand_for_all_parts_and_no_excluded_patient() -> None:
    patients = [f"LIDC-IDRI-{number:04d}" for number in range(21, 61)]

    assert {part_of(patient) for patient in patients} == {"train", "tune", "test"}
    assert not EXCLUDED_PATIENTS & set(patients)
