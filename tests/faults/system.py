"""The whole service with a recording PACS, on either kind of servers, for breaking things."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis
from sqlalchemy import select

from dicom_node.deliver.peer import Peer
from dicom_node.errors import DicomNodeError
from dicom_node.mini_pacs import CommitmentReply, MiniPacs
from tests.faults.plan import FaultPlan
from tests.integration.service import NO_NETWORKS, Service, free_port
from tests.servers.postgresql import PostgresServer
from tests.servers.redis_server import RedisServer
from tests.servers.s3 import S3Server
from tests.servers.small_disk import SmallDisk
from tests.servers.wire import TcpProxy
from workers.state.database import Database
from workers.state.schema import Alarm

EMBEDDED = "embedded"
SERVERS = "servers"
SMALL_DISK = "small disk"
BUCKET = "pulmonode"
DISK_MB = 700
FAST = {
    "PULMONODE_QUIET_TIME_S": "1",
    "PULMONODE_CONSOLE_ENABLED": "false",
    "PULMONODE_STUDY_HOLD_S": "0.2",
    "PULMONODE_INCOMPLETE_WAIT_S": "60",
    "PULMONODE_TICK_S": "0.2",
    "PULMONODE_LEASE_S": "3",
    "PULMONODE_RETRY_BASE_S": "0.5",
    "PULMONODE_RETRY_CAP_S": "2",
    "PULMONODE_HINT_AGAIN_S": "2",
    "PULMONODE_COMMITMENT_WAIT_S": "5",
    "PULMONODE_DELIVERY_ALARM_S": "3",
    "PULMONODE_OUTAGE_ALARM_S": "2",
    "PULMONODE_WORKER_ALARM_S": "10",
    "PULMONODE_NETWORK_TIMEOUT_S": "10",
    **NO_NETWORKS,
}


@dataclass
class Sending:
    """A PACS that sends a series and sends again what was not acknowledged."""

    service: Service
    paths: Sequence[Path]
    acknowledged: set[Path] = field(default_factory=set)
    attempts: int = 0
    limit_s: float = 90.0
    thread: threading.Thread | None = None

    def start(self) -> Sending:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def _run(self) -> None:
        deadline = time.monotonic() + self.limit_s
        while time.monotonic() < deadline and len(self.acknowledged) < len(self.paths):
            waiting = [path for path in self.paths if path not in self.acknowledged]
            self.attempts += 1
            with contextlib.suppress(DicomNodeError, OSError):
                for path in self.service.send_each(waiting):
                    self.acknowledged.add(path)
                return
            time.sleep(0.5)

    def finish(self) -> None:
        assert self.thread is not None
        self.thread.join(timeout=self.limit_s + 10)


class System:
    """`pulmonode up` with its servers, its data, its PACS and its faults."""

    def __init__(
        self,
        kind: str,
        folder: Path,
        *,
        destination: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.folder = folder
        self.more_of_destination = dict(destination or {})
        self.more_environment = dict(environment or {})
        self.plan = FaultPlan(folder / "faults")
        self.disk: SmallDisk | None = None
        self.database: PostgresServer | None = None
        self.broker: RedisServer | None = None
        self.store: S3Server | None = None
        self.recorder = MiniPacs(folder=folder / "pacs", ae_title="RECORDER", port=free_port())
        self.wire = TcpProxy("127.0.0.1", self.recorder.port)
        self.service = self._make_service()

    def _make_service(self) -> Service:
        folder = self.folder / "service"
        folder.mkdir(exist_ok=True)
        destination = {
            "name": "recorder",
            "ae_title": self.recorder.ae_title,
            "host": "127.0.0.1",
            "port": self.wire.port,
            "connect_timeout_s": 3,
            "response_timeout_s": 6,
            **self.more_of_destination,
        }
        environment = {**FAST, **self.plan.environment, **self.more_environment}
        if self.kind == SERVERS:
            self.database = PostgresServer(self.folder, free_port())
            self.broker = RedisServer(self.folder, free_port())
            self.store = S3Server(free_port())
            environment |= {
                "PULMONODE_STATE_URL": self.database.url,
                "PULMONODE_BROKER_URL": self.broker.url,
                "PULMONODE_STORE_URL": self.store.url(BUCKET),
                **self.store.environment,
            }
        if self.kind == SMALL_DISK:
            (folder / "data").mkdir()
            self.disk = SmallDisk(folder / "data", DISK_MB)
        service = Service(folder=folder, destinations=[destination], environment=environment)
        self.recorder.commitment_peer = Peer(
            ae_title="PULMONODE", host="127.0.0.1", port=service.port
        )
        return service

    def start(self) -> None:
        for server in (self.database, self.broker, self.store):
            if server is not None:
                server.start()
        if self.store is not None:
            self.store.make_bucket(BUCKET)
        self.recorder.start()
        self.service.start()

    def stop(self) -> None:
        self.service.stop()
        self.recorder.stop()
        self.wire.close()
        for server in (self.database, self.broker, self.store):
            if server is not None:
                server.thaw()
                server.close()
        if self.disk is not None:
            self.disk.close()

    def mend(self) -> None:
        """Let everything be as it should, whatever a cell did."""
        self.plan.clear()
        self.wire.mend()
        self.wire.delay(0.0)
        self.recorder.store_statuses.clear()
        self.recorder.store_delay_s = 0.0
        self.recorder.refuse_associations = False
        self.recorder.commitment_reply = CommitmentReply.NEW_ASSOCIATION
        if self.disk is not None:
            self.disk.writable()
            self.disk.free()
        for server in (self.database, self.broker, self.store):
            if server is not None:
                server.thaw()
                server.start()

    # Killing -----------------------------------------------------------------------------

    def processes(self, *words: str) -> list[psutil.Process]:
        """The service's processes whose command line holds all of these words."""
        assert self.service.process is not None
        found = []
        for process in psutil.Process(self.service.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if all(word in " ".join(process.cmdline()) for word in words):
                    found.append(process)
        return found

    def kill(self, *words: str) -> int:
        victims = self.processes(*words)
        for victim in victims:
            with contextlib.suppress(psutil.Error):
                victim.kill()
        return len(victims)

    def kill_broker(self, *, away_s: float = 2.0) -> None:
        """Kill the broker with everything in it; it comes back empty or by its own log."""
        if self.broker is None:
            assert self.kill("valkey-server") == 1
            return
        self.broker.kill()
        time.sleep(away_s)
        self.broker.start()

    def empty_broker(self) -> None:
        with self._broker_client() as client:
            assert client.dbsize() > 0, "there was nothing to lose"
            client.flushall()

    def slow_broker(self, seconds: float) -> None:
        with self._broker_client() as client:
            client.client_pause(int(seconds * 1000))

    @contextlib.contextmanager
    def _broker_client(self) -> Iterator[redis.Redis]:
        if self.broker is not None:
            with self.broker.client() as client:
                yield client
            return
        (server,) = self.processes("valkey-server")
        sockets = [item.laddr for item in server.net_connections("unix") if item.laddr]
        client = redis.Redis(unix_socket_path=str(sockets[0]))
        try:
            yield client
        finally:
            client.close()

    def kill_database(self, *, away_s: float = 3.0) -> None:
        assert self.database is not None
        self.database.kill()
        time.sleep(away_s)
        self.database.start()

    @contextlib.contextmanager
    def locked_database(self) -> Iterator[None]:
        """Nobody else writes for as long as the block lasts."""
        if self.database is not None:
            with self.database.lock_everything():
                yield
            return
        path = self.service.data / "state.sqlite"
        connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
            connection.close()

    def back_up_database(self) -> Callable[[], None]:
        """Copy the database of the stopped service; returns what puts the copy back."""
        copy = self.folder / f"backup {time.monotonic()}"
        if self.database is not None:
            database = self.database
            database.backup(copy)
            return lambda: database.restore_backup(copy)
        copy.mkdir()
        for path in self.service.data.glob("state.sqlite*"):
            shutil.copy2(path, copy)

        def restore() -> None:
            for path in self.service.data.glob("state.sqlite*"):
                path.unlink()
            for path in copy.iterdir():
                shutil.copy2(path, self.service.data)

        return restore

    def power_cut(self) -> None:
        """Kill everything that is ours on this machine at once, then start it again."""
        self.service.kill()
        for server in (self.database, self.broker):
            if server is not None:
                server.kill()
                server.start()
        self.service.start()

    def kill_supervisor(self) -> None:
        """Kill `pulmonode up` alone; its children must not stay behind. Then start it again.

        A worker ends when it has finished the analysis that it holds, so it is not waited for.
        """
        assert self.service.process is not None
        ours = [*self.processes("main node"), *self.processes("--queues deliver")]
        os.kill(self.service.process.pid, signal.SIGKILL)
        self.service.process.wait()
        _, alive = psutil.wait_procs(ours, timeout=90)  # they finish what they write
        assert not alive, alive
        self.service.start()

    # Looking -----------------------------------------------------------------------------

    def send(self, paths: Sequence[Path]) -> Sending:
        return Sending(self.service, paths).start()

    def alarms_since(self, moment: float) -> set[str]:
        """Codes of the alarms raised since then, in the table or, without it, in the log."""
        database = Database(self.service.database_url)
        try:
            with database.read() as session:
                found = set(session.scalars(select(Alarm.code).where(Alarm.raised_at >= moment)))
        finally:
            database.close()
        return found

    def read_object(self, key: str) -> bytes | None:
        """An object of the store, by whatever way is not ours."""
        if self.store is None:
            path = self.service.data / "store" / key
            return path.read_bytes() if path.exists() else None
        return self.store.get(BUCKET, f"objects/{key}")

    def cli_json(self, *arguments: str) -> Any:
        return json.loads(self.service.cli(*arguments, "--json").stdout)
