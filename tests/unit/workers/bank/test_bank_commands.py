from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from inference.grading.stored import save_grader
from tests.migrated import migrated_application
from tests.unit.workers.bank.cases import (
    make_small_bank,
    make_untrained_grader,
    write_bank,
    write_study,
)
from workers.cli.main import app
from workers.settings import Settings
from workers.usecases.audit import list_audit


@pytest.fixture
def site(tmp_path: Path) -> Any:
    """Runs `pulmonode bank` for a site whose grader never learned."""
    weights = tmp_path / "weights"
    grader = make_untrained_grader(make_small_bank())
    shipped = write_bank(weights / "bank.safetensors")
    facts = {
        "label_softness": grader.softness,
        "calibration": [],
        "bank_sha256": hashlib.sha256(shipped.read_bytes()).hexdigest(),
    }
    save_grader(grader.networks, grader.scale, weights, version="untrained", facts=facts)
    environment = {
        "PULMONODE_BANK_DIR": str(tmp_path / "bank"),
        "PULMONODE_WEIGHTS_DIR": str(weights),
        "PULMONODE_DATA_DIR": str(tmp_path / "data"),
        "COLUMNS": "200",
    }

    def invoke(*arguments: str, **changed: str) -> Result:
        return CliRunner().invoke(app, ["bank", *arguments], env={**environment, **changed})

    return invoke


def test_the_whole_way_by_commands(site: Any, tmp_path: Path) -> None:
    findings, features = (str(path) for path in write_study(tmp_path / "study"))
    begun = site("init", "--prefix", "KGH", "--by", "Ada Admin")
    added = site(
        "add", findings, "--nodule", "1", "--features", features, "--by", "Dr. One",
        "--note", "left upper lobe",
    )  # fmt: skip
    of_study = site("list", "--of", findings, "--json")
    too_early = site("promote", "KGH-0001", "--by", "Dr. Two", "--yes")
    told = site(
        "outcome", "KGH-0001", "--outcome", "malignant", "--evidence", "histology",
        "--date", "2024-05-03", "--by", "Dr. One",
    )  # fmt: skip
    preview = site("promote", "KGH-0001", "--by", "Dr. Two")
    done = site("promote", "KGH-0001", "--by", "Dr. Two", "--yes", "--json")
    listed = site("list")
    back = site("rollback", "--by", "Ada Admin", "--why", "to try")
    history = site("history", "--json")

    assert begun.exit_code == 0, begun.output
    assert "not in the audit" in begun.stderr  # this machine has no database
    assert not (tmp_path / "data").exists()
    assert "candidate KGH-0001: waits for an answer" in added.output
    assert [one["nodule"] for one in json.loads(of_study.stdout)] == [1]
    assert "features" not in json.loads(of_study.stdout)[0]
    assert (too_early.exit_code, "has no answer yet" in too_early.output) == (1, True)
    assert "rating 5, confirmed" in told.output
    assert "reference nodules: 25" in preview.output
    assert "nothing is changed yet: --yes does it" in preview.output
    assert json.loads(done.stdout)["made"] == 2
    assert "bank KGH-v2 (version 2 of the site" in listed.output
    assert "site KGH: histology" in listed.output
    assert "version 1 counts now" in back.output
    events = [event["what"] for event in json.loads(history.stdout)]
    assert events == ["init", "add", "outcome", "promote", "rollback"]
    assert "rollback" in site("history").output


def test_import_and_remove_by_commands(site: Any, tmp_path: Path) -> None:
    other = str(write_bank(tmp_path / "x.safetensors", make_small_bank(5, letter="X")))
    site("init", other, "--prefix", "KGH", "--by", "Ada Admin")
    ours = str(write_bank(tmp_path / "b.safetensors"))
    shown = site("import", ours, "--by", "Ada Admin")
    done = site("import", ours, "--by", "Ada Admin", "--yes")
    removed = site("remove", "X-001", "--by", "Ada Admin", "--why", "a double")

    assert "cases: 5 -> 29" in shown.output
    assert "version 2 counts now" in done.output
    assert "cases: 29 -> 28" in removed.output
    assert json.loads(site("list", "--json").stdout)["number"] == 3
    assert "X-000" in site("list", "--all").output


@pytest.mark.usefixtures("site")
def test_without_a_folder_the_shipped_bank_is_shown_and_not_changed(tmp_path: Path) -> None:
    environment = {"PULMONODE_WEIGHTS_DIR": str(tmp_path / "weights")}
    shown = CliRunner().invoke(app, ["bank", "list"], env=environment)
    refused = CliRunner().invoke(app, ["bank", "history"], env=environment)

    assert "bank first (as shipped" in shown.output, shown.output
    assert (refused.exit_code, "PULMONODE_BANK_DIR is not set" in refused.output) == (1, True)


def test_changes_and_refusals_are_audited_where_there_is_a_database(
    site: Any, tmp_path: Path
) -> None:
    database = migrated_application(Settings(data_dir=tmp_path / "data")).database
    other = str(write_bank(tmp_path / "x.safetensors", make_small_bank(5, letter="X")))
    ours = str(write_bank(tmp_path / "b.safetensors"))

    site("init", other, "--prefix", "KGH", "--by", "Ada Admin")
    site("import", ours, "--by", "Ada Admin")  # only looks
    imported = site("import", ours, "--by", "Ada Admin", "--yes")
    site("remove", "X-001", "--by", "Ada Admin", "--why", " ")
    site("remove", "X-001", "--by", "Ada Admin", "--why", "a double")
    site("rollback", "--by", "Ada Admin", "--why", "to try", "--to", "1")

    with database.read() as session:
        rows = [(row["action"], row["subject"], row["outcome"]) for row in list_audit(session)]
        kinds = {(row["how"], row["role"]) for row in list_audit(session)}
    database.close()
    assert rows[::-1] == [
        ("bank.init", "KGH", "done"),
        ("bank.import", "", "done"),
        ("bank.remove", "X-001", "refused"),
        ("bank.remove", "X-001", "done"),
        ("bank.rollback", "1", "done"),
    ]
    assert kinds == {("command line", "admin")}
    assert imported.stderr == ""
