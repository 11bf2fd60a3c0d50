"""What the policy lets go, and that nothing else ever goes, whatever is cut off in between."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result as Done
from pydantic import ValidationError
from pydicom.dataset import Dataset
from s3fs import S3FileSystem
from sqlalchemy import select
from typer.testing import CliRunner

from dicom_node import barriers
from dicom_node.barriers import Barrier
from dicom_node.read.eligibility import load_rules
from tests.integration.bad_series import plain_series
from tests.integration.service import free_port
from tests.migrated import migrated_application
from tests.servers.s3 import S3Server
from tests.unit.workers.rows import (
    back_up,
    change,
    commit,
    count,
    get_job,
    history,
    job_of,
    receive,
    restore,
    set_state,
    with_settings,
)
from workers.application import Application
from workers.cli import output
from workers.cli.main import app as command
from workers.errors import StoreUnavailable
from workers.settings import Settings
from workers.state.answer_tables import AnswerReport, ReportOutcome
from workers.state.retention_tables import Removable, Removal
from workers.state.schema import (
    Delivery,
    DeliveryState,
    Instance,
    Job,
    JobState,
    KeptAside,
    Switch,
)
from workers.usecases.assemble import assemble_due
from workers.usecases.describe import show_job
from workers.usecases.export import export_result
from workers.usecases.index import index_inbox
from workers.usecases.prune import BACKUP_RUNS, begin_removal, finish_removals, prune
from workers.usecases.record import record_due
from workers.usecases.reindex import reindex
from workers.usecases.retain import due_removals

DAY_S = 86_400.0


class Cut(Exception):
    """The process ends here."""


ON_BOTH = pytest.mark.parametrize(
    "app", ["folder", pytest.param("s3", marks=pytest.mark.peer)], indirect=True
)


@pytest.fixture
def app(
    request: pytest.FixtureRequest, settings: Settings, tmp_path: Path
) -> Iterator[Application]:
    kept: dict[str, object] = {
        "keep_received_days": 10, "keep_ended_days": 100, "incomplete_wait_s": 5,
    }  # fmt: skip
    if getattr(request, "param", "folder") == "s3":
        server: S3Server = request.getfixturevalue("s3")
        kept["store_url"] = server.url("pulmonode", tmp_path.name)
    opened = migrated_application(with_settings(settings, **kept))
    yield opened
    opened.database.close()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server(free_port()) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        server.make_bucket("pulmonode")
        S3FileSystem.clear_instance_cache()  # another module's server may be in it
        yield server
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def cut_at() -> Iterator[Callable[[Barrier], None]]:
    def install(where: Barrier) -> None:
        def strike(barrier: Barrier) -> None:
            if barrier is where:
                raise Cut

        barriers.install(strike)

    yield install
    barriers.install(None)


def uid_of(ds: Dataset) -> str:
    return str(ds.SeriesInstanceUID)


def ago(app: Application, job_id: int, days: float) -> None:
    change(app, Job, job_id, state_since=app.now() - days * DAY_S)


def confirmed(app: Application, folder: Path, name: str, *, days: float, slices: int = 2) -> str:
    """A series whose result every destination confirmed so long ago."""
    datasets = plain_series(name, slices=slices)
    receive(app, folder / name, *datasets)
    job_id = commit(app, uid_of(datasets[0]), name)
    record_due(app)
    with app.database.write() as session:
        for delivery in session.scalars(select(Delivery).where(Delivery.job_id == job_id)):
            delivery.state = DeliveryState.CONFIRMED
    set_state(app, uid_of(datasets[0]), JobState.CONFIRMED)
    ago(app, job_id, days)
    return uid_of(datasets[0])


def held(app: Application, uid: str) -> int:
    """How many objects of a series stand in the store."""
    return sum(uid in key for key in app.store.keys("instances"))


def kinds_due(app: Application) -> list[tuple[str, str]]:
    with app.database.read() as session:
        due = due_removals(session, app.settings, now=app.now(), limit=100)
    return [(item.series_uid, item.what) for item in due]


@ON_BOTH
def test_instances_go_when_their_result_has_been_confirmed_for_long_enough(
    app: Application, tmp_path: Path
) -> None:
    old = confirmed(app, tmp_path, "old", days=11)
    young = confirmed(app, tmp_path, "young", days=9)

    done = prune(app)

    assert (held(app, old), held(app, young)) == (0, 2)
    assert (done.removals, done.objects) == (1, 2)
    assert done.size_bytes > 0
    job = job_of(app, old)
    assert job.state == JobState.CONFIRMED
    last = history(app, job.id)[-1]
    assert last.startswith("removed by the retention policy: 2 received instances, ")
    assert last.endswith("MB (confirmed, kept for 10 days after that)")
    with app.database.read() as session:
        shown = show_job(session, old)
    assert shown["instances_removed"] == 2
    assert len(app.store.keys("results")) == 3  # of both: findings are shared, a report each
    assert prune(app).removals == 0


@ON_BOTH
def test_older_copies_of_what_goes_go_with_it(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("copied", slices=1)
    receive(app, tmp_path, ds)
    again = copy.deepcopy(ds)
    again.SeriesDescription = "put right"
    receive(app, tmp_path / "again", again)
    job_id = set_state(app, uid_of(ds), JobState.CANCELLED)
    ago(app, job_id, 101)

    assert held(app, uid_of(ds)) == 2
    prune(app)
    assert held(app, uid_of(ds)) == 0


@pytest.mark.parametrize(
    ("states", "days", "goes"),
    [
        ((JobState.NOT_ELIGIBLE,), 99, False),
        ((JobState.NOT_ELIGIBLE,), 101, True),
        ((JobState.CANCELLED,), 101, True),
        ((JobState.FAILED,), 1000, False),  # a person decides
        ((JobState.QUARANTINED,), 1000, False),
        ((), 1000, False),  # still receiving
        ((JobState.COMPLETE, JobState.QUEUED), 1000, False),
    ],
)
def test_what_is_not_confirmed_goes_only_when_it_has_ended_and_after_the_longer_limit(
    app: Application, tmp_path: Path, states: tuple[JobState, ...], days: float, goes: bool
) -> None:
    (ds,) = plain_series("ended", slices=1)
    receive(app, tmp_path, ds)
    job_id = set_state(app, uid_of(ds), *states)
    ago(app, job_id, days)

    prune(app)

    assert held(app, uid_of(ds)) == (0 if goes else 1)


@pytest.mark.parametrize("delivery", ["queued", "failed", "withheld", "awaits proof", "delivered"])
def test_instances_of_an_unconfirmed_result_stay_until_no_proof_can_come(
    app: Application, tmp_path: Path, delivery: str
) -> None:
    (ds,) = plain_series("unconfirmed", slices=1)
    receive(app, tmp_path, ds)
    job_id = commit(app, uid_of(ds))
    state = "delivered" if delivery == "awaits proof" else delivery
    with app.database.write() as session:
        for item in session.scalars(select(Delivery).where(Delivery.job_id == job_id)):
            item.state = state
            item.awaits_commitment_until = 1.0 if delivery == "awaits proof" else None
    if state == "failed":
        set_state(app, uid_of(ds), JobState.FAILED)
    elif state == "delivered":
        set_state(app, uid_of(ds), JobState.DELIVERED)
    ago(app, job_id, 1000)

    prune(app)

    assert held(app, uid_of(ds)) == (0 if delivery == "delivered" else 1)


def test_a_later_revision_under_way_keeps_everything_of_its_series(
    app: Application, tmp_path: Path
) -> None:
    uid = confirmed(app, tmp_path, "revised", days=11)
    late = plain_series("revised", slices=3)[2]
    receive(app, tmp_path / "late", late)

    prune(app)

    assert held(app, uid) == 3


def test_a_report_that_answers_ours_stays(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("answer", slices=1)
    receive(app, tmp_path, ds)
    ago(app, set_state(app, uid_of(ds), JobState.NOT_ELIGIBLE), 1000)
    with app.database.write() as session:
        session.add(
            AnswerReport(
                sop_uid=str(ds.SOPInstanceUID), header_sha256="0", received_at=1.0,
                outcome=ReportOutcome.UNCLEAR,
            )
        )  # fmt: skip

    prune(app)

    assert held(app, uid_of(ds)) == 1


@ON_BOTH
def test_results_go_by_their_own_limit_with_their_record_and_say_so(
    app: Application, tmp_path: Path
) -> None:
    both = with_policy(app, keep_results_days=20)
    old = confirmed(app, tmp_path, "old", days=21)
    young = confirmed(app, tmp_path, "young", days=19)

    prune(both)

    assert app.store.keys("records") == [f"records/{young}/1.json"]
    assert len(app.store.keys("results")) == 2  # the young one's; both share the findings
    job = job_of(app, old)
    assert any("objects of the result" in line for line in history(app, job.id))
    with app.database.read() as session:
        shown = show_job(session, old)
    export_result(app.store, shown, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["job.json"]


def test_results_stay_for_ever_unless_told_otherwise(app: Application, tmp_path: Path) -> None:
    confirmed(app, tmp_path, "old", days=30_000)

    prune(app)

    assert app.store.keys("records")


def test_history_goes_last_and_the_job_itself_stays(app: Application, tmp_path: Path) -> None:
    uid = confirmed(app, tmp_path, "old", days=31)
    policy = with_policy(app, keep_results_days=20, keep_history_days=30)

    prune(policy)  # instances and result
    assert count(app, Instance) == 2
    prune(policy)

    assert count(app, Instance) == 0
    assert [line.split(" (")[0] for line in history(app, job_of(app, uid).id)] == [
        "removed by the retention policy: lines of history and the headers of its instances"
    ]
    assert job_of(app, uid).revision == 1


@ON_BOTH
@pytest.mark.parametrize("where", [Barrier.REMOVAL_BEGUN, Barrier.REMOVAL_DELETED])
@pytest.mark.parametrize("ended_by", ["prune", "reindex"])
def test_what_was_cut_off_between_database_and_store_is_ended_later(
    app: Application,
    tmp_path: Path,
    cut_at: Callable[[Barrier], None],
    where: Barrier,
    ended_by: str,
) -> None:
    uid = confirmed(app, tmp_path, "old", days=11)
    cut_at(where)
    with pytest.raises(Cut):
        prune(app)
    barriers.install(None)
    assert count(app, Removal) == 1

    if ended_by == "prune":
        prune(app)
    else:
        found = reindex(app)
        assert (found.instances, found.gone, found.found_again) == (0, 0, 0)

    assert held(app, uid) == 0
    assert count(app, Removal) == 0
    lines = [line for line in history(app, job_of(app, uid).id) if "retention" in line]
    assert len(lines) == 1
    assert job_of(app, uid).state == JobState.CONFIRMED


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


def with_policy(app: Application, **days: float) -> Application:
    return replace(app, settings=with_settings(app.settings, **days))
