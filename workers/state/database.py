"""Opening the state database, its transactions and its schema version."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DataError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from workers import clock
from workers.metrics import observe
from workers.state.tables import whole_metadata

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_MS = 30_000
DATABASE_AWAY = (OperationalError, InternalError, InterfaceError, PoolTimeout)
"""What a database raises that is gone, full, locked or cut off; nothing was committed then."""
VALUE_REFUSED = (DataError,)
"""What a database raises of a value that fits no column; PostgreSQL of a text with NUL in it."""
WRITES = "pulmonode_writes"
WRITERS_LOCK = 0x50554C4D
"""Key of PostgreSQL's advisory lock that writing transactions take, one after the other."""
POSTGRESQL_SETTINGS = {
    "lock_timeout": "30s",
    "statement_timeout": "60s",
    # A host that is cut off in the middle of a transaction must not keep the lock.
    "idle_in_transaction_session_timeout": "15s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
POSTGRESQL_CONNECTION = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "options": " ".join(f"-c {name}={value}" for name, value in POSTGRESQL_SETTINGS.items()),
}


class SchemaMismatch(Exception):
    """The database is not at the schema version that this release needs.

    Attributes
    ----------
    found, wanted : str or None
        Schema versions.
    known : bool
        Whether this release knows the version that was found.
    """

    def __init__(self, found: str | None, wanted: str | None, *, known: bool = True) -> None:
        self.found = found
        self.wanted = wanted
        self.known = known
        remedy = "take a backup ('pulmonode backup'), then run 'pulmonode migrate'"
        if found is None:
            remedy = "run 'pulmonode migrate'"
        elif not known:
            remedy = (
                "a newer release has upgraded it: install that release on this machine, or restore "
                "the backup that was taken before the upgrade"
            )
        super().__init__(
            f"state database is at schema {found or 'none'}, this release needs {wanted}: {remedy}"
        )


class SchemaDamaged(SchemaMismatch):
    """The database says that it is at this release's schema, and is not: half an upgrade."""

    def __init__(self, wanted: str | None, lacks: tuple[str, ...]) -> None:
        super().__init__(wanted, wanted)
        self.lacks = lacks
        message = (
            f"state database says that it is at schema {wanted} and lacks {', '.join(lacks)}: half "
            "an upgrade, or a copy that was not whole; restore the last backup "
            "('pulmonode restore')"
        )
        self.args = (message,)


class Database:
    """The state database.

    Parameters
    ----------
    url : str
        SQLAlchemy URL; SQLite is run in WAL mode with full synchronisation, PostgreSQL with
        one writing transaction at a time, so that both mean the same by `write`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _make_engine(url)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that may write; committed at the end, rolled back on an error.

        The write lock is taken at once (SQLite: BEGIN IMMEDIATE, PostgreSQL: an advisory
        lock), so that what is read inside cannot change before it is written. Whoever calls
        must not wait for anything else inside.
        """
        with (
            _timed("write"),
            self.engine.connect().execution_options(**{WRITES: True}) as connection,
            connection.begin(),
            Session(connection, expire_on_commit=False) as session,
        ):
            yield session
            session.flush()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A consistent view; nothing is written."""
        with _timed("read"), self.engine.connect() as connection:
            if self.engine.dialect.name != "sqlite":  # SQLite's reads are snapshots by nature
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with Session(connection) as session:
                yield session

    def now(self) -> float:
        """Seconds since the epoch by the database's clock.

        Leases of workers on several hosts are compared with each other, so all of them use
        one clock: PostgreSQL's, or, with SQLite, that of the one host there is.
        """
        if self.engine.dialect.name == "sqlite":
            return clock.now()
        with self.engine.connect() as connection:
            query = text("SELECT extract(epoch FROM clock_timestamp())")
            return float(connection.execute(query).scalar_one())

    def migrate(self) -> None:
        """Bring the schema to this release's version (makes it when there is none).

        All of it or nothing: one transaction. Of a SQLite file an earlier schema is kept beside it
        (``<file>.schema-<version>``).

        Raises
        ------
        SchemaMismatch
            If a newer release has upgraded it.
        """
        found, wanted = self.versions()
        if found is not None and not _is_known(found):
            raise SchemaMismatch(found, wanted, known=False)
        if found is not None and found != wanted and self.engine.dialect.name == "sqlite":
            from workers.state.database_copy import copy_database  # here: it needs this module

            file = Path(str(self.engine.url.database))
            copy_database(self.url, file.with_name(f"{file.name}.schema-{found}"))
        with self.engine.connect().execution_options(**{WRITES: True}) as connection:
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    def versions(self) -> tuple[str | None, str | None]:
        """(Schema version found, schema version wanted)."""
        wanted = _newest()
        # Alembic asks by a statement of its own each time: kept, they would push out all others.
        uncached = self.engine.execution_options(compiled_cache=None)
        with uncached.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        return found, wanted

    def check_version(self) -> None:
        """See whether the schema is this release's, by its number, its tables and its indexes.

        Raises
        ------
        SchemaMismatch
            If it is another.
        SchemaDamaged
            If its number is right and something is missing all the same.
        """
        self.check_number()
        tables = whole_metadata().tables
        look = inspect(self.engine)
        columns = {
            table: {item["name"] for item in each}
            for (_, table), each in look.get_multi_columns().items()
        }
        indexes = {
            item["name"]: item["column_names"]
            for each in look.get_multi_indexes().values()
            for item in each
        }
        lacks = [
            f"{name}.{column.name}" if name in columns else name
            for name, table in tables.items()
            for column in table.columns
            if column.name not in columns.get(name, ())
        ] + [
            f"index {index.name}"
            for table in tables.values()
            for index in table.indexes
            if indexes.get(str(index.name)) != [column.name for column in index.columns]
        ]
        if lacks:
            raise SchemaDamaged(_newest(), tuple(dict.fromkeys(lacks)))

    def check_number(self) -> None:
        """The first half of `check_version`: one query.

        Raises
        ------
        SchemaMismatch
            If the schema is another than this release's.
        """
        found, wanted = self.versions()
        if found != wanted:
            raise SchemaMismatch(found, wanted, known=found is None or _is_known(found))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


@contextmanager
def _timed(kind: str) -> Iterator[None]:
    """Tell how long a transaction took, waiting for its lock and its commit included."""
    started = time.perf_counter()
    try:
        yield
    finally:
        observe.note("pulmonode_database_seconds", time.perf_counter() - started, kind=kind)


@cache
def _history() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())


def _newest() -> str | None:
    return _history().get_current_head()


def _is_known(revision: str) -> bool:
    return revision in {item.revision for item in _history().walk_revisions()}


def alembic_config() -> Config:
    """Alembic's configuration for this release's migrations."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _make_engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return _make_postgresql_engine(url)
    engine = create_engine(url)

    # SQLAlchemy's documented way to make SQLite's transactions real: the driver must not
    # begin them itself.
    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _make_postgresql_engine(url: str) -> Engine:
    engine = create_engine(
        url, pool_pre_ping=True, pool_timeout=30, connect_args=POSTGRESQL_CONNECTION
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get(WRITES, False):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})")

    return engine
