"""A backup of the running system: whatever its database names is in it.

The database comes first, as it is at one moment; files in the spool and objects in the store after
it, so that everything the copy counts on is found where it stands then. A file that moves from the
inbox to the store meanwhile is met there. At the end all that the database named is looked for in
the backup; where something is missing (an administrator moved it), it is done once more.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from workers.application import Application
from workers.backup_files import VERSION, BackupTarget
from workers.errors import BackupRefused, ObjectMissing
from workers.settings import Settings
from workers.state.database_copy import copy_database, kind_of
from workers.state.schema import Instance, KeptAside, Result, ResultObject, Switch
from workers.state.store import PREFIXES
from workers.usecases.prune import BACKUP_RUNS

log = structlog.get_logger()

AT_ONCE = 64
TRIES = 3
URLS = ("state_url", "store_url", "broker_url")
HIDDEN = "***"
SITE_FOLDERS = ("bank_dir", "profiles_dir", "weights_dir")
SITE_FILES = ("rules_file", "font_file", "context_items_file")
SALT = "answers.salt"
CONTEXT_FOLDERS = ("inbox", "held")
"""Of accepted messages (workers/context/inbox.py)."""
NOT_COPIED = frozenset({"lock"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUp:
    """What a backup holds, and how much of it was copied now."""

    files: int
    copied: int
    copied_bytes: int


@dataclass(slots=True, kw_only=True)
class _Run:
    """One backup while it is made."""

    app: Application
    target: BackupTarget
    progress: Callable[[str], None]
    sums: dict[str, str] = field(default_factory=dict)
    copied: int = 0
    copied_bytes: int = 0

    def put(self, name: str, path: Path, *, unchanging: bool = True) -> None:
        """Copy a file, unless it is there; one that left its place meanwhile is met elsewhere."""
        try:
            known = self.target.sum_of(name, path.stat().st_size) if unchanging else None
            if known is None:
                known, size_bytes = self.target.put(name, path)
                self.copied += 1
                self.copied_bytes += size_bytes
        except FileNotFoundError:
            return
        self.sums[name] = known
        if len(self.sums) % 1000 == 0:
            self.progress(f"{len(self.sums)} files")


def back_up(
    app: Application, target: BackupTarget, progress: Callable[[str], None] = lambda _: None
) -> BackedUp:
    """Write a backup; the system may run.

    Raises
    ------
    BackupRefused
        If the database cannot be copied, or something that it names is nowhere to be found.
    StoreUnavailable
        If the object store is away. Run it again then: what was copied stays.
    """
    hold_removal(app, on=True)
    try:
        for number in range(1, TRIES + 1):
            run = _Run(app=app, target=target, progress=progress)
            missing = _make(run)
            if not missing:
                break
            log.warning("backup_again", attempts=number, instances=len(missing))
        else:
            raise BackupRefused(
                f"{len(missing)} objects, such as {missing[0]}",
                "the database names them and they are nowhere",
                "run 'pulmonode reindex' with the node stopped, then the backup again",
            )
    finally:
        hold_removal(app, on=False)
    return BackedUp(files=len(run.sums), copied=run.copied, copied_bytes=run.copied_bytes)


def _make(run: _Run) -> list[str]:
    """One try; returns what the database named and was not found."""
    app = run.app
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    kind = kind_of(app.settings.database_url)
    _put_messages(run)  # before the database: what it takes meanwhile leaves the inbox
    with app.database.read() as session:
        named = _named(session)
    found, _ = app.database.versions()
    run.progress("database")
    database = f"database/{moment}.{'sqlite' if kind == 'sqlite' else 'dump'}"
    with tempfile.TemporaryDirectory(prefix="pulmonode-backup-") as scratch:
        copy = Path(scratch) / "database"
        copy_database(app.settings.database_url, copy)
        run.put(database, copy, unchanging=False)
        settings = Path(scratch) / "settings.json"
        settings.write_text(json.dumps(settings_without_secrets(app.settings), indent=1) + "\n")
        run.put("settings.json", settings, unchanging=False)
    run.progress("site")
    _put_site(run)
    run.progress("spool")
    _put_spool(run)
    _put_messages(run)
    run.progress("objects")
    for prefix in PREFIXES:
        _put_objects(run, app.store.keys(prefix))
    _put_spool(run)  # what was taken back from the quarantine meanwhile
    missing = sorted(name for name in named if not _has(run.sums, name))
    if not missing:
        run.target.finish(
            run.sums,
            {
                "backup_version": VERSION,
                "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "release": version("pulmonode"),
                "schema": found,
                "database_kind": kind,
                "database": database,
                "sums": f"{moment}.sha256",
                "files": len(run.sums),
            },
        )
    return missing


def _named(session: Session) -> set[str]:
    """Every file that the database counts on: keys of the store, names of files kept aside."""
    live = Result.removed_at.is_(None)
    results = session.execute(select(Result.findings_path, Result.features_path).where(live))
    objects = select(ResultObject.path).join(Result, Result.job_id == ResultObject.job_id)
    return {
        *session.scalars(select(Instance.path).where(Instance.removed_at.is_(None))),
        *session.scalars(objects.where(live)),
        *(key for row in results for key in row if key is not None),
        *session.scalars(select(KeptAside.name)),
    }


def _has(sums: dict[str, str], name: str) -> bool:
    """Whether a key, or a file of the spool, is in the backup, wherever it stood."""
    file = name.rsplit("/", 1)[-1]
    places = (f"store/{name}", f"spool/inbox/{file}", f"spool/quarantine/{file}")
    return any(place in sums for place in places)


def _put_spool(run: _Run) -> None:
    for folder, paths in (
        ("inbox", run.app.spool.inbox()),
        ("quarantine", run.app.spool.quarantined()),
    ):
        for path in paths:
            run.put(f"spool/{folder}/{path.name}", path)


def _put_messages(run: _Run) -> None:
    """HL7 messages and FHIR resources; one that is in the database already does no harm."""
    for folder in CONTEXT_FOLDERS:
        path = run.app.settings.context_dir / folder
        for file in sorted(path.iterdir()) if path.is_dir() else ():
            run.put(f"context/{folder}/{file.name}", file)


def _put_objects(run: _Run, keys: list[str]) -> None:
    for start in range(0, len(keys), AT_ONCE):
        batch = keys[start : start + AT_ONCE]
        with tempfile.TemporaryDirectory(prefix="pulmonode-backup-") as scratch:
            try:
                paths = run.app.store.local_files(batch, Path(scratch))
            except ObjectMissing:
                paths = []
            if paths:
                pairs: Iterable[tuple[str, Path]] = zip(batch, paths, strict=True)
            else:  # one of them went meanwhile
                pairs = _one_by_one(run.app, batch, Path(scratch) / "alone")
            for key, path in pairs:
                run.put(f"store/{key}", path)


def _one_by_one(app: Application, keys: list[str], scratch: Path) -> Iterable[tuple[str, Path]]:
    for number, key in enumerate(keys):
        try:
            yield key, app.store.local_files([key], scratch / str(number))[0]
        except ObjectMissing:
            continue


def _put_site(run: _Run) -> None:
    """The site's own: bank, profiles, weights, rules, and the salt of its digests."""
    settings = run.app.settings
    for name in SITE_FOLDERS:
        folder = getattr(settings, name)
        if folder is None or not folder.is_dir():
            continue
        # A bank's pointer before its versions: these are never deleted.
        for path in sorted(folder.rglob("*"), key=lambda path: path.name != "current"):
            if path.is_file() and path.name not in NOT_COPIED:
                inside = path.relative_to(folder).as_posix()
                run.put(f"site/{name}/{inside}", path, unchanging=False)
    for name in SITE_FILES:
        path = getattr(settings, name)
        if path is not None and path.is_file():
            run.put(f"site/{name}/{path.name}", path, unchanging=False)
    salt = settings.data_dir / SALT
    if salt.exists():
        run.put(f"site/{SALT}", salt, unchanging=False)


def settings_without_secrets(settings: Settings) -> dict[str, Any]:
    """The settings as JSON values; passwords in URLs and secret fields are hidden."""
    values = settings.model_dump(mode="json")
    for name in URLS:
        values[name] = _without_password(getattr(settings, name))
    for name in type(settings).model_fields:
        if isinstance(getattr(settings, name), SecretStr):
            values[name] = HIDDEN
    return values


def _without_password(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:  # a path
        return url


def hold_removal(app: Application, *, on: bool) -> None:
    """Let nothing be removed by policy, or let it go on."""
    now = app.now()
    with app.database.write() as session:
        session.merge(Switch(name=BACKUP_RUNS, value="on" if on else "off", changed_at=now))
