"""A real Orthanc with its DICOMweb plugin, as the archive behind a viewer."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from tests.conftest import missing, need_program
from tests.integration.service import wait_for

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
START_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Orthanc's own interface, on this machine only."""

    http_port: int

    def store(self, paths: Iterable[Path]) -> None:
        """Put instances in, as they are."""
        with closing(self._connection()) as connection:
            for path in paths:
                connection.request("POST", "/instances", body=path.read_bytes())
                answer = connection.getresponse()
                said = answer.read()
                assert answer.status == 200, f"{path}: {said!r}"

    def instances(self) -> dict[str, bytes]:
        """Every instance as it was stored, by Orthanc's own identifier."""
        with closing(self._connection()) as connection:

            def get(path: str) -> bytes:
                connection.request("GET", path)
                return connection.getresponse().read()

            return {name: get(f"/instances/{name}/file") for name in json.loads(get("/instances"))}

    def answers(self) -> bool:
        """Whether it is up."""
        with closing(self._connection()) as connection:
            try:
                connection.request("GET", "/system")
                return connection.getresponse().status == 200
            except OSError:
                return False

    def _connection(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.http_port, timeout=60)


@contextmanager
def archive(folder: Path, *, http_port: int, seen_at: str) -> Iterator[Archive]:
    """Run Orthanc in a folder; `seen_at` is the host and port by which the viewer knows it."""
    program = need_program("Orthanc")
    if not PLUGIN.is_file():
        missing(f"{PLUGIN} (Debian's orthanc-dicomweb)")
    settings = {
        "Name": "PACS",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "Plugins": [str(PLUGIN)],
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "SyncStorageArea": False,
        "DicomWeb": {"Root": "/dicom-web/", "Host": seen_at, "StudiesMetadata": "Full",
                     "SeriesMetadata": "Full"},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(
            [program, str(folder / "orthanc.json")],
            env={**os.environ, "TCP_NODELAY": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    found = Archive(http_port=http_port)
    try:

        def up() -> bool:
            assert process.poll() is None, (folder / "orthanc.log").read_text()
            return found.answers()

        wait_for(up, limit_s=START_LIMIT_S, message="Orthanc answers")
        yield found
    finally:
        process.terminate()
        process.wait(timeout=30)
