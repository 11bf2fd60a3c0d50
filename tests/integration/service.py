"""The service in processes of its own, as an administrator starts it, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from dicom_node.deliver.peer import Peer, associated, echo
from dicom_node.deliver.scu import read_outgoing, storage_contexts, store_all
from dicom_node.errors import DicomNodeError
from workers.state.database import Database
from workers.state.schema import ENDS, JobState
from workers.usecases.describe import list_jobs, show_job

START_LIMIT_S = 180.0
END_LIMIT_S = 180.0
"""No speed is asked here: the machine may be busy with other processes of tests."""
FAST = {
    "PULMONODE_HOST": "127.0.0.1",
    "PULMONODE_CONSOLE_ENABLED": "false",
    "PULMONODE_CALLING_AE_TITLES": "any",
    "PULMONODE_QUIET_TIME_S": "1.5",
    "PULMONODE_STUDY_HOLD_S": "0.5",
    "PULMONODE_INCOMPLETE_WAIT_S": "3",
    "PULMONODE_TICK_S": "0.2",
    "PULMONODE_DISK_RESERVE_BYTES": "0",
    "PULMONODE_RETRY_BASE_S": "0.5",
    "PULMONODE_THREADS": "1",
}
NO_NETWORKS = {
    "PULMONODE_DETECTOR": "classical",
    "PULMONODE_SEGMENTER": "classical",
    "PULMONODE_GRADER": "none",
}
"""For tests that do not ask what is found: torch takes seconds to load, after every kill again."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], Any], *, limit_s: float, message: str) -> Any:
    """Poll until something is true; its value."""
    deadline = time.monotonic() + limit_s
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{message} within {limit_s:g} s")
        time.sleep(0.2)


@dataclass
class Service:
    """`pulmonode up` in a folder."""

    folder: Path
    destinations: Sequence[dict[str, Any]] = ()
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def peer(self) -> Peer:
        return Peer(
            ae_title="PULMONODE",
            host="127.0.0.1",
            port=self.port,
            connect_timeout_s=60,
        )

    @property
    def log(self) -> Path:
        return self.folder / "service.log"

    @property
    def variables(self) -> dict[str, str]:
        return {
            **os.environ,
            **FAST,
            "PULMONODE_DATA_DIR": str(self.data),
            "PULMONODE_DICOM_PORT": str(self.port),
            "PULMONODE_DESTINATIONS": json.dumps(list(self.destinations)),
            **self.environment,
        }

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.cli.start", "up"],
                env=self.variables,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

        def answers() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            try:
                echo(self.peer, "TESTER")
            except DicomNodeError:
                return False
            return True

        try:
            wait_for(answers, limit_s=START_LIMIT_S, message="the service answers C-ECHO")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def kill(self) -> None:
        """SIGKILL to all of its processes at once."""
        assert self.process is not None
        up = psutil.Process(self.process.pid)
        up.suspend()  # it must not start anything again meanwhile
        for process in up.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.kill()
        up.kill()
        self.process.wait()

    def send_each(self, paths: Sequence[Path]) -> Iterator[Path]:
        """C-STORE files over one association; yields each one that was acknowledged."""
        objects = [read_outgoing(path) for path in paths]
        with associated(self.peer, "TESTER", storage_contexts(objects)) as assoc:
            for item, _ in zip(objects, store_all(assoc, self.peer, objects), strict=False):
                yield item.path

    def send(self, paths: Sequence[Path], *, abort_after: int | None = None) -> None:
        """C-STORE files; optionally abort the association after some of them."""
        objects = [read_outgoing(path) for path in paths]
        with associated(self.peer, "TESTER", storage_contexts(objects)) as assoc:
            for count, _ in enumerate(store_all(assoc, self.peer, objects), start=1):
                if count == abort_after:
                    assoc.abort()
                    return

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "workers.cli.main", *arguments],
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def database_url(self) -> str:
        default = f"sqlite:///{self.data / 'state.sqlite'}"
        return self.environment.get("PULMONODE_STATE_URL", default)

    def jobs(self, *, limit: int = 100) -> list[dict[str, Any]]:
        database = Database(self.database_url)
        try:
            with database.read() as session:
                return list_jobs(session, limit=limit)
        finally:
            database.close()

    def job(self, series_uid: str) -> dict[str, Any]:
        database = Database(self.database_url)
        try:
            with database.read() as session:
                return show_job(session, series_uid)
        finally:
            database.close()

    def wait_for_job(
        self, series_uid: str, *, limit_s: float = END_LIMIT_S, states: set[JobState] | None = None
    ) -> dict[str, Any]:
        """The series' newest job once it reached an end (or one of the given states)."""
        wanted = states or set(ENDS)

        def reached() -> dict[str, Any] | None:
            rows = [row for row in self.jobs() if row["series_instance_uid"] == series_uid]
            if rows and JobState(rows[0]["state"]) in wanted:
                return self.job(series_uid)
            return None

        try:
            found = wait_for(reached, limit_s=limit_s, message=f"job of {series_uid} ends")
        except AssertionError as error:
            raise AssertionError(f"{error}; jobs: {self.jobs()}\n{self.log.read_text()}") from None
        assert isinstance(found, dict)
        return found
