"""A real PostgreSQL server with a cluster of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from tests.conftest import missing, need_program
from tests.servers.process import ServerProcess

NAME = "pulmonode"  # of the role and of the database
WRITERS_LOCK = 0x50554C4D  # workers.state.database.WRITERS_LOCK
PROGRAMS = "/usr/lib/postgresql"  # where Debian keeps them, one folder per version


def postgresql_programs() -> Path:
    """Folder of the newest PostgreSQL's programs (15 or later)."""
    found = [
        (int(folder.parent.name), folder)
        for folder in Path(PROGRAMS).glob("*/bin")
        if folder.parent.name.isdigit() and (folder / "initdb").exists()
    ]
    if not found or max(found)[0] < 15:
        missing("PostgreSQL")
    return max(found)[1]


class PostgresServer(ServerProcess):
    """PostgreSQL with the role and the database `pulmonode`; no password is asked.

    Parameters
    ----------
    folder : Path
        Where its log goes.
    listen : str, optional
        A second address to listen on, such as a network namespace's.
    client_network : str, optional
        Network in CIDR form from which clients may come, besides this machine.
    prefix : Sequence of str
        Goes before the command: `TwoHosts.prefix("node")`.
    settings : Mapping, optional
        Settings of the server (`{"max_connections": "20"}`).
    parent : Path, optional
        Folder to keep the cluster in, such as a `SmallDisk`'s; every user must be able to get
        there, which pytest's own folders do not allow.
    """

    name = "postgresql"
    stop_signal = signal.SIGINT  # "fast": clients are thrown out

    def __init__(
        self,
        folder: Path,
        port: int,
        host: str = "127.0.0.1",
        *,
        listen: str | None = None,
        client_network: str | None = None,
        prefix: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
        parent: Path | None = None,
    ) -> None:
        self.programs = postgresql_programs()
        super().__init__(port, host, prefix, folder)
        self.data = (parent or self.home) / "cluster"
        self.listen = listen
        self.client_network = client_network
        self.settings = dict(settings or {})
        self.as_user: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses root
            self.owner = pwd.getpwnam("postgres")
            os.chown(self.home, self.owner.pw_uid, self.owner.pw_gid)
            # Not subprocess' user=: a prefix before it still needs root.
            ids = [f"--reuid={self.owner.pw_uid}", f"--regid={self.owner.pw_gid}"]
            self.as_user = [need_program("setpriv"), *ids, "--clear-groups"]

    @property
    def url(self) -> str:
        return self.url_at(self.host)

    def url_at(self, address: str) -> str:
        """The SQLAlchemy URL for a client to which the server has this address."""
        return f"postgresql+psycopg://{NAME}@{address}:{self.port}/{NAME}"

    def start(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster()
        super().start()
        with self.connect("postgres") as connection:
            if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [NAME]).rowcount:
                connection.execute(f"CREATE ROLE {NAME} LOGIN")
            if not connection.execute(
                "SELECT FROM pg_database WHERE datname = %s", [NAME]
            ).rowcount:
                connection.execute(f"CREATE DATABASE {NAME} OWNER {NAME}")

    def command(self) -> list[str]:
        addresses = ",".join(filter(None, [self.host, self.listen]))
        settings = {
            "listen_addresses": addresses,
            "unix_socket_directories": str(self.home),
            "shared_buffers": "16MB",
            "fsync": "on",
            **self.settings,
        }
        command = [*self.as_user, str(self.programs / "postgres"), "-D", str(self.data)]
        command += ["-p", str(self.port)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), self.connect("postgres"):
            return True
        return False

    @contextlib.contextmanager
    def connect(self, database: str = NAME) -> Iterator[psycopg.Connection[Any]]:
        """A connection of the superuser (autocommit), from any network namespace."""
        connection = psycopg.connect(
            host=str(self.home),  # its socket there
            port=self.port,
            user="postgres",
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )
        try:
            yield connection
        finally:
            connection.close()

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement and commit; its rows, if it has any."""
        with self.connect() as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def backup(self, target_dir: Path) -> None:
        """Stop, copy the data, start."""
        self.stop()
        _copy(self.data, target_dir)
        self.start()

    def restore_backup(self, target_dir: Path) -> None:
        """Kill, put the copy in the data's place, start: everything since is forgotten."""
        self.kill()
        shutil.rmtree(self.data)
        _copy(target_dir, self.data)
        self.start()

    @contextlib.contextmanager
    def lock_everything(self) -> Iterator[None]:
        """Let nobody write, nor read the table job, for as long as the block lasts."""
        with self.connect() as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [WRITERS_LOCK])
            connection.execute("LOCK TABLE job IN ACCESS EXCLUSIVE MODE")
            try:
                yield
            finally:
                with contextlib.suppress(psycopg.Error):  # the server may be gone by now
                    connection.execute("ROLLBACK")

    def disconnect_everyone(self) -> int:
        """Throw every client of the database out; how many there were."""
        rows = self.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()",
            NAME,
        )
        return len(rows)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)
        super().close()

    def _make_cluster(self) -> None:
        self.data.mkdir(mode=0o700, exist_ok=True)
        if self.as_user:
            os.chown(self.data, self.owner.pw_uid, self.owner.pw_gid)
        initdb = [str(self.programs / "initdb"), "-D", str(self.data), "-U", "postgres"]
        initdb += ["--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        made = subprocess.run(
            [*self.as_user, *initdb], cwd=self.home, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stdout + made.stderr
        if self.client_network:
            with (self.data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {self.client_network} trust\n")


def _copy(source: Path, target: Path) -> None:
    """Copy a folder with owners and modes."""
    target.mkdir(parents=True)
    subprocess.run(["cp", "-a", f"{source}/.", str(target)], check=True)
