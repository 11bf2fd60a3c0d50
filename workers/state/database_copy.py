"""A whole copy of the state database as it was at one moment, and its way back.

SQLite by its online backup (copying the file alone misses the write-ahead log), PostgreSQL by
`pg_dump` and `pg_restore` of Debian's client package. Writers are not held up.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

from sqlalchemy import inspect
from sqlalchemy.engine import URL, make_url

from workers.errors import BackupRefused
from workers.state.database import Database

PROGRAMS = Path("/usr/lib/postgresql")
"""Where Debian keeps them, one folder for each version."""
DUMP_LIMIT_S = 6 * 3600


def kind_of(url: str) -> str:
    """``sqlite`` or ``postgresql``."""
    return make_url(url).get_backend_name()


def copy_database(url: str, target: Path) -> None:
    """Write a copy; one that is cut off leaves no file that could be taken for one.

    Raises
    ------
    BackupRefused
        If PostgreSQL's client is missing, or cannot make the copy.
    """
    partial = target.with_name(f".{target.name}.partial")
    if kind_of(url) == "sqlite":
        _copy_sqlite(Path(str(make_url(url).database)), partial)
    else:
        connection = _connection(make_url(url))
        _run("pg_dump", [*DUMP, f"--file={partial}", f"--dbname={connection}"], make_url(url))
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)


def put_back_database(url: str, source: Path) -> None:
    """Make the copy the database; what stands there must be empty (`is_empty`).

    Raises
    ------
    BackupRefused
        If PostgreSQL's client is missing, or cannot read the copy.
    """
    if kind_of(url) == "sqlite":
        _copy_sqlite(source, Path(str(make_url(url).database)))
    else:
        connection = _connection(make_url(url))
        _run("pg_restore", [*RESTORE, f"--dbname={connection}", str(source)], make_url(url))


def is_empty(url: str) -> bool:
    """Whether there is no table yet."""
    if kind_of(url) == "sqlite" and not Path(str(make_url(url).database)).exists():
        return True
    database = Database(url)
    try:
        return not inspect(database.engine).get_table_names()
    finally:
        database.close()


DUMP = ("--format=custom", "--no-owner", "--no-privileges")
RESTORE = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")


def _copy_sqlite(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with (
        contextlib.closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as here,
        contextlib.closing(sqlite3.connect(target)) as there,
    ):
        here.backup(there)  # one step: a snapshot, whatever is written meanwhile
        there.execute("PRAGMA journal_mode=DELETE")  # all of it in one file


def _connection(url: URL) -> str:
    """For the client's programs; the password goes by their environment, which `ps` hides."""
    return url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)


def _run(program: str, arguments: list[str], url: URL) -> None:
    path = _find(program)
    environment = dict(os.environ)
    if url.password is not None:
        environment["PGPASSWORD"] = str(url.password)
    done = subprocess.run(
        [path, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DUMP_LIMIT_S,
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1][:300]
        raise BackupRefused(program, said, "see PostgreSQL's log")


def _find(program: str) -> str:
    """The newest version's: it also reads older servers, and never the other way round."""
    found = [path for path in PROGRAMS.glob(f"*/bin/{program}") if path.parts[-3].isdigit()]
    if found:
        return str(max(found, key=lambda path: int(path.parts[-3])))
    on_path = shutil.which(program)
    if on_path is None:
        remedy = "on Debian: apt-get install postgresql-client"
        raise BackupRefused(program, "is not installed on this machine", remedy)
    return on_path
