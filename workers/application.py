"""What every use case works with: settings, state database, spool and result store."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from dicom_node.receive.spool import Spool
from workers.settings import Settings
from workers.state.database import Database
from workers.state.results import ResultStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One process's view of the system."""

    settings: Settings
    database: Database
    spool: Spool
    results: ResultStore

    @property
    def owner(self) -> str:
        """Name of this process in leases."""
        return f"{socket.gethostname()}:{os.getpid()}"


def open_application(settings: Settings, *, migrate: bool = False) -> Application:
    """Open everything.

    Parameters
    ----------
    migrate : bool
        Bring the database to this release's schema first (the all-in-one command does).

    Raises
    ------
    workers.state.database.SchemaMismatch
        If the database is at another schema version.
    OSError
        If a folder cannot be made or written.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url)
    if migrate:
        database.migrate()
    database.check_version()
    return Application(
        settings=settings,
        database=database,
        spool=Spool(settings.spool_dir, reserve_bytes=settings.disk_reserve_bytes),
        results=ResultStore(settings.results_dir),
    )
