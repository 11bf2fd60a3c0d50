"""`pulmonode jobs`, `queue`, `alarms` and `reindex`, called in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result as Done
from typer.testing import CliRunner

from tests.integration.bad_series import plain_series
from tests.unit.workers.rows import (
    NOW,
    add_delivery,
    add_job,
    add_result,
    change,
    count,
    get_job,
    job_of,
    lose_database,
    receive,
    set_state,
)
from workers.application import Application
from workers.cli import output
from workers.cli.main import app as command
from workers.state.alarms import DESTINATION_SILENT, raise_alarm
from workers.state.schema import DeliveryState, Job, JobState, Priority
from workers.supervisor import hold_folder

Run = Callable[..., Done]


@pytest.fixture
def run(app: Application, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call the command on the application's data folder."""
    # The log would stay bound to the runner's stream, which is closed after each call.
    monkeypatch.setattr(output, "configure_logging", lambda *_: None)
    monkeypatch.setattr(output.console, "_width", 200)
    environment = {"PULMONODE_DATA_DIR": str(app.settings.data_dir)}

    def invoke(*arguments: str) -> Done:
        return CliRunner().invoke(command, arguments, env=environment)

    return invoke


def dead_letter(app: Application, uid: str, reason: str, **values: object) -> int:
    return add_job(
        app, JobState.FAILED, series_uid=uid, reason_code=reason, reason=f"why {reason}", **values
    )


def undelivered(app: Application, uid: str, destination: str) -> int:
    job_id = dead_letter(app, uid, "delivery_failed")
    add_result(app, job_id, sop_uid=f"{uid}.9")
    add_delivery(app, job_id, destination, state=DeliveryState.FAILED)
    return job_id


def test_dead_letters_are_listed_oldest_first_and_nothing_else(app: Application, run: Run) -> None:
    young = dead_letter(app, "1.1", "OSError", state_since=NOW + 5)
    old = dead_letter(app, "1.2", "worker_lost", state_since=NOW)
    add_job(app, JobState.NOT_ELIGIBLE, series_uid="1.3")

    shown = run("jobs", "dead")
    listed = json.loads(run("jobs", "dead", "--json").stdout)

    assert [row["id"] for row in listed] == [old, young]
    assert "why OSError" in shown.stdout
    assert "2 jobs need a person" in shown.stdout


def test_alarms_are_shown_with_exit_code_2_and_without_any_with_0(
    app: Application, run: Run
) -> None:
    quiet = run("alarms")
    with app.database.write() as session:
        raise_alarm(session, DESTINATION_SILENT, "main", "main has taken nothing", at=NOW)

    shown = run("alarms")
    listed = run("alarms", "--json")

    assert (quiet.exit_code, shown.exit_code, listed.exit_code) == (0, 2, 2)
    assert "no alarm is open" in quiet.stdout
    assert "destination_silent main since" in shown.stdout
    assert json.loads(listed.stdout) == [
        {
            "code": "destination_silent",
            "subject": "main",
            "message": "main has taken nothing",
            "raised_at": NOW,
        }
    ]


def test_a_lost_index_is_rebuilt_and_what_was_found_is_said(
    app: Application, run: Run, tmp_path: Path
) -> None:
    datasets = plain_series("rebuilt", slices=3)
    receive(app, tmp_path, *datasets)
    lose_database(app)

    done = run("reindex")

    assert done.exit_code == 0
    assert "taken up: 3 instances, 0 files kept aside, 0 results" in done.stdout
    assert job_of(app, str(datasets[0].SeriesInstanceUID)).instance_count == 3


def test_the_index_is_not_rebuilt_while_the_node_runs(
    app: Application, run: Run, tmp_path: Path
) -> None:
    receive(app, tmp_path, *plain_series("in use", slices=1))
    lose_database(app)
    hold_folder(app.settings.data_dir)  # as `pulmonode up` does

    done = run("reindex")

    assert done.exit_code == 1
    assert "is in use by another 'pulmonode up', 'node' or 'reindex': stop it first" in done.stderr
    assert count(app, Job) == 0


@pytest.mark.parametrize("level", ["urgent", "normal", "off_peak", "URGENT"])
def test_a_job_is_moved_forward_or_back(app: Application, run: Run, level: str) -> None:
    job_id = add_job(app, priority=9)

    assert run("jobs", "priority", str(job_id), level).exit_code == 0
    assert get_job(app, job_id).priority == Priority[level.upper()]


def test_a_priority_that_does_not_exist_is_refused_with_those_that_do(
    app: Application, run: Run
) -> None:
    add_job(app)

    done = run("jobs", "priority", "1", "highest")

    assert done.exit_code == 1
    assert "no priority highest: there are off_peak, normal, urgent" in done.stderr
    assert get_job(app, 1).priority == Priority.NORMAL


