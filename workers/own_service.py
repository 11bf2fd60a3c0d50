"""`pulmonode up` in a process of its own, for the demonstration and the benchmarks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dicom_node.deliver.peer import Peer, echo
from dicom_node.errors import DicomNodeError
from dicom_node.mini_pacs import MiniPacs
from workers.errors import ServiceNotStarted
from workers.settings import Settings
from workers.state.database import Database
from workers.state.schema import ENDS, JobState
from workers.supervisor import COMMAND
from workers.usecases.describe import list_jobs, show_job

START_LIMIT_S = 180.0
STOP_LIMIT_S = 60.0
LOOK_AGAIN_S = 0.1
QUICK = {
    "PULMONODE_HOST": "127.0.0.1",
    "PULMONODE_CONSOLE_ENABLED": "false",
    "PULMONODE_CALLING_AE_TITLES": "MINIPACS",
    "PULMONODE_QUIET_TIME_S": "2",
    "PULMONODE_STUDY_HOLD_S": "1",
    "PULMONODE_INCOMPLETE_WAIT_S": "5",
    "PULMONODE_TICK_S": "0.25",
    "PULMONODE_DISK_RESERVE_BYTES": "0",
    "PULMONODE_LOG_FORMAT": "console",
    "PULMONODE_METRICS_ENABLED": "false",
}
"""Loopback only, and no longer waits than one series needs."""
ELSEWHERE = ("PULMONODE_BROKER_URL", "PULMONODE_STATE_URL", "PULMONODE_STORE_URL")
"""Of whoever measures; the service measured has its own."""


def free_port() -> int:
    """A TCP port of this machine that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def own_service(
    data: Path,
    pacs: MiniPacs,
    log_file: Path,
    *,
    peer: Peer,
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = (COMMAND, "up"),
) -> Iterator[Settings]:
    """Run the whole service, and `pacs` as its only destination.

    Broker, database and store are its own, in its data folder, where `environment` names none.

    Parameters
    ----------
    data : Path
        Its data folder.
    pacs : MiniPacs
        Started already.
    log_file : Path
        Gets what it writes.
    peer : Peer
        Where it listens.
    environment : mapping, optional
        Settings besides `QUICK`.
    command : sequence of str
        Module and arguments that run it.

    Raises
    ------
    ServiceNotStarted
        If it ends, or does not answer in time.
    """
    destination = {
        "name": "minipacs",
        "ae_title": pacs.ae_title,
        "host": pacs.host,
        "port": pacs.port,
    }
    outside = {key: value for key, value in os.environ.items() if key not in ELSEWHERE}
    settings = {
        **outside,
        **QUICK,
        "PULMONODE_DATA_DIR": str(data),
        "PULMONODE_AE_TITLE": peer.ae_title,
        "PULMONODE_DICOM_PORT": str(peer.port),
        "PULMONODE_DESTINATIONS": json.dumps([destination]),
        **(environment or {}),
    }
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=settings, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            _wait_until_it_answers(process, peer, log_file)
            yield Settings(data_dir=data, state_url=settings.get("PULMONODE_STATE_URL"))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def follow_jobs(
    database: Database, *, limit_s: float, after: int = 0
) -> Iterator[dict[str, Any] | None]:
    """The newest job after a number, again and again until it ends; `None` while there is none.

    Raises
    ------
    TimeoutError
        If it does not end in time.
    """
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        with database.read() as session:
            jobs = list_jobs(session, limit=1)
            if not jobs or jobs[0]["id"] <= after:
                yield None
            elif JobState(jobs[0]["state"]) in ENDS:
                yield show_job(session, str(jobs[0]["id"]))
                return
            else:
                yield jobs[0]
        time.sleep(LOOK_AGAIN_S)
    raise TimeoutError(f"no end after {limit_s:g} s")


def _wait_until_it_answers(process: subprocess.Popen[bytes], peer: Peer, log_file: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServiceNotStarted(log_file)
        try:
            # pynetdicom logs a closed port as an error; here it is only early
            socket.create_connection((peer.host, peer.port), 1).close()
            echo(peer, "MINIPACS")
        except (OSError, DicomNodeError):
            time.sleep(0.5)
        else:
            return
