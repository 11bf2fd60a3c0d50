"""Disk, spool, database and object store: how full, and how long it will last."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from sqlalchemy import func, select, text

from workers.application import Application
from workers.state.schema import Instance, Job, KeptAside

DAY_S = 86400.0
GROWTH_DAYS = 7
INBOX_AT_MOST = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A file system that something of ours lies on, bytes."""

    holds: str
    path: str
    total: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What is kept, and where.

    Attributes
    ----------
    disks : tuple of Disk
    reserve_bytes : int
        Free space under which nothing is accepted.
    store : str
        Where instances and results are kept.
    database : str
        Kind of the state database.
    database_bytes : int or None
    inbox, kept_aside : int
        Files that are not indexed yet, and those that could not be used.
    instances : int
        Known, over all jobs.
    received_bytes_per_day : float
        Mean of the last `GROWTH_DAYS` days.
    days_left : float or None
        Until the reserve is reached at that rate; `None` where nothing came.
    """

    disks: tuple[Disk, ...]
    reserve_bytes: int
    store: str
    database: str
    database_bytes: int | None
    inbox: int
    kept_aside: int
    instances: int
    received_bytes_per_day: float
    days_left: float | None


def look_at_storage(app: Application, *, now: float) -> Storage:
    """Measure it; nothing is written."""
    settings = app.settings
    with app.database.read() as session:
        received = session.scalar(
            select(func.sum(Instance.size_bytes)).where(
                Instance.received_at >= now - GROWTH_DAYS * DAY_S
            )
        )
        instances = session.scalar(select(func.sum(Job.instance_count)))
        aside = session.scalar(select(func.count()).select_from(KeptAside))
        kind = app.database.engine.dialect.name
        database_bytes = (
            session.scalar(text("SELECT pg_database_size(current_database())"))
            if kind == "postgresql"
            else None
        )
    if kind == "sqlite":
        database_bytes = _size(Path(app.database.engine.url.database or ""))
    per_day = float(received or 0) / GROWTH_DAYS
    disks = [_disk("spool and database", settings.data_dir)]
    folder = _folder(settings.object_store_url)
    if folder is not None:
        store = _disk("instances and results", folder)
        same = (store.total, store.free) == (disks[0].total, disks[0].free)
        disks = [_disk("everything", settings.data_dir)] if same else [*disks, store]
    room = disks[-1].free - settings.disk_reserve_bytes
    return Storage(
        disks=tuple(disks),
        reserve_bytes=settings.disk_reserve_bytes,
        store=_without_secrets(settings.object_store_url),
        database=kind,
        database_bytes=None if database_bytes is None else int(database_bytes),
        inbox=len(app.spool.inbox()),
        kept_aside=int(aside or 0),
        instances=int(instances or 0),
        received_bytes_per_day=per_day,
        days_left=max(0.0, room / per_day) if per_day and folder is not None else None,
    )


def _disk(holds: str, folder: Path) -> Disk:
    usage = shutil.disk_usage(folder)
    return Disk(holds=holds, path=str(folder), total=usage.total, free=usage.free)


def _folder(url: str) -> Path | None:
    parts = urlparse(url)
    return Path(unquote(parts.path)) if parts.scheme in {"", "file"} else None


def _without_secrets(url: str) -> str:
    parts = urlparse(url)
    return url.replace(f"{parts.username}:{parts.password}@", "") if parts.password else url


def _size(path: Path) -> int | None:
    """Of an SQLite database with its write-ahead log."""
    files = [path, path.with_name(f"{path.name}-wal")]
    return sum(file.stat().st_size for file in files if file.exists()) or None
