from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node.deliver.peer import Peer, associated, echo
from dicom_node.deliver.scu import read_outgoing, storage_contexts, store_all
from dicom_node.errors import DicomNodeError
from dicom_node.read.header import read_header
from tests.conftest import need_program
from tests.unit.dicom_node.query.cases import count, disagreements, study, write_ct

MOVE_TITLE = "PULMONODE_PRIOR"
"""The only destination that this Orthanc knows for C-MOVE."""


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Peer]:
    """A real Orthanc with its own choice of answers' character set (Latin 1)."""
    program = need_program("Orthanc")
    with (
        socket.create_server(("127.0.0.1", 0)) as probe,
        socket.create_server(("127.0.0.1", 0)) as second,
    ):
        peer = Peer(ae_title="ORTHANC", host="127.0.0.1", port=probe.getsockname()[1])
        move_to = [MOVE_TITLE, "127.0.0.1", second.getsockname()[1]]
    settings = {
        "StorageDirectory": str(tmp_path / "db"),
        "IndexDirectory": str(tmp_path / "db"),
        "HttpServerEnabled": False,
        "DicomAet": "ORTHANC",
        "DicomPort": peer.port,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {"prior": move_to},
        "DefaultEncoding": "Latin1",
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    with (tmp_path / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(
            [program, str(tmp_path / "orthanc.json")],
            env={**os.environ, "TCP_NODELAY": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 30
        while not answers(peer):
            assert process.poll() is None, (tmp_path / "orthanc.log").read_text()
            assert time.monotonic() < deadline, "Orthanc does not answer"
            time.sleep(0.1)
        yield peer
    finally:
        process.terminate()
        process.wait(timeout=30)


def move_port(folder: Path) -> int:
    """The port that Orthanc knows `MOVE_TITLE` by."""
    settings = json.loads((folder / "orthanc.json").read_text())
    return int(settings["DicomModalities"]["prior"][2])


def answers(peer: Peer) -> bool:
    try:
        echo(peer, "TESTER")
    except DicomNodeError:
        return False
    return True


@pytest.mark.peer
def test_orthanc_says_how_many_and_whose(orthanc: Peer, tmp_path: Path) -> None:
    paths = write_ct(tmp_path / "ct", slices=5, patient_name="Müller^Jürgen")
    ours = read_header(paths[0]).identity
    assert count(orthanc) == 0
    assert study(orthanc) is None

    objects = [read_outgoing(path) for path in paths]
    with associated(orthanc, "TESTER", storage_contexts(objects)) as assoc:
        assert len(list(store_all(assoc, orthanc, objects))) == 5
    found = study(orthanc)

    assert dcmread(paths[0]).SpecificCharacterSet == "ISO_IR 192"  # Orthanc answers in Latin 1
    assert count(orthanc) == 5
    assert found is not None
    assert found.answered >= {"patient_id", "patient_name", "birth_date", "sex"}
    assert disagreements(ours, found) == set()
    assert found.identity == ours
