"""Backups of a system at work, put back into an empty place: everything, checked, and once."""

from __future__ import annotations

import copy
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result as Done
from s3fs import S3FileSystem
from sqlalchemy import select
from typer.testing import CliRunner

from tests.integration.bad_series import plain_series
from tests.integration.service import free_port
from tests.servers.postgresql import PostgresServer
from tests.servers.s3 import S3Server
from tests.unit.workers.rows import (
    accept,
    commit,
    count,
    history,
    job_of,
    receive,
    with_settings,
)
from workers.application import RESTORE_MARK, Application, open_application
from workers.backup_files import FolderTarget, open_source, open_target
from workers.cli.main import app as command
from workers.errors import BackupRefused, RestoreIncomplete, StoreUnavailable
from workers.settings import Settings
from workers.state.database_copy import copy_database
from workers.state.schema import Delivery, Instance, Job, JobState, KeptAside, Switch
from workers.state.store import FolderStore
from workers.supervisor import hold_folder
from workers.usecases import back_up as back_up_module
from workers.usecases import restore as module
from workers.usecases.back_up import BackedUp, back_up, settings_without_secrets
from workers.usecases.index import index_inbox
from workers.usecases.prune import BACKUP_RUNS, prune
from workers.usecases.record import record_due
from workers.usecases.restore import Restored, restore
from workers.usecases.take_messages import open_inbox

BUCKET = "pulmonode"


class Cut(Exception):
    """The process ends here."""


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server(free_port()) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        server.make_bucket(BUCKET)
        S3FileSystem.clear_instance_cache()
        yield server
    S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgresql"), free_port()) as running:
        yield running


@pytest.fixture(params=["embedded", pytest.param("servers", marks=pytest.mark.peer)])
def app(
    request: pytest.FixtureRequest, settings: Settings, tmp_path: Path
) -> Iterator[Application]:
    """SQLite and a folder, or PostgreSQL and S3."""
    changed = settings
    if request.param == "servers":
        database: PostgresServer = request.getfixturevalue("server")
        store: S3Server = request.getfixturevalue("s3")
        database.query("DROP SCHEMA public CASCADE")
        database.query("CREATE SCHEMA public AUTHORIZATION pulmonode")
        changed = with_settings(
            settings, state_url=database.url, store_url=store.url(BUCKET, tmp_path.name)
        )
    opened = open_application(changed, migrate=True)
    yield opened
    opened.database.close()


def save(app: Application, target: Path) -> BackedUp:
    with open_target(target) as opened:
        return back_up(app, opened)


def put_back(settings: Settings, source: Path) -> Restored:
    with open_source(source) as opened:
        return restore(settings, opened)


def sums_of(source: Path) -> dict[str, str]:
    with open_source(source) as opened:
        return opened.sums()


def fill(app: Application, folder: Path) -> dict[str, str]:
    """A system at work; series by what they are."""
    series = {}
    for name in ("confirmed", "on its way", "unstored"):
        datasets = plain_series(name, slices=2)
        series[name] = str(datasets[0].SeriesInstanceUID)
        if name == "unstored":
            accept(app, folder / name, *datasets)  # acknowledged, and the node knows nothing yet
            continue
        receive(app, folder / name, *datasets)
        commit(app, series[name], name)
    record_due(app)
    app.spool.accept("1.2.3", b"no DICOM")
    (waiting, *rest) = app.spool.inbox()
    for path in (waiting, *rest):
        if path.name.endswith("-1.2.3.dcm"):
            parked = [item for item in app.spool.inbox() if item != path]
            for item in parked:
                item.rename(item.with_suffix(".parked"))
            index_inbox(app)  # only the unreadable one
            for item in parked:
                item.with_suffix(".parked").rename(item)
    return series


