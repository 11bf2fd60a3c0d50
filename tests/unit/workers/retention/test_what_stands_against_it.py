"""Removals that are cut off, come too late, or meet something that holds them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result as Done
from pydantic import ValidationError
from sqlalchemy import select
from typer.testing import CliRunner

from dicom_node.read.eligibility import load_rules
from tests.integration.bad_series import plain_series
from tests.migrated import migrated_application
from tests.unit.workers.retention.cases import (
    DAY_S,
    ago,
    confirmed,
    held,
    kinds_due,
    uid_of,
    with_policy,
)
from tests.unit.workers.rows import (
    back_up,
    change,
    get_job,
    history,
    job_of,
    receive,
    restore,
    set_state,
)
from workers.application import Application
from workers.audit_trail.follow import follow
from workers.audit_trail.spool import AuditSpool
from workers.cli import output
from workers.cli.main import app as command
from workers.errors import StoreUnavailable
from workers.settings import Settings
from workers.state.retention_tables import Removable
from workers.state.schema import (
    Job,
    JobState,
    KeptAside,
    Switch,
)
from workers.usecases.assemble import assemble_due
from workers.usecases.describe import show_job
from workers.usecases.index import index_inbox
from workers.usecases.prune import BACKUP_RUNS, begin_removal, finish_removals, prune
from workers.usecases.reindex import reindex
from workers.usecases.retain import due_removals


def test_a_store_that_is_away_holds_the_removal_and_loses_nothing(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = confirmed(app, tmp_path, "old", days=11)

    def away(_keys: object) -> None:
        raise StoreUnavailable("here", "it is away")

    with monkeypatch.context() as patch:
        patch.setattr(app.store, "remove", away)
        with pytest.raises(StoreUnavailable):
            prune(app)
    assert held(app, uid) == 2

    prune(app)

    assert held(app, uid) == 0


def test_what_the_database_does_not_know_is_never_deleted(app: Application, tmp_path: Path) -> None:
    uid = confirmed(app, tmp_path, "old", days=11)
    study = job_of(app, uid).study_uid
    unknown = f"instances/{study}/{uid}/{1:020d}-1.0-1.2.3.4.5.dcm"
    app.store.put_bytes(unknown, b"acknowledged, and lost from the database")

    prune(app)

    assert app.store.keys("instances") == [unknown]


def test_a_database_older_than_the_removal_learns_what_is_gone(
    app: Application, tmp_path: Path
) -> None:
    uid = confirmed(app, tmp_path, "old", days=11)
    confirmed(app, tmp_path, "young", days=1)
    back_up(app, tmp_path / "backup.sqlite")
    prune(app)
    restore(app, tmp_path / "backup.sqlite")

    found = reindex(app)

    assert found.gone == 2
    assert any("stand in the object store no more" in line
               for line in history(app, job_of(app, uid).id))  # fmt: skip
    assert kinds_due(app) == []


def test_an_empty_store_is_not_taken_for_what_became_of_everything(
    app: Application, tmp_path: Path
) -> None:
    uid = confirmed(app, tmp_path, "old", days=1)
    app.store.remove([*app.store.keys("instances"), *app.store.keys("records")])

    with pytest.raises(StoreUnavailable, match="is it the right one"):
        reindex(app)

    with app.database.read() as session:
        assert show_job(session, uid)["instances_removed"] == 0


def test_a_series_of_which_something_was_removed_is_asked_for_again(
    app: Application, tmp_path: Path
) -> None:
    datasets = plain_series("back", slices=3)
    uid = uid_of(datasets[0])
    receive(app, tmp_path, *datasets)
    job_id = set_state(app, uid, JobState.CANCELLED)
    ago(app, job_id, 101)
    prune(app)
    set_state(app, uid, JobState.RECEIVING)  # as `jobs retry` does
    change(app, Job, job_id, last_instance_at=app.now())
    rules = load_rules(None)

    assemble_due(app, rules, now=app.now() + 21)
    assert "3 of its instances were removed" in str(get_job(app, job_id).reason)
    assemble_due(app, rules, now=app.now() + 100)
    assert get_job(app, job_id).reason_code == "instances_removed"

    receive(app, tmp_path / "again", *datasets)

    assert held(app, uid) == 3
    assert get_job(app, job_id).state == JobState.RECEIVING
    with app.database.read() as session:
        assert show_job(session, uid)["instances_removed"] == 0
    assemble_due(app, rules, now=app.now() + 100)
    assert get_job(app, job_id).reason_code != "instances_removed"


def test_copies_of_a_confirmed_series_that_come_again_are_ignored_as_before(
    app: Application, tmp_path: Path
) -> None:
    datasets = plain_series("again", slices=2)
    uid = confirmed(app, tmp_path, "again", days=11)
    prune(app)

    receive(app, tmp_path / "again2", *datasets)

    assert held(app, uid) == 0
    assert job_of(app, uid).state == JobState.CONFIRMED
    assert not app.spool.inbox()


def test_files_kept_aside_go_once_somebody_has_decided(app: Application) -> None:
    app.spool.accept("1.2.3", b"no DICOM")
    index_inbox(app)
    (path,) = app.spool.quarantined()
    with app.database.read() as session:
        (job,) = session.scalars(select(Job)).all()
    change(app, KeptAside, path.name, at=app.now() - 200 * DAY_S)
    ago(app, job.id, 200)
    prune(app)
    assert app.spool.quarantined()

    set_state(app, job.series_uid, JobState.CANCELLED)
    ago(app, job.id, 101)
    prune(app)

    assert not app.spool.quarantined()
    assert "1 files kept aside" in history(app, job.id)[-1]


def test_nothing_goes_while_a_backup_is_made(app: Application, tmp_path: Path) -> None:
    uid = confirmed(app, tmp_path, "old", days=11)
    with app.database.write() as session:
        session.add(Switch(name=BACKUP_RUNS, value="on", changed_at=app.now()))

    prune(app)
    assert held(app, uid) == 2

    change(app, Switch, BACKUP_RUNS, changed_at=app.now() - 7 * 3600)  # it was cut off
    prune(app)
    assert held(app, uid) == 0


def test_history_stays_until_it_was_told_as_audit_messages(
    app: Application, tmp_path: Path
) -> None:
    app = with_policy(
        app, keep_results_days=20, keep_ended_days=100, keep_history_days=30,
        dicom_audit={"host": "127.0.0.1"},
    )  # fmt: skip
    follow(app)  # what was before is not told
    uid = confirmed(app, tmp_path, "old", days=31)
    for _ in range(2):
        prune(app)
    before = kinds_due(app)

    follow(app)
    after = kinds_due(app)
    prune(app)

    assert before == []
    assert after == [(uid, Removable.HISTORY)]
    assert len(history(app, job_of(app, uid).id)) == 1  # that it was removed
    assert len(AuditSpool(app.settings.data_dir).waiting()) == 2


def test_a_removal_that_is_not_due_any_more_is_not_begun(app: Application, tmp_path: Path) -> None:
    uid = confirmed(app, tmp_path, "old", days=11)
    with app.database.read() as session:
        (due,) = due_removals(session, app.settings, now=app.now(), limit=5)
    receive(app, tmp_path / "late", plain_series("old", slices=3)[2])  # meanwhile

    assert begin_removal(app, due) is False
    assert due.what is Removable.RECEIVED
    assert finish_removals(app).removals == 0
    assert held(app, uid) == 3


def test_the_command_lists_without_removing_and_then_removes(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = migrated_application(settings)
    uid = confirmed(app, tmp_path, "old", days=200)
    monkeypatch.setattr(output.console, "_width", 200)
    environment = {"PULMONODE_DATA_DIR": str(settings.data_dir)}

    def run(*arguments: str) -> Done:
        return CliRunner().invoke(command, ["storage", *arguments], env=environment)

    dry = run("prune", "--dry-run")
    listed = json.loads(run("prune", "--dry-run", "--json").stdout)
    shown = json.loads(run("--json").stdout)
    assert held(app, uid) == 2
    done = run("prune")

    assert "2 received instances" in dry.stdout
    assert "due to go: 2 received instances of 1 jobs" in dry.stdout
    assert [(item["what"], item["objects"]) for item in listed] == [("received", 2)]
    assert shown["received"]["objects"] == 2
    assert shown["due"]["received"]["objects"] == 2
    assert shown["policy_days"]["keep_results_days"] is None
    assert "removed 2 objects" in done.stdout
    assert held(app, uid) == 0
    assert "received and removed since: 2" in run().stdout
    app.database.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep_received_days": 10, "keep_ended_days": 5},
        {"keep_received_days": 0, "keep_results_days": 5},
        {"keep_results_days": 0, "keep_history_days": 5},
    ],
)
def test_limits_that_would_remove_what_others_rest_on_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="which has to end before it"):
        Settings(**wrong)
