"""Everything comes back, later backups are cheap, and a damaged one is refused."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.unit.workers.backup.cases import Cut, away, fill, lose, put_back, save, sums_of
from tests.unit.workers.rows import (
    count,
    job_of,
    with_settings,
)
from workers.application import RESTORE_MARK, Application, open_application
from workers.backup_files import FolderTarget
from workers.errors import BackupRefused, RestoreIncomplete
from workers.state.schema import Delivery, Instance, Job, JobState, KeptAside, Switch
from workers.usecases import restore as module
from workers.usecases.prune import BACKUP_RUNS


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
