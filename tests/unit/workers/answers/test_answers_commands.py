"""`pulmonode answers`: said at the command line, offered to the bank, exported and read back."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from inference.grading.table import ModalityTable
from tests.unit.workers.answers.cases import (
    Reported,
    add_group,
    arrive,
    drop,
    give_result,
    regrade,
    replacing,
    stored_answers,
    verdicts,
)
from tests.unit.workers.rows import get_job, history, lose_database
from workers.application import Application
from workers.bank.candidates import read_candidates
from workers.bank.changes import begin
from workers.bank.current import find_shipped_bank, open_bank
from workers.bank.folder import BankFolder
from workers.cli.main import app as command
from workers.datasets.points import find_scans
from workers.datasets.scan import AnnotatedScan
from workers.datasets.segmentations import find_scans as find_segmented
from workers.settings import Settings
from workers.state.schema import Result as ResultRow
from workers.usecases.record import read_record, record_due
from workers.usecases.reindex import reindex

Run = Callable[..., Result]


@pytest.fixture
def run(app: Application) -> Run:
    def invoke(*arguments: str, **environment: str) -> Result:
        variables = {
            "PULMONODE_DATA_DIR": str(app.settings.data_dir), "COLUMNS": "200", **environment,
        }  # fmt: skip
        return CliRunner().invoke(command, list(arguments), env=variables)

    return invoke


@pytest.fixture(scope="module")
def features(reported: Reported) -> ModalityTable:
    """What three cases of the shipped bank were described by, a little changed, as our nodules."""
    cases = open_bank(find_shipped_bank(Settings())).table
    picked = cases.rows(np.array([11, 222, 433]))
    return replace(
        picked,
        features={name: (values * 1.01).astype(np.float32)
                  for name, values in picked.features.items()},
        patients=np.array(["digest of somebody"] * 3),
        nodules=np.array(reported.uids),
        rating=np.full(3, np.nan),
    )  # fmt: skip


@pytest.fixture
def job(app: Application, tmp_path: Path, reported: Reported) -> str:
    return str(give_result(app, tmp_path, reported))


@pytest.fixture
def graded_job(
    app: Application, tmp_path: Path, reported: Reported, features: ModalityTable
) -> str:
    return str(give_result(app, tmp_path, reported, features))


def test_what_is_said_here_is_kept_with_who_and_when_and_shown(
    app: Application, run: Run, job: str, reported: Reported
) -> None:
    said = run("answers", "add", job, "1", "--level", "IV", "--by", "Dr. One")
    run("answers", "add", job, reported.uids[1], "--accept", "--level", "III")
    run("answers", "add", job, "3", "--reject", "--comment", "vessel of Mr Muster")
    run("answers", "add", job, "--missed", "10,-20,-280.5", "--diameter", "6")
    run("answers", "add", job, "1", "--rating", "2", "--by", "Dr. Two")

    assert said.exit_code == 0, said.output
    assert "regrade, other level" in said.output
    assert [row.verdict for row in stored_answers(app)] == [
        "regrade", "accept", "reject", "added", "regrade",
    ]  # fmt: skip
    shown = json.loads(run("answers", "show", job, "--json").output)
    first, second, third = shown["nodules"]
    assert (first["answer"]["said"], first["answer"]["author"]) == ({"rating": 2.0}, "Dr. Two")
    assert [one["author"] for one in first["answers"]] == ["Dr. One", "Dr. Two"]
    assert second["answer"]["said"] == {"same_level": "III"}
    assert shown["others"][0]["answer"]["said"]["centre_lps_mm"] == [10.0, -20.0, -280.5]
    assert first["answer"]["role"] == "operator"
    told = run("jobs", "show", job).output
    assert "rating 2" in told
    assert "Muster" not in told
    assert "vessel of Mr Muster" in run("answers", "show", job).output
    assert any("command line: reject" in line for line in history(app, int(job)))
    assert "regrade" in run("answers", "list").output
    assert third["answer"]["verdict"] == "reject"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("1",), "say --accept"),
        (("9", "--accept"), "there are: 1, 2, 3"),
        (("1", "--level", "V"), "--level"),
        (("1", "--rating", "7"), "not in 1 to 5"),
        (("1", "--reject", "--rating", "4"), "no grade"),
        (("1", "--outcome", "malignant"), "histology"),
        (("1", "--accept", "--date", "2026-01-01"), "--outcome"),
        (("--missed", "1,2"), "three numbers"),
        (("--missed", "1,2,3"), "--diameter"),
        (("1", "--accept", "--by", " "), "--by"),
    ],
)
def test_what_does_not_hold_together_is_refused(
    run: Run, app: Application, job: str, arguments: tuple[str, ...], complaint: str
) -> None:
    refused = run("answers", "add", job, *arguments)

    assert refused.exit_code == 1
    assert complaint in refused.output
    assert stored_answers(app) == []


def test_answers_and_features_outlive_the_database(
    app: Application, run: Run, graded_job: str, reported: Reported
) -> None:
    run("answers", "add", graded_job, "2", "--outcome", "benign", "--evidence", "histology",
        "--date", "2026-02-03", "--by", "Dr. One")  # fmt: skip
    record_due(app)
    before = stored_answers(app)[0]
    record = read_record(app, reported.series_uid, 1)
    lose_database(app)

    reindex(app)
    reindex(app)

    (after,) = stored_answers(app)
    assert (after.said, after.author, after.said_at) == (before.said, "Dr. One", before.said_at)
    assert after.said["outcome"] == "benign"
    with app.database.read() as session:
        result = session.get_one(ResultRow, after.job_id)
    assert record is not None
    assert result.features_path == record["result"]["features_path"] is not None


def test_an_export_names_nobody_and_evaluate_site_reads_it(
    app: Application, run: Run, graded_job: str, reported: Reported, tmp_path: Path
) -> None:
    edited = replacing(reported)
    regrade(edited, reported.uids[0], "IV")
    drop(edited, reported.uids[2])
    add_group(edited, reported)
    arrive(app, tmp_path, edited)
    run("answers", "add", graded_job, "2", "--outcome", "malignant", "--evidence", "histology",
        "--date", "2026-02-03", "--by", "Dr. Two", "--comment", "Muster")  # fmt: skip
    out = tmp_path / "out"

    done = run("answers", "export", str(out))

    assert "4 answers, 2 with a rating or an outcome, 2 of these with features" in done.output
    with (out / "answers.csv").open() as stream:
        rows = {row["verdict"]: row for row in csv.DictReader(stream)}
    assert set(rows) == {"accept", "regrade", "reject", "added"}
    assert (rows["regrade"]["rating"], rows["regrade"]["rating_from"]) == ("5.0", "level")
    assert (rows["accept"]["outcome"], rows["accept"]["earlier"]) == ("malignant", "1")
    assert rows["reject"]["rating"] == ""
    assert len({row["patient"] for row in rows.values()}) == 1
    written = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    names = (*reported.uids, "MRN-1", "Muster", "Reader", "Dr. Two", edited.SOPInstanceUID,
             reported.series_uid, reported.series.study_instance_uid)  # fmt: skip
    assert [name for name in names if name.encode() in written] == []
    figures = tmp_path / "figures.json"
    tested = run("evaluate", "site", str(out / "features.npz"), "--outcomes",
                 str(out / "outcomes.csv"), "--rounds", "20", "--json", str(figures))  # fmt: skip
    assert tested.exit_code == 3, tested.output  # two rows reach no limit
    found = json.loads(figures.read_text())
    assert (found["rows"], found["without_answer"], found["answers_without_row"]) == (2, 0, 0)
    assert found["patients"] == 1


def test_positions_and_images_are_a_data_set_that_trains(
    run: Run, job: str, reported: Reported, tmp_path: Path
) -> None:
    run("answers", "add", job, "1", "--accept")
    run("answers", "add", job, "3", "--reject")
    added = reported.findings["nodules"][1]["centre_lps_mm"]
    place = ",".join(f"{value:g}" for value in (added[0], added[1] + 25, added[2]))
    run("answers", "add", job, "--missed", place, "--diameter", "6")

    done = run("answers", "export", str(tmp_path / "out"), "--images")

    assert "1 series with images, 0 of these with segments: they name the patient" in done.output
    (scan,) = find_scans(tmp_path / "out" / "positions.csv")
    assert isinstance(scan, AnnotatedScan)
    assert [round(nodule.diameter_mm) for nodule in scan.nodules] == [10, 6]
    assert [mark.kind for mark in scan.other_marks] == ["excluded"]  # nodule 2: nobody answered
    np.testing.assert_allclose(
        scan.negatives_lps_mm, [reported.findings["nodules"][2]["centre_lps_mm"]], atol=0.01
    )
    assert scan.identifier == reported.series_uid
    assert scan.patient_id != "MRN-1"


@pytest.mark.usefixtures("job")
def test_segments_of_a_series_that_was_answered_wholly_are_a_data_set(
    app: Application, run: Run, reported: Reported, tmp_path: Path
) -> None:
    edited = replacing(reported)
    drop(edited, reported.uids[1])
    arrive(app, tmp_path, edited)

    done = run("answers", "export", str(tmp_path / "out"), "--images")

    assert "1 of these with segments" in done.output
    (scan,) = find_segmented(tmp_path / "out")
    assert isinstance(scan, AnnotatedScan)
    assert [nodule.identifier for nodule in scan.nodules] == ["Nodule 1", "Nodule 3"]
    for nodule, ours in zip(scan.nodules, (reported.nodules[0], reported.nodules[2]), strict=True):
        assert nodule.mask is not None
        assert nodule.mask.volume_mm3 == pytest.approx(ours.volume_mm3, rel=1e-6)


def test_an_answer_becomes_a_candidate_of_the_bank_and_no_more(
    app: Application, run: Run, graded_job: str, reported: Reported, tmp_path: Path
) -> None:
    folder = BankFolder(tmp_path / "bank")
    shipped = find_shipped_bank(Settings())
    begin(folder, shipped.path, prefix="KGH", by="Ada Admin", sha256=shipped.sha256)
    site = {"PULMONODE_BANK_DIR": str(folder.path)}
    edited = replacing(reported)
    regrade(edited, reported.uids[0], "IV")
    arrive(app, tmp_path, edited)
    regraded, accepted, _ = stored_answers(app)

    offered = run("answers", "offer", str(regraded.id), "--by", "Dr. Two", **site)
    plain = run("answers", "offer", str(accepted.id), "--by", "Dr. Two", **site)
    again = run("answers", "offer", str(regraded.id), "--by", "Dr. Two", **site)
    alone = run("bank", "promote", "KGH-0001", "--by", "Reader One", **site)

    assert "candidate KGH-0001: waits for a second person" in offered.output
    (candidate,) = read_candidates(folder.candidates_dir)
    assert candidate.answer is not None
    assert (candidate.added_by, candidate.answer.by) == ("Dr. Two", "Reader One")
    assert (candidate.answer.rating, candidate.answer.evidence) == (5.0, "reader-rated")
    picture = np.asarray(Image.open(folder.pictures_dir / "KGH-0001.png"))
    bright = np.argwhere(picture > 161)  # the nodule of 50 HU, its middle in the middle
    assert 0.05 < len(bright) / picture.size < 0.4
    assert bright.mean(axis=0) == pytest.approx([23.5, 23.5], abs=1.5)
    assert "neither a rating" in plain.output
    assert "is this nodule already" in again.output
    assert alone.exit_code == 1  # who answered is no second person
    assert "second person" in alone.output
    assert len(folder.versions()) == 1
    run("answers", "export", str(tmp_path / "out"), **site)
    (row,) = json.loads((tmp_path / "out" / "answers.json").read_text())[:1]
    assert row["patient"].startswith("KGH-")
    assert get_job(app, int(graded_job)).state != "queued"


def test_an_answer_that_was_overtaken_is_not_offered(
    app: Application, run: Run, graded_job: str, tmp_path: Path, reported: Reported
) -> None:
    folder = BankFolder(tmp_path / "bank")
    shipped = find_shipped_bank(Settings())
    begin(folder, shipped.path, prefix="KGH", by="Ada Admin", sha256=shipped.sha256)
    run("answers", "add", graded_job, "1", "--rating", "5", "--by", "Dr. One")
    run("answers", "add", graded_job, "1", "--reject", "--by", "Dr. Two")
    first, second = stored_answers(app)

    old = run("answers", "offer", str(first.id), "--by", "Dr. Two",
              PULMONODE_BANK_DIR=str(folder.path))  # fmt: skip
    rejected = run("answers", "offer", str(second.id), "--by", "Dr. Two",
                   PULMONODE_BANK_DIR=str(folder.path))  # fmt: skip

    assert f"answer {second.id} was said later" in old.output
    assert "only a graded nodule of ours" in rejected.output
    assert read_candidates(folder.candidates_dir) == ()
    assert verdicts(app, reported)[1] == "reject"
