"""`evaluate grader --quick` and `simulate cohort` on the first readings of the database."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inference.grading.table_file import load_table, save_table
from workers.cli.main import app
from workers.datasets.lidc_database import find_database, read_scans
from workers.datasets.lidc_readings import build_tables, table_path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grader")
    database = find_database()
    for name, table in build_tables(islice(read_scans(database), 60)).items():
        save_table(table_path(name, folder / "readings", database), table)
    return folder


@pytest.mark.parametrize("protocol", ["D2", "binary-D1"])
def test_a_quick_comparison_writes_figures_and_pictures(
    cache: Path, tmp_path: Path, protocol: str
) -> None:
    out = tmp_path / "figures.json"
    done = CliRunner().invoke(
        app,
        ["evaluate", "grader", "--quick", "--protocol", protocol, "--models", "diameter,lr",
         "--json", str(out), "--figures", str(tmp_path / "png"), "--cache", str(cache)],
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    assert "these figures mean nothing" in done.output
    result = json.loads(out.read_text())
    assert result["protocol"] == protocol
    assert result["models"]["lr"]["kind"] == "baseline"
    assert 0.5 < result["models"]["lr"]["auc_ovr"]["mean"] <= 1
    assert list(result["paired"]) in (["lr - diameter"], ["diameter - lr"])
    assert (tmp_path / "png" / "roc.png").is_file()


def test_simulated_modalities_are_named_as_such(cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    done = CliRunner().invoke(
        app,
        ["evaluate", "grader", "--quick", "--simulated", "--models", "lr", "--json", str(out),
         "--cache", str(cache)],
    )  # fmt: skip

    assert "SIMULATED" in done.output
    assert json.loads(out.read_text())["setup"]["simulated_modalities"] == ["clinical", "serology"]


def test_a_simulated_cohort_is_written_as_a_table(cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "cohort.npz"
    done = CliRunner().invoke(app, ["simulate", "cohort", str(out), "--cache", str(cache)])

    assert done.exit_code == 0, done.output
    assert "SIMULATED" in done.output
    assert load_table(out).modalities[-2:] == ("clinical", "serology")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--protocol", "D3"], "--protocol is one of"),
        (["--seeds", "a"], "--seeds are numbers"),
        (["--models", "oracle"], "is no model"),
        (["--models", "serology_text"], "needs serology"),
    ],
)
def test_what_cannot_be_compared_is_refused(cache: Path, arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(
        app, ["evaluate", "grader", "--quick", "--cache", str(cache), *arguments]
    )

    assert done.exit_code == 1
    assert said in done.output
