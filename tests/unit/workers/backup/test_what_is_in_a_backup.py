"""What a backup holds of what moves meanwhile, and what it says."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result as Done

from tests.integration.bad_series import plain_series
from tests.unit.workers.backup.cases import away, put_back, save, sums_of
from tests.unit.workers.rows import (
    count,
    history,
    receive,
    with_settings,
)
from workers.application import Application, open_application
from workers.backup_files import open_target
from workers.errors import BackupRefused, StoreUnavailable
from workers.settings import Settings
from workers.state.database_copy import copy_database
from workers.state.schema import Job, Switch
from workers.state.store import FolderStore
from workers.supervisor import hold_folder
from workers.usecases import back_up as back_up_module
from workers.usecases.back_up import settings_without_secrets
from workers.usecases.prune import BACKUP_RUNS, prune
from workers.usecases.take_messages import open_inbox


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
