"""A backup made the system again: into an empty place, checked before anything is written.

Objects and the spool come first and the database last. A run that was cut off has left a mark,
under which nothing starts; the same restore again goes on. At the end the index is brought up to
the files, so that instances acknowledged while the backup was made are taken up as well.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory

from dicom_node.receive.spool import is_inbox_name
from workers.application import RESTORE_MARK, open_application
from workers.backup_files import BackupSource, check_sums
from workers.errors import BackupRefused
from workers.settings import Settings
from workers.state.database import alembic_config
from workers.state.database_copy import is_empty, kind_of, put_back_database
from workers.state.store import PREFIXES, ObjectStore, open_store, write_durably
from workers.usecases.back_up import (
    CONTEXT_FOLDERS,
    SALT,
    SITE_FILES,
    SITE_FOLDERS,
    hold_removal,
    settings_without_secrets,
)
from workers.usecases.reindex import Reindexed, reindex

OF_THE_PLACE = frozenset({"data_dir", "state_url", "store_url", "broker_url", "host", "dicom_port"})
"""Settings that may well differ where a backup is restored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was put back.

    `other_settings` names settings that differ from those at the time of the backup,
    `left_in_backup` files of the site that have no place by the settings of now.
    """

    made_at: str
    files: int
    size_bytes: int
    taken_up: Reindexed
    other_settings: tuple[str, ...]
    left_in_backup: tuple[str, ...]


def restore(
    settings: Settings, source: BackupSource, progress: Callable[[str], None] = lambda _: None
) -> Restored:
    """Put a backup into an empty data folder, database and object store.

    The caller holds the data folder, so that nothing runs in it.

    Raises
    ------
    BackupRefused
        If the backup is damaged, of a newer release, or of another kind of database, or the place
        is not empty.
    StoreUnavailable
        If the object store is away; run it again then.
    """
    manifest, sums = source.manifest(), source.sums()
    _check_place(settings, manifest)
    progress("checking the backup")
    size_bytes = sum(size for _, size in check_sums(source, sums))
    mark = settings.data_dir / RESTORE_MARK
    mark.parent.mkdir(parents=True, exist_ok=True)
    write_durably(mark, manifest["sums"].encode())
    store = open_store(settings.object_store_url)
    left = []
    for count, name in enumerate(sums, start=1):
        if not _put(settings, store, source, name):
            left.append(name)
        if count % 1000 == 0:
            progress(f"{count} of {len(sums)} files")
    progress("database")
    with tempfile.TemporaryDirectory(prefix="pulmonode-restore-") as scratch:
        copy = Path(scratch) / "database"
        with source.opened(manifest["database"]) as file:
            copy.write_bytes(file.read())
        if is_empty(settings.database_url):
            put_back_database(settings.database_url, copy)
    mark.unlink()
    progress("index")
    app = open_application(settings, migrate=True)
    try:
        hold_removal(app, on=False)  # the copy was made while it was held back
        taken_up = reindex(app)
    finally:
        app.database.close()
    return Restored(
        made_at=manifest["made_at"],
        files=len(sums) - len(left),
        size_bytes=size_bytes,
        taken_up=taken_up,
        other_settings=_other_settings(settings, source),
        left_in_backup=tuple(name for name in left if name.startswith("site/")),
    )


def _check_place(settings: Settings, manifest: dict[str, Any]) -> None:
    kind = kind_of(settings.database_url)
    if manifest["database_kind"] != kind:
        raise BackupRefused(
            "the backup",
            f"holds a {manifest['database_kind']} database, PULMONODE_STATE_URL names {kind}",
            "set it to the kind that was backed up",
        )
    known = {
        item.revision for item in ScriptDirectory.from_config(alembic_config()).walk_revisions()
    }
    if manifest["schema"] not in known:
        raise BackupRefused(
            "the backup",
            f"is of a newer release ({manifest['release']}, schema {manifest['schema']})",
            "install that release, or a later one",
        )
    mark = settings.data_dir / RESTORE_MARK
    if mark.exists():
        if mark.read_text() == manifest["sums"]:
            return  # cut off in the middle: it goes on
        why = "another backup was being restored here and was cut off"
        raise BackupRefused(str(settings.data_dir), why, "restore that one, or empty the folder")
    held = _held(settings)
    if held:
        raise BackupRefused(
            held,
            "is not empty",
            "a backup is put back into an empty place only: move it away first",
        )


def _held(settings: Settings) -> str:
    """What there is already; empty when nothing is."""
    if not is_empty(settings.database_url):
        return "the state database"
    folders = [settings.spool_dir / name for name in ("inbox", "quarantine")]
    for path in (*folders, *(settings.context_dir / name for name in CONTEXT_FOLDERS)):
        if path.is_dir() and any(path.iterdir()):
            return str(path)
    store = open_store(settings.object_store_url)
    for prefix in PREFIXES:
        if store.keys(prefix):
            return store.describe(prefix)
    return ""


def _put(settings: Settings, store: ObjectStore, source: BackupSource, name: str) -> bool:
    """Put one file where it belongs; False when it has no place here."""
    place, _, rest = name.partition("/")
    target: Path | None = None
    if place == "store":
        with source.opened(name) as file:
            store.put_bytes(rest, file.read())
        return True
    if place == "spool":
        folder, _, file_name = rest.partition("/")
        if folder in {"inbox", "quarantine"} and is_inbox_name(file_name):
            target = settings.spool_dir / folder / file_name
    elif place == "context":
        folder, _, file_name = rest.partition("/")
        if folder in CONTEXT_FOLDERS and "/" not in file_name:
            target = settings.context_dir / folder / file_name
    elif place == "site":
        target = _place_of_site(settings, rest)
    if target is None:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.opened(name) as file:
        write_durably(target, file.read())
    if place == "context":
        target.parent.chmod(0o700)
    if place == "context" or target.name in {SALT, "salt"}:
        target.chmod(0o600)
    return True


def _place_of_site(settings: Settings, rest: str) -> Path | None:
    """Where a file of the site goes; nowhere when one is there, or no setting names its place."""
    name, _, inside = rest.partition("/")
    target: Path | None = None
    if rest == SALT:
        target = settings.data_dir / SALT
    elif name in SITE_FOLDERS and getattr(settings, name) is not None:
        target = Path(getattr(settings, name)) / inside
    elif name in SITE_FILES and getattr(settings, name) is not None:
        target = Path(getattr(settings, name))
    return None if target is None or target.exists() else target


def _other_settings(settings: Settings, source: BackupSource) -> tuple[str, ...]:
    with source.opened("settings.json") as file:
        then: dict[str, Any] = json.load(file)
    now = settings_without_secrets(settings)
    return tuple(
        sorted(
            name
            for name in now
            if name not in OF_THE_PLACE and name in then and then[name] != now[name]
        )
    )
