"""The receivers that `bench receive` compares, each a server in a process of its own.

All write whole files to the same disk. Ours and Orthanc (``SyncStorageArea``) force each file to
disk before they answer Success; storescp never does, and no option makes it. Ours without fsync
exists here only, to compare what is equal.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import psutil

from workers.errors import BenchmarkFailed

START_LIMIT_S = 60.0
AE_TITLE = "BENCH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """How to start a receiver, and how to empty it between runs.

    Attributes
    ----------
    name : str
        As in the results.
    durable : bool
        Whether Success means that the file is on disk.
    command : callable
        Port and folder to the command line.
    empty : callable
        Removes what was received, given port and folder.
    count : callable
        How many instances are kept, given port and folder.
    """

    name: str
    durable: bool
    command: Callable[[int, Path], list[str]]
    empty: Callable[[int, Path], None]
    count: Callable[[int, Path], int]


class RunningReceiver:
    """A receiver that listens."""

    def __init__(self, receiver: Receiver, folder: Path) -> None:
        self.receiver = receiver
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.port = free_port()
        self._log = (folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            receiver.command(self.port, folder),
            env={**os.environ, "TCP_NODELAY": "1"},  # DCMTK's and Orthanc's; else Nagle's delay
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._wait()

    def cpu_s(self) -> float:
        """CPU seconds so far, ended children included."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(sum(times[:4]))

    def stop(self) -> None:
        """End it and remove what it wrote."""
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = (self.folder / "server.log").read_text(errors="replace").splitlines()
                    self.stop()
                    raise BenchmarkFailed(self.receiver.name, said[-1:] or ["no message"]) from None
                time.sleep(0.05)


def find_program(name: str) -> str:
    """Path of DCMTK's or Orthanc's program; pynetdicom has some of the same name beside Python's.

    Raises
    ------
    BenchmarkFailed
        If it is not installed.
    """
    beside_python = {Path(sys.prefix) / "bin", Path(sys.executable).parent}
    folders = [
        item
        for item in (*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/usr/sbin")
        if item and Path(item) not in beside_python
    ]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise BenchmarkFailed(name, ["not installed: apt-get install dcmtk orthanc"])
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ours(*options: str) -> Callable[[int, Path], list[str]]:
    def command(port: int, folder: Path) -> list[str]:
        module = "workers.bench.receive_server"
        return [sys.executable, "-m", module, str(port), str(folder / "spool"), *options]

    return command


def _storescp(port: int, folder: Path) -> list[str]:
    (folder / "received").mkdir(exist_ok=True)
    return [find_program("storescp"), "+B", "-pdu", "131072", "--fork", "-aet", AE_TITLE,
            "-od", str(folder / "received"), str(port)]  # fmt: skip


def _orthanc(port: int, folder: Path) -> list[str]:
    settings = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "DicomAet": AE_TITLE,
        "DicomPort": port,
        "DicomServerEnabled": True,
        "DicomAlwaysAllowStore": True,
        "HttpPort": _http_port(port),
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "SyncStorageArea": True,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    return [find_program("Orthanc"), str(folder / "orthanc.json")]


def _http_port(port: int) -> int:
    return port + 1 if port < 65535 else port - 1


def _remove_files(pattern: str) -> Callable[[int, Path], None]:
    def empty(_port: int, folder: Path) -> None:
        for path in folder.glob(pattern):
            path.unlink()

    return empty


def _count_files(pattern: str) -> Callable[[int, Path], int]:
    return lambda _port, folder: sum(1 for _ in folder.glob(pattern))


def _orthanc_says(port: int, method: str, path: str) -> object:
    connection = HTTPConnection("127.0.0.1", _http_port(port), timeout=60)
    try:
        connection.request(method, path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def _empty_orthanc(port: int, _folder: Path) -> None:
    patients = _orthanc_says(port, "GET", "/patients")
    if not isinstance(patients, list):
        raise BenchmarkFailed("Orthanc", ["it does not list its patients"])
    for patient in patients:
        _orthanc_says(port, "DELETE", f"/patients/{patient}")


def _count_orthanc(port: int, _folder: Path) -> int:
    statistics = _orthanc_says(port, "GET", "/statistics")
    if not isinstance(statistics, dict):
        raise BenchmarkFailed("Orthanc", ["it does not say what it holds"])
    return int(statistics["CountInstances"])


OURS = Receiver(
    name="ours",
    durable=True,
    command=_ours(),
    empty=_remove_files("spool/inbox/*"),
    count=_count_files("spool/inbox/*"),
)
OURS_NOT_DURABLE = Receiver(
    name="ours without fsync",
    durable=False,
    command=_ours("--no-fsync"),
    empty=OURS.empty,
    count=OURS.count,
)
OURS_PLAIN = Receiver(
    name="ours, pynetdicom as it is",
    durable=True,
    command=_ours("--plain"),
    empty=OURS.empty,
    count=OURS.count,
)
ORTHANC = Receiver(
    name="orthanc",
    durable=True,
    command=_orthanc,
    empty=_empty_orthanc,
    count=_count_orthanc,
)
STORESCP = Receiver(
    name="storescp",
    durable=False,
    command=_storescp,
    empty=_remove_files("received/*"),
    count=_count_files("received/*"),
)
RECEIVERS = (OURS, ORTHANC, STORESCP, OURS_NOT_DURABLE, OURS_PLAIN)