@pytest.mark.parametrize(
    ("arguments", "restarted"),
    [
        (("--all",), {1, 2, 3}),
        (("--code", "OSError"), {1}),
        (("--destination", "main"), {2}),
        (("--code", "delivery_failed", "--destination", "second"), {3}),
        (("1.1",), {1}),
        (("3",), {3}),
    ],
)
def test_dead_letters_are_restarted_one_by_one_or_in_bulk(
    app: Application, run: Run, arguments: tuple[str, ...], restarted: set[int]
) -> None:
    dead_letter(app, "1.1", "OSError")
    undelivered(app, "1.2", "main")
    undelivered(app, "1.3", "second")

    assert run("jobs", "retry", *arguments).exit_code == 0

    assert {n for n in (1, 2, 3) if get_job(app, n).state != JobState.FAILED} == restarted


@pytest.mark.parametrize("arguments", [(), ("1", "--all"), ("1", "--code", "OSError")])
def test_retry_wants_to_know_either_which_job_or_which_kind(
    app: Application, run: Run, arguments: tuple[str, ...]
) -> None:
    dead_letter(app, "1.1", "OSError")

    done = run("jobs", "retry", *arguments)

    assert done.exit_code == 1
    assert "name one job, or say --all, --code or --destination" in done.stderr
    assert get_job(app, 1).state == JobState.FAILED


def test_a_dead_letter_that_could_not_be_restarted_is_not_counted_as_restarted(
    app: Application, run: Run
) -> None:
    dead_letter(app, "1.1", "OSError")
    stuck = dead_letter(app, "1.2", "delivery_failed")
    add_result(app, stuck)

    done = run("jobs", "retry", "--all")

    assert "no destination is configured" in " ".join(done.stdout.split())
    assert "1 jobs started again" in done.stdout


def test_a_job_is_cancelled_and_what_cannot_be_says_why(app: Application, run: Run) -> None:
    add_job(app)

    done, again = run("jobs", "cancel", "1"), run("jobs", "cancel", "1")

    assert (done.exit_code, again.exit_code) == (0, 1)
    assert "job 1: cancelled" in done.stdout
    assert "job 1 is cancelled and cannot become cancelled" in again.stderr


def test_a_job_is_forced(app: Application, run: Run) -> None:
    add_job(app, JobState.NOT_ELIGIBLE)

    assert "job 1.2.3: receiving" in run("jobs", "force", "1.2.3").stdout
    assert get_job(app, 1).forced


def test_a_job_without_a_result_is_not_exported(app: Application, run: Run, tmp_path: Path) -> None:
    add_job(app)

    done = run("jobs", "export", "1", "--out", str(tmp_path / "out"))

    assert done.exit_code == 1
    assert "job 1 is queued and has no result" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_job_is_shown_with_its_revisions_corrections_and_files_kept_aside(
    app: Application, run: Run, tmp_path: Path
) -> None:
    (ds,) = plain_series("shown", slices=1)
    receive(app, tmp_path, ds)
    ds.PatientName = "Right^Name"
    receive(app, tmp_path, ds)
    set_state(app, str(ds.SeriesInstanceUID), JobState.SUPERSEDED)
    receive(app, tmp_path, plain_series("shown", slices=2)[1])
    ds.PixelData = bytes(len(ds.PixelData))
    receive(app, tmp_path, ds)
    change(app, Job, 2, correction="patient_name")

    shown = run("jobs", "show", str(ds.SeriesInstanceUID))
    told = json.loads(run("jobs", "show", "2", "--json").stdout)

    assert "corrected by a newer copy: patient_name" in shown.stdout
    assert "revisions: 1 superseded (job 1), 2 quarantined (job 2)" in shown.stdout
    assert "(pixels_changed)" in shown.stdout
    assert [item["revision"] for item in told["revisions"]] == [1, 2]
    assert "Right^Name" not in shown.stdout + json.dumps(told)


def test_the_list_is_no_longer_than_asked_and_counts_every_state(
    app: Application, run: Run
) -> None:
    for number in range(4):
        add_job(app, series_uid=f"1.{number}")
    add_job(app, JobState.RECEIVING, series_uid="1.9")

    shown = run("jobs", "list", "--limit", "2")
    listed = json.loads(run("jobs", "list", "--limit", "2", "--json").stdout)

    assert [row["id"] for row in listed] == [5, 4]
    assert "queued: 4 receiving: 1" in shown.stdout


def test_a_database_that_cannot_be_opened_is_one_clear_line(app: Application, run: Run) -> None:
    app.database.close()
    (app.settings.data_dir / "state.sqlite").write_bytes(b"this is no database" * 100)

    done = run("jobs", "list")

    assert isinstance(done.exception, SystemExit)  # and nothing that nobody expected
    assert "state database: " in done.stderr