def lose(app: Application, request: pytest.FixtureRequest) -> None:
    """Everything: data folder, database, objects."""
    app.database.close()
    shutil.rmtree(app.settings.data_dir)
    if app.settings.state_url is not None:
        database: PostgresServer = request.getfixturevalue("server")
        database.query("DROP SCHEMA public CASCADE")
        database.query("CREATE SCHEMA public AUTHORIZATION pulmonode")
        app.store.remove([key for prefix in ("instances", "results", "records")
                          for key in app.store.keys(prefix)])  # fmt: skip


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_everything_comes_back_and_what_was_not_indexed_with_it(
    app: Application, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    series = fill(app, tmp_path)
    before = app.store.keys("results")
    target = tmp_path / ("backup.tar" if kind == "tar" else "backup")

    save(app, target)
    assert len(app.spool.inbox()) == 2  # nothing of the running system was touched
    lose(app, request)
    done = put_back(app.settings, target)

    assert app.store.keys("results") == before
    assert done.other_settings == ()
    again = open_application(app.settings)
    assert count(again, Job) == 4
    assert count(again, Instance) == 6
    assert count(again, KeptAside) == 1
    assert count(again, Delivery) == 4
    assert len(again.spool.quarantined()) == 1
    assert not again.spool.inbox()
    assert job_of(again, series["on its way"]).state == JobState.DELIVERING
    assert job_of(again, series["unstored"]).state == JobState.RECEIVING
    for row in ("confirmed", "on its way", "unstored"):
        assert sum(series[row] in key for key in again.store.keys("instances")) == 2
    with again.database.read() as session:
        assert session.get_one(Switch, BACKUP_RUNS).value == "off"
        assert all(session.scalars(select(Instance.stored)))
    again.database.close()


@pytest.fixture
def small(settings: Settings, tmp_path: Path) -> Iterator[Application]:
    opened = open_application(settings, migrate=True)
    (ds,) = plain_series("small", slices=1)
    receive(opened, tmp_path / "small", ds)
    commit(opened, str(ds.SeriesInstanceUID))
    record_due(opened)
    yield opened
    opened.database.close()


def away(app: Application) -> None:
    app.database.close()
    shutil.rmtree(app.settings.data_dir)


def test_a_later_backup_copies_what_is_new_and_forgets_what_is_gone(
    small: Application, tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    first = save(small, target)
    small.store.put_bytes("records/9/1.json", b"{}")
    gone = small.store.keys("records")[0]
    small.store.remove([gone])
    second = save(small, target)

    assert first.copied == first.files
    assert second.copied == 3  # database, settings and the new object
    assert not (target / "store" / gone).exists()
    assert len(list((target / "database").iterdir())) == 1


def test_what_a_cut_off_run_had_copied_is_kept_and_the_earlier_backup_counts_until_then(
    small: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "backup"
    save(small, target)
    for number in range(5):
        small.store.put_bytes(f"records/9/{number}.json", b"{}")

    def cut(*_: object) -> None:
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(FolderTarget, "finish", cut)
        with pytest.raises(Cut):
            save(small, target)
    assert len(list((target / "database").iterdir())) == 2
    assert not any(name.startswith("store/records/9") for name in sums_of(target))

    again = save(small, target)

    assert again.copied == 2  # database and settings
    assert sum(name.startswith("store/records/9") for name in sums_of(target)) == 5


def test_the_checksums_are_such_as_sha256sum_checks(small: Application, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    save(small, target)
    (listed,) = target.glob("*.sha256")

    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", listed.name], cwd=target, check=False
    )

    assert done.returncode == 0


@pytest.mark.parametrize("kind", ["folder", "tar"])
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_backup_is_refused_before_anything_is_written(
    small: Application, tmp_path: Path, kind: str, damage: str
) -> None:
    folder = tmp_path / "backup"
    save(small, folder)
    victim = next((folder / "store" / "results").rglob("*.dcm"))
    if damage == "changed":
        data = bytearray(victim.read_bytes())
        data[-1] ^= 1
        victim.write_bytes(bytes(data))
    else:
        victim.unlink()
    target = folder
    if kind == "tar":
        target = tmp_path / "backup.tar"
        with tarfile.open(target, "w") as tar:
            for path in sorted(folder.rglob("*")):
                tar.add(path, path.relative_to(folder).as_posix(), recursive=False)
    away(small)

    with pytest.raises(BackupRefused, match="take another backup"):
        put_back(small.settings, target)

    assert not any(path.is_file() for path in small.settings.data_dir.rglob("*"))


def test_a_backup_that_was_never_finished_is_no_backup(small: Application, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    save(small, target)
    (target / "manifest.json").unlink()
    away(small)

    with pytest.raises(BackupRefused, match="never finished"):
        put_back(small.settings, target)


@pytest.mark.parametrize("what", ["database", "store", "inbox"])
def test_a_place_that_is_not_empty_is_refused(
    small: Application, tmp_path: Path, what: str
) -> None:
    target = tmp_path / "backup"
    save(small, target)
    small.database.close()
    data = small.settings.data_dir
    if what != "database":
        for path in data.glob("state.sqlite*"):
            path.unlink()
    if what != "store":
        shutil.rmtree(data / "store")
    if what == "inbox":
        small.spool.accept("1.2.3", b"x")

    with pytest.raises(BackupRefused, match="is not empty"):
        put_back(small.settings, target)


def test_a_restore_that_was_cut_off_lets_nothing_start_and_goes_on_when_it_is_run_again(
    small: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "backup"
    save(small, target)
    other = tmp_path / "other"
    save(small, other)
    away(small)

    def cut(*_: object) -> None:
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(module, "put_back_database", cut)
        with pytest.raises(Cut):
            put_back(small.settings, target)
    assert (small.settings.data_dir / RESTORE_MARK).exists()
    with pytest.raises(RestoreIncomplete, match="run the same"):
        open_application(small.settings)
    with pytest.raises(BackupRefused, match="another backup was being restored"):
        put_back(small.settings, other)

    put_back(small.settings, target)

    again = open_application(small.settings)
    assert count(again, Job) == 1
    again.database.close()


def test_another_kind_of_database_and_a_newer_schema_are_refused(
    small: Application, tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    save(small, target)
    away(small)
    other = with_settings(small.settings, state_url="postgresql+psycopg://nobody@127.0.0.1:1/none")

    with pytest.raises(BackupRefused, match="PULMONODE_STATE_URL names postgresql"):
        put_back(other, target)
    manifest = target / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema": "', '"schema": "9'))
    with pytest.raises(BackupRefused, match="of a newer release"):
        put_back(small.settings, target)


def test_what_the_database_names_and_nobody_has_is_said_instead_of_left_out(
    small: Application, tmp_path: Path
) -> None:
    small.store.remove(small.store.keys("instances"))

    with pytest.raises(BackupRefused, match="they are nowhere"):
        save(small, tmp_path / "backup")

    assert not (tmp_path / "backup" / "manifest.json").exists()


def test_a_file_that_is_taken_back_meanwhile_is_in_the_backup(
    small: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ds,) = plain_series("small", slices=1)
    other = copy.deepcopy(ds)
    other.PixelData = bytes(len(ds.PixelData))
    receive(small, tmp_path / "again", other)
    (kept,) = small.spool.quarantined()
    listed = small.spool.quarantined

    def meanwhile() -> list[Path]:
        """As if an administrator took it back after the inbox was listed."""
        small.spool.take_back(kept.name)
        return listed()

    monkeypatch.setattr(small.spool, "quarantined", meanwhile)
    save(small, tmp_path / "backup")

    assert f"spool/inbox/{kept.name}" in sums_of(tmp_path / "backup")


def test_the_site_s_own_files_come_back_where_the_settings_have_a_place_for_them(
    settings: Settings, tmp_path: Path
) -> None:
    bank = tmp_path / "bank"
    (bank / "versions").mkdir(parents=True)
    (bank / "versions" / "0001-abc.safetensors").write_bytes(b"bank")
    (bank / "current").write_text("pointer")
    (bank / "salt").write_bytes(b"salt")
    (bank / "lock").touch()
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: []\n")
    app = open_application(with_settings(settings, bank_dir=bank, rules_file=rules), migrate=True)
    (settings.data_dir / "answers.salt").write_bytes(b"s")
    save(app, tmp_path / "backup.tar")
    away(app)
    shutil.rmtree(bank)
    changed = with_settings(settings, bank_dir=bank, quiet_time_s=7)

    done = put_back(changed, tmp_path / "backup.tar")

    assert sorted(path.name for path in bank.rglob("*") if path.is_file()) == [
        "0001-abc.safetensors", "current", "salt",
    ]  # fmt: skip
    assert (bank / "salt").stat().st_mode & 0o077 == 0
    assert (settings.data_dir / "answers.salt").read_bytes() == b"s"
    assert done.left_in_backup == ("site/rules_file/rules.yaml",)
    assert set(done.other_settings) == {"quiet_time_s", "rules_file"}


def test_messages_that_wait_or_are_held_come_back_readable_by_their_owner_alone(
    settings: Settings, tmp_path: Path
) -> None:
    app = open_application(settings, migrate=True)
    inbox = open_inbox(settings)
    waits = inbox.accept(b"MSH|waits", ".hl7")
    held = inbox.hold(inbox.accept(b"{}", ".json"))

    save(app, tmp_path / "backup")
    away(app)
    put_back(settings, tmp_path / "backup")

    assert [path.read_bytes() for path in (waits, held)] == [b"MSH|waits", b"{}"]
    assert waits.stat().st_mode & 0o077 == 0
    assert waits.parent.stat().st_mode & 0o077 == 0


def test_a_message_that_is_taken_while_the_database_is_copied_is_in_the_backup(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_application(settings, migrate=True)
    message = open_inbox(settings).accept(b"MSH|taken", ".hl7")

    def meanwhile(url: str, target: Path) -> None:
        copy_database(url, target)
        message.unlink()  # the node wrote its meaning into the database, after the copy

    monkeypatch.setattr(back_up_module, "copy_database", meanwhile)
    save(app, tmp_path / "backup")

    assert f"context/inbox/{message.name}" in sums_of(tmp_path / "backup")
    app.database.close()


def test_settings_in_a_backup_hold_no_password(settings: Settings) -> None:
    told = settings_without_secrets(
        with_settings(
            settings,
            state_url="postgresql+psycopg://me:hunter2@db/pulmonode",
            broker_url="redis://:hunter2@broker/0",
            store_url="s3://bucket/prefix",
        )
    )

    assert "hunter2" not in str(told)
    assert told["state_url"] == "postgresql+psycopg://me:***@db/pulmonode"
    assert told["store_url"] == "s3://bucket/prefix"


def test_a_folder_of_something_else_is_no_place_for_a_backup(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")

    (tmp_path / "old.tar").touch()
    for path, why in ((tmp_path, "holds something else"), (tmp_path / "old.tar", "exists")):
        with pytest.raises(BackupRefused, match=why), open_target(path):
            pass


def test_an_object_store_that_is_away_ends_the_backup_in_words(
    small: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise StoreUnavailable("here", "it is away")

    monkeypatch.setattr(FolderStore, "local_files", gone)
    with pytest.raises(StoreUnavailable):
        save(small, tmp_path / "backup")

    with small.database.read() as session:
        assert session.get_one(Switch, BACKUP_RUNS).value == "off"
    assert prune(small).removals == 0


@pytest.fixture
def run(settings: Settings) -> Callable[..., Done]:
    environment = {"PULMONODE_DATA_DIR": str(settings.data_dir)}
    return lambda *arguments: CliRunner().invoke(command, arguments, env=environment)


def test_the_commands_back_up_check_and_restore(
    small: Application, run: Callable[..., Done], tmp_path: Path
) -> None:
    target = str(tmp_path / "backup")

    made = run("backup", target)
    checked = run("restore", target, "--check")
    with_all_there = run("restore", target)
    away(small)
    restored = run("restore", target)

    assert made.exit_code == 0, made.output
    assert "files, of which" in made.stdout
    assert "all as they were backed up" in checked.stdout
    assert with_all_there.exit_code == 1
    assert restored.exit_code == 0, restored.output
    assert "deliveries go on" in restored.stdout
    again = open_application(small.settings)
    assert count(again, Job) == 1
    assert history(again, 1)
    again.database.close()


def test_a_restore_under_a_running_service_is_refused(
    small: Application, run: Callable[..., Done], tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    save(small, target)
    away(small)
    hold_folder(small.settings.data_dir)  # as a node does

    refused = run("restore", str(target))

    assert refused.exit_code == 1
    assert "is in use" in refused.stderr
