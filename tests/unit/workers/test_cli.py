"""The command as people and scripts call it: in this process, and where what surrounds the command
counts (standard error, what keeps it from starting), in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import typer
from click.testing import Result as Done
from typer.testing import CliRunner

from tests.conftest import REPOSITORY
from tests.integration.bad_series import plain_series, save
from workers.application import Application
from workers.cli import output, serve
from workers.cli.main import app as command
from workers.cli.start import SERVING
from workers.phantom import write_phantom
from workers.state.schema import Event, Job, JobState, Result, ResultObject
from workers.state.store import put_content

NOW = 1_700_000_000.0
SCHEMA = json.loads((REPOSITORY / "docs" / "findings.schema.json").read_text())


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.console, "_width", 200)


def run(*arguments: str, data_dir: Path | None = None) -> Done:
    environment = {} if data_dir is None else {"PULMONODE_DATA_DIR": str(data_dir)}
    return CliRunner().invoke(command, arguments, env=environment)


def run_process(*arguments: str, data_dir: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, COLUMNS="200")
    if data_dir is not None:
        environment["PULMONODE_DATA_DIR"] = str(data_dir)
    return subprocess.run(
        [sys.executable, "-m", "workers.cli.main", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def data_dir(app: Application) -> Path:
    """A data folder with one failed job that has a result."""
    path, sha256 = put_content(app.store, b'{"status": "analysed"}', ".json")
    object_path, object_sha256 = put_content(app.store, b"sr", ".dcm")
    with app.database.write() as session:
        job = Job(
            study_uid="1.2",
            series_uid="1.2.3",
            state=JobState.FAILED,
            reason_code="delivery_failed",
            reason="main: no association",
            modality="CT",
            instance_count=133,
            warnings=["slices every 5 mm"],
            created_at=NOW,
            last_instance_at=NOW,
            state_since=NOW,
        )
        session.add(job)
        session.flush()
        session.add_all(
            [
                Event(job_id=job.id, at=NOW, state="receiving", message="first instance received"),
                Result(
                    job_id=job.id,
                    fencing_token=1,
                    committed_at=NOW,
                    findings_path=path,
                    findings_sha256=sha256,
                    identity_sha256="x",
                    nodule_count=2,
                ),
                ResultObject(
                    sop_uid="1.2.9",
                    job_id=job.id,
                    kind="sr",
                    profiles=["default"],
                    sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33",
                    series_uid="1.2.8",
                    path=object_path,
                    sha256=object_sha256,
                    size_bytes=2,
                ),
            ]
        )
    return app.settings.data_dir


def test_the_list_shows_state_and_reason_and_serves_scripts(data_dir: Path) -> None:
    shown = run("jobs", "list", data_dir=data_dir)
    listed = json.loads(run("jobs", "list", "--json", data_dir=data_dir).stdout)
    other = json.loads(run("jobs", "list", "--state", "queued", "--json", data_dir=data_dir).stdout)

    assert "failed" in shown.stdout
    assert "main: no association" in shown.stdout
    assert [(row["id"], row["state"], row["instances"]) for row in listed] == [(1, "failed", 133)]
    assert other == []


def test_one_job_is_shown_with_its_history(data_dir: Path) -> None:
    shown = run("jobs", "show", "1.2.3", data_dir=data_dir)

    for words in ("delivery_failed", "first instance received", "slices every 5 mm", "SR 1.2.9"):
        assert words in shown.stdout


def test_a_result_is_exported(data_dir: Path, tmp_path: Path) -> None:
    done = run("jobs", "export", "1", "--out", str(tmp_path / "out"), data_dir=data_dir)

    assert done.exit_code == 0
    assert json.loads((tmp_path / "out/findings.json").read_text()) == {"status": "analysed"}
    assert (tmp_path / "out/sr.dcm").read_bytes() == b"sr"


def test_an_unknown_job_is_one_clear_line(data_dir: Path) -> None:
    done = run_process("jobs", "show", "77", data_dir=data_dir)

    assert done.returncode == 1
    assert "no job 77" in done.stderr
    assert "Traceback" not in done.stderr


def test_queues_are_paused_and_resumed(data_dir: Path) -> None:
    run("queue", "pause", "deliver", data_dir=data_dir)
    held = json.loads(run("queue", "status", "--json", data_dir=data_dir).stdout)["paused"]
    run("queue", "resume", "deliver", data_dir=data_dir)
    free = json.loads(run("queue", "status", "--json", data_dir=data_dir).stdout)["paused"]

    assert held == {"analyse": False, "deliver": True}
    assert free == {"analyse": False, "deliver": False}
    assert run("queue", "pause", "everything", data_dir=data_dir).exit_code == 1


def test_a_database_of_another_release_is_refused_until_it_is_migrated(tmp_path: Path) -> None:
    before = run("jobs", "list", data_dir=tmp_path)
    migrated = run("migrate", data_dir=tmp_path)
    after = run("jobs", "list", data_dir=tmp_path)

    assert before.exit_code == 1
    assert "pulmonode migrate" in before.stderr
    assert (migrated.exit_code, after.exit_code) == (0, 0)


def test_nothing_starts_without_a_broker_or_an_allowed_caller(tmp_path: Path) -> None:
    run("migrate", data_dir=tmp_path)

    assert "PULMONODE_BROKER_URL" in run_process("worker", data_dir=tmp_path).stderr
    assert "PULMONODE_CALLING_AE_TITLES" in run_process("up", data_dir=tmp_path).stderr


def test_analyse_ends_with_3_when_nothing_is_eligible_and_says_why(tmp_path: Path) -> None:
    datasets = plain_series("exit code")
    for ds in datasets:
        ds.Modality = "MR"
    save(datasets, tmp_path / "in")

    done = run("analyse", str(tmp_path / "in"), "--out", str(tmp_path / "out"))

    assert done.exit_code == 3
    assert "modality is MR" in done.stdout
    written = json.loads((tmp_path / "out/findings.json").read_text())
    assert (written["status"], written["reason"]) == (
        "not_eligible",
        "modality is MR, only CT is analysed",
    )


def test_analyse_ends_with_1_on_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no DICOM")

    done = run("analyse", str(tmp_path), "--out", str(tmp_path / "out"))

    assert done.exit_code == 1
    assert "no DICOM file" in done.stderr


def test_context_and_report_of_files_reach_the_guidelines(tmp_path: Path) -> None:
    truth = write_phantom(
        tmp_path / "ct", seed=3, slices=64, spacing_mm=4.0, pixels=256, pixel_spacing_mm=1.4,
        nodules=["solid:20"],
    )  # fmt: skip
    side = truth["nodules"][0]["laterality"]
    other = {"left": "right", "right": "left"}[side]
    (tmp_path / "report.txt").write_text(
        f"HISTORY: 40 pack-years. FINDINGS: Emphysema. 20 mm spiculated nodule in the {side} lung. "
        f"45 mm mass in the {other} lung."
    )
    (tmp_path / "empty.bin").write_bytes(b"\xff\xff\xff")
    (tmp_path / "context.json").write_text(
        '{"screening_exam": true, "age_years": 61, "ever_smoker": true}'
    )
    (tmp_path / "wrong.json").write_text('{"age": 61}')

    def analyse(context: str, report: str = "report.txt") -> Done:
        return run(
            "analyse", str(tmp_path / "ct"), "--out", str(tmp_path / "out"), "--json",
            "--context", str(tmp_path / context), "--report", str(tmp_path / report),
        )  # fmt: skip

    findings = json.loads(analyse("context.json").stdout)
    wrong = analyse("wrong.json")
    unreadable = analyse("context.json", "empty.bin")

    assert findings["exam"]["lung_rads"]["applicable"] == "yes"
    assert findings["exam"]["lung_rads"]["category"] == "4B"
    assert "age" not in findings["nodules"][0]["guidelines"]["brock"]["missing"]
    assert "ever_smoker" not in findings["nodules"][0]["guidelines"]["mayo"]["missing"]
    assert findings["exam"]["fleischner_2017"]["applicable"] == "no"
    assert wrong.exit_code == 1
    assert "wrong.json" in wrong.stderr

    nodule, exam = findings["nodules"][0], findings["exam"]["report"]
    assert nodule["guidelines"]["brock"]["missing"] == ["sex", "family_history_lung_cancer"]
    told = nodule["report"]
    (source,) = told["reports"]
    assert (source["source"], source["message_id"], told["listed_for_report"]) == (
        "file", "report.txt", False
    )  # fmt: skip
    assert told["said"] == {
        "certainty": "asserted", "size_mm": 20.0, "laterality": side, "spiculation": "present"
    }  # fmt: skip
    assert told["spiculation_used"] is True
    assert [item["said"]["size_mm"] for item in exam["not_found"]] == [45.0]
    assert any(
        warning.startswith(f"the report describes a nodule (45 mm, {other} lung) that was not")
        for warning in findings["quality"]["warnings"]
    )
    jsonschema.Draft202012Validator(SCHEMA).validate(findings)
    missing = findings["clinical_context"]["missing"]
    assert not {"age_years", "screening_exam", "ever_smoker", "emphysema"} & set(missing)
    assert "sex" in missing
    history = {item["item"]: item for item in findings["clinical_context"]["values"]}
    assert history["pack_years"]["source"] == "report text"
    assert history["pack_years"]["message_id"] == "report.txt"
    assert unreadable.exit_code == 1
    assert "empty.bin: neither UTF-8 nor GB18030" in unreadable.stderr


def test_the_phantom_command_writes_a_series_and_its_truth(tmp_path: Path) -> None:
    done = run(
        "phantom", str(tmp_path), "--slices", "40", "--spacing", "4", "--pixels", "128",
        "--pixel-spacing", "2.8", "--nodule", "calcified:9", "--seed", "5",
    )  # fmt: skip
    truth = json.loads((tmp_path / "truth.json").read_text())

    assert done.exit_code == 0
    assert len(list(tmp_path.glob("*.dcm"))) == 40
    assert [nodule["type"] for nodule in truth["nodules"]] == ["calcified"]
    assert run("phantom", str(tmp_path), "--nodule", "round:9").exit_code == 1


def test_a_demonstration_empties_no_folder_of_others(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    done = run("demo", "--out", str(tmp_path))

    assert done.exit_code == 1
    assert (tmp_path / "thesis.txt").exists()


def test_the_commands_that_load_themselves_alone_are_those_of_serve() -> None:
    alone = typer.Typer()
    serve.register(alone)

    names = {item.name or item.callback.__name__ for item in alone.registered_commands}  # type: ignore[union-attr]

    assert names == SERVING
