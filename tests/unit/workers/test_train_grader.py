"""`pulmonode train grader` on a small made-up file of described nodules."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from inference.errors import BankRefused
from inference.graders import BANK_FILE, to_judge
from inference.grading.bank import load_bank
from inference.image_row import CT_IMAGE, CT_MEASURES
from inference.known import CT_REPORT
from inference.weights import load_weights
from tests.unit.workers.described_nodules import write_described
from workers.cli.main import app
from workers.described_nodules import read_described
from workers.errors import DatasetRefused

OPTIONS = ("--steps", "30", "--members", "1", "--bank-size", "40")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grader")
    described = write_described(folder / "described.npz")
    command = ["train", "grader", "--described", str(described), "--out", str(folder / "out")]
    told = CliRunner().invoke(app, [*command, *OPTIONS, "--json", str(folder / "figures.json")])
    assert told.exit_code == 0, told.output
    return folder


def test_the_command_leaves_weights_bank_and_figures(trained: Path) -> None:
    weights = load_weights("grader", trained / "out")
    bank = load_bank(trained / "out" / BANK_FILE, sha256=weights.facts["bank_sha256"])
    facts = json.loads((trained / "figures.json").read_text())
    honest = facts["worth"]["drawn by one reader"]

    assert weights.facts["encoder"] == "0" * 64
    assert len(bank) == weights.facts["bank_cases"] == 40
    assert {record.evidence for record in bank.records} == {"reader-rated"}
    assert (honest["patients"], honest["rows"]) == (20, 40)
    assert honest["models"]["graph"]["auc_ovr"] > 0.6
    assert set(honest["graph_minus"]) == {"lr", "reg_xgb", "encoder alone"}
    assert facts["use_of_the_bank"]["edges"] > 1
    assert facts["use_of_the_bank"]["twin"] > 0.005
    assert len(facts["calibration"]) == 7


def test_a_bank_of_another_encoder_is_refused(trained: Path) -> None:
    weights = load_weights("grader", trained / "out")
    bank = load_bank(trained / "out" / BANK_FILE)

    assert bank.encoder == "0" * 64
    with pytest.raises(BankRefused, match="described by another encoder"):
        to_judge(weights, replace(bank, encoder="1" * 64))


def test_the_bank_holds_training_patients_only(trained: Path) -> None:
    described = read_described(trained / "described.npz")
    bank = load_bank(trained / "out" / BANK_FILE)

    others = set(described.table.patients[described.part != "train"].tolist())
    assert not others & {record.patient for record in bank.records}


def test_what_was_written_judges_a_nodule(trained: Path) -> None:
    weights = load_weights("grader", trained / "out")
    judge = to_judge(weights, load_bank(trained / "out" / BANK_FILE))
    asked = read_described(trained / "described.npz").of("test").rows(np.arange(6))

    grades = judge.judge(asked.masked([CT_REPORT]))

    assert sum(grade.withheld is None for grade in grades) >= 4
    shown = next(grade for grade in grades if grade.withheld is None)
    shares = [shown.modalities[name] for name in (CT_IMAGE, CT_MEASURES)]
    assert sum(share.attention or 0 for share in shares) == pytest.approx(1, abs=1e-5)
    assert all(share.contribution is not None for share in shares)
    assert not shown.modalities[CT_REPORT].present
    assert shown.similar_cases


def test_the_same_seed_writes_the_same_weights(trained: Path) -> None:
    again = trained / "again"
    described = str(trained / "described.npz")
    told = CliRunner().invoke(
        app, ["train", "grader", "--described", described, "--out", str(again), *OPTIONS]
    )

    assert told.exit_code == 0
    assert load_weights("grader", again).sha256 == load_weights("grader", trained / "out").sha256
    assert (again / BANK_FILE).read_bytes() == (trained / "out" / BANK_FILE).read_bytes()


def test_simulated_patients_make_other_weights_that_say_so(trained: Path) -> None:
    out = trained / "simulated"
    described = str(trained / "described.npz")
    figures = trained / "simulated.json"
    told = CliRunner().invoke(
        app,
        ["train", "grader", "--described", described, "--out", str(out), *OPTIONS, "--simulated",
         "--json", str(figures)],
    )  # fmt: skip

    assert told.exit_code == 0, told.output
    weights = load_weights("grader", out)
    bank = load_bank(out / BANK_FILE, sha256=weights.facts["bank_sha256"])
    assert weights.facts["simulated"] == ["clinical", "serology", "pet"]
    assert weights.config["order"][3:] == ["clinical", "serology", "pet"]
    assert len(weights.facts["calibration"]) == 16
    assert all(
        {CT_IMAGE, CT_MEASURES} <= set(one["present"]) for one in weights.facts["calibration"]
    )
    assert all("SIMULATED" in record.source for record in bank.records)
    assert [record.case_id for record in bank.records] == [
        record.case_id for record in load_bank(trained / "out" / BANK_FILE).records
    ]
    (worth,) = json.loads(figures.read_text())["worth"].values()
    assert len(worth["sets"]) == 16
    assert worth["sets"][0]["given"] == []
    assert worth["rows"] == 40
    assert "SIMULATED, no claim may rest on it" in told.stdout


def test_rows_that_the_encoder_was_trained_on_are_refused(tmp_path: Path) -> None:
    count = 300
    path = write_described(tmp_path / "d.npz", out_of_fold=np.zeros(count, dtype=bool))

    with pytest.raises(DatasetRefused, match="described by an encoder that trained on them"):
        read_described(path)


def test_patients_that_are_kept_for_others_are_refused(tmp_path: Path) -> None:
    patients = np.array(["LIDC-IDRI-0007"] * 300)

    with pytest.raises(DatasetRefused, match="LIDC-IDRI-0007, which is kept for others"):
        read_described(write_described(tmp_path / "d.npz", patient=patients))


def test_another_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, nothing=np.zeros(1))

    with pytest.raises(DatasetRefused, match="evaluate encoder --describe"):
        read_described(path)
