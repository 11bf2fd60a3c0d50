"""What every use case works with: settings, state database, spool and object store."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from dicom_node.receive.spool import Spool
from workers.errors import RestoreIncomplete
from workers.settings import Settings
from workers.state.database import Database
from workers.state.store import ObjectStore, open_store

RESTORE_MARK = "restore.incomplete"
"""A file in the data folder while a backup is put back into it (usecases/restore.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One process's view of the system."""

    settings: Settings
    database: Database
    spool: Spool
    store: ObjectStore

    @property
    def owner(self) -> str:
        """Name of this process in leases."""
        return f"{socket.gethostname()}:{os.getpid()}"

    def now(self) -> float:
        """Seconds since the epoch, by the one clock that all hosts share."""
        return self.database.now()


def open_application(
    settings: Settings, *, migrate: bool = False, check: bool = True
) -> Application:
    """Open everything.

    Parameters
    ----------
    migrate : bool
        Bring the database to this release's schema first (the all-in-one command does).
    check : bool
        Look at the database now; the node does so later, since it can receive without it.

    Raises
    ------
    workers.state.database.SchemaMismatch
        If the database is at another schema version.
    RestoreIncomplete
        If a restore into the data folder was cut off.
    OSError, StoreUnavailable
        If a folder or the object store cannot be opened.
    """
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (settings.data_dir / RESTORE_MARK).exists():
        raise RestoreIncomplete(str(settings.data_dir))
    database = Database(settings.database_url)
    if migrate:
        database.migrate()
    if check:
        database.check_version()
    return Application(
        settings=settings,
        database=database,
        spool=Spool(settings.spool_dir, reserve_bytes=settings.disk_reserve_bytes),
        store=open_store(settings.object_store_url),
    )
