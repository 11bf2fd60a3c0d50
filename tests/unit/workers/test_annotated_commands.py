"""Train and evaluate on annotated CT from the command line: two phantoms and a table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from inference.training.shapes import part_of
from inference.weights import load_weights
from workers.cli.evaluate import _threshold_of_first
from workers.cli.main import app
from workers.datasets.backgrounds import patient_digest, prepare_annotated
from workers.datasets.source import parse_source
from workers.phantom import write_phantom


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A table per phantom, and one of both with a broken series."""
    folder = tmp_path_factory.mktemp("own")
    head = "series,x,y,z,diameter,readers\n"
    rows = []
    for seed in (0, 1):
        truth = write_phantom(
            folder / str(seed),
            seed=seed,
            slices=32,
            spacing_mm=4.0,
            pixels=128,
            pixel_spacing_mm=2.8,
            noise_hu=10.0,
            nodules=["solid:20", "solid:12"],
        )
        x, y, z = truth["nodules"][0]["centre_lps_mm"]
        a, b, c = truth["nodules"][1]["centre_lps_mm"]
        rows.append(f"{seed},{x},{y},{z},20,4\n{seed},{a},{b},{c},12,1\n")
    texts = {"first": rows[0], "second": rows[1], "both": "nowhere,1,2,3,4,4\n" + rows[0] + rows[1]}
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(head + text)
    return {name: folder / f"{name}.csv" for name in texts}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [str(item) for item in arguments])


@pytest.fixture(scope="module")
def trained(tables: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    result = run("train", "detector", "--dataset", f"csv:{tables['first']}", "--every-patient",
                 "--simulated", "0", "--steps", "1", "--out", str(out))  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "annotated scans: 1 used, 0 skipped" in result.output
    return out


def test_training_on_a_table_alone_notes_whose_scans_it_saw(trained: Path) -> None:
    facts = load_weights("detector", trained).facts

    assert facts["annotated_nodules"] == 1  # the other was marked by one reader
    assert facts["patients"] == [patient_digest("PHANTOM0")]
    assert facts["nodule_shapes"] == 0
    assert "PHANTOM0" not in json.dumps(facts)


def test_evaluation_measures_patients_that_training_did_not_see(
    trained: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    figures = tmp_path / "figures.json"

    result = run("evaluate", "detector", "--dataset", f"csv:{tables['both']}", "--model",
                 str(trained), "--no-flips", "--json", str(figures))  # fmt: skip

    assert result.exit_code == 0, result.output
    read = json.loads(figures.read_text())
    assert len(read["protocol"]["scans_skipped"]) == 1
    assert "nowhere" in read["protocol"]["scans_skipped"][0]["why"]
    model, classical = read["annotated"].values()
    assert (model["volumes"], model["left_out_as_trained_on"]) == (1, 1)
    assert (classical["volumes"], classical["nodules"], classical["patients"]) == (2, 2, 2)
    # Every nodule of a phantom that counts is a solid ball of 20 mm: easy to find.
    assert classical["froc"]["8.0"] == 1.0
    assert "CPM" in result.output


def test_a_threshold_is_noted_and_none_is_made_up(
    trained: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    shutil.copytree(trained, folder)
    command = ("evaluate", "detector", "--dataset", f"csv:{tables['both']}", "--model",
               str(folder), "--no-flips", "--no-classical",
               "--threshold-into", str(folder))  # fmt: skip

    chosen = run(*command, "--threshold", "0.4")
    # After a few steps the network is wrong nowhere, so nothing tells where to put it.
    unknown = run(*command, "--false-positives", "2")
    odd = run(*command, "--false-positives", "3")

    assert chosen.exit_code == 0, chosen.output
    assert load_weights("detector", folder).facts["threshold"] == 0.4
    assert unknown.exit_code == odd.exit_code == 1
    assert "give --threshold" in unknown.output
    assert "is one of 0.125, 0.25" in odd.output


def test_the_threshold_follows_from_the_false_positives() -> None:
    first = {"thresholds": {"1.0": 0.3, "2.0": 0.2}}
    figures = {"annotated": {"model": first, "classical": {"thresholds": {"1.0": 0.9}}}}

    assert _threshold_of_first(figures, 2) == 0.2


def test_a_model_is_not_measured_on_its_own_patients(
    trained: Path, tables: dict[str, Path]
) -> None:
    result = run("evaluate", "detector", "--dataset", f"csv:{tables['first']}", "--model",
                 str(trained), "--no-flips", "--no-classical")  # fmt: skip

    assert result.exit_code == 1
    assert "was trained on every patient of it" in result.output


def test_too_many_readers_leave_nothing_to_find(tables: dict[str, Path]) -> None:
    result = run("evaluate", "detector", "--dataset", f"csv:{tables['second']}", "--readers", "5")

    assert result.exit_code == 1
    assert "was marked by 5 readers" in result.output


def test_patients_kept_for_testing_do_not_train(tables: dict[str, Path], tmp_path: Path) -> None:
    """By the same hash that keeps nodule shapes apart, so no patient is on both sides."""
    names = {part: next(f"P{n}" for n in range(999) if part_of(f"P{n}") == part)
             for part in ("train", "tune", "test")}  # fmt: skip
    path = tables["both"].parent / "parts.csv"
    path.write_text(
        f"series,x,y,z,diameter,patient\n0,,,,,{names['train']}\n1,,,,,{names['test']}\n"
    )

    found = prepare_annotated(
        [parse_source(f"csv:{path}")],
        spacing_mm=4.0,
        readers=3,
        cache=tmp_path,
        told=lambda _: None,
    )

    assert found.patients == (patient_digest(names["train"]),)
    assert found.tally.left_out == 1


def test_series_of_excluded_patients_never_train(tables: dict[str, Path], tmp_path: Path) -> None:
    path = tables["first"].parent / "excluded.csv"
    lines = tables["first"].read_text().splitlines()
    path.write_text(
        "\n".join([lines[0] + ",patient", *(line + ",LIDC-IDRI-0007" for line in lines[1:])])
    )

    result = run("train", "detector", "--dataset", f"csv:{path}", "--every-patient",
                 "--simulated", "0", "--steps", "1", "--out", str(tmp_path))  # fmt: skip

    assert result.exit_code == 1
    assert "all were left out" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--steps", "1"), "give --data, --dataset or both"),
        (("--dataset", "voc:/tmp"), "FORMAT one of lidc"),
    ],
)
def test_what_cannot_train_says_why(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    result = CliRunner().invoke(
        app,
        ["train", "detector", "--out", str(tmp_path), "--simulated", "0", *arguments],
        env={"PULMONODE_SHARED": ""},
    )

    assert result.exit_code == 1
    assert words in result.output


def test_a_name_to_be_left_out_that_nothing_has_is_told(
    tables: dict[str, Path], tmp_path: Path
) -> None:
    result = run("train", "detector", "--dataset", f"csv:{tables['first']}", "--every-patient",
                 "--simulated", "0", "--steps", "1", "--leave-out", "PHANTOM9",
                 "--out", str(tmp_path))  # fmt: skip

    assert result.exit_code == 1
    assert "nowhere found: PHANTOM9" in result.output
