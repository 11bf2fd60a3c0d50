"""What the PACS of these tests know, the questions to them, and a bad line to them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.compose.ct import CtIdentity, write_ct_series
from dicom_node.deliver.peer import Peer
from dicom_node.query.series import find_series_instance_count
from dicom_node.query.study import StudyIdentity, find_study_identity
from dicom_node.read.header import Identity, read_header

STUDY, SERIES = "2.25.1001", "2.25.1002"
PATIENT = {
    "PatientID": "0815",
    "IssuerOfPatientID": "HOSPITAL",
    "PatientName": "Doe^Jane",
    "PatientBirthDate": "19600101",
    "PatientSex": "F",
}


def entry(**values: object) -> Dataset:
    """What a PACS knows of the series, or of its study."""
    ds = Dataset()
    for keyword, value in (
        {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES} | values
    ).items():
        if value is not None:
            setattr(ds, keyword, value)
    return ds


def count(peer: Peer, series_uid: str = SERIES) -> int | None:
    return find_series_instance_count(peer, "TESTER", study_uid=STUDY, series_uid=series_uid)


def study(peer: Peer) -> StudyIdentity | None:
    return find_study_identity(peer, "TESTER", study_uid=STUDY)


def disagreements(ours: Identity, found: StudyIdentity | None) -> set[str]:
    """As the service compares: only what the PACS said counts."""
    assert found is not None
    return set(ours.patient_differences(found.identity)) & found.answered


def impatient(peer: Peer, limit_s: float = 0.5) -> Peer:
    return replace(peer, connect_timeout_s=limit_s, response_timeout_s=limit_s)


def write_ct(folder: Path, slices: int = 1, **values: Any) -> list[Path]:
    """The series as files, in UTF-8 where a name needs it."""
    identity = CtIdentity(key="query", study_instance_uid=STUDY, series_instance_uid=SERIES)
    return write_ct_series(
        folder,
        hu=np.zeros((slices, 8, 8), dtype=np.int16),
        affine=np.eye(4)[:, [2, 1, 0, 3]],
        identity=replace(identity, **values),
    )


def header_identity(folder: Path, **values: Any) -> Identity:
    """Identity of the series as the node reads it from a file."""
    return read_header(write_ct(folder / "ct", **values)[0]).identity


@contextlib.contextmanager
def broken_line(peer: Peer, *, whole_pdus: int, hang_up: bool) -> Iterator[Peer]:
    """A way to a PACS on which only so many of its PDUs come through, and half of the next."""
    done = threading.Event()

    def read(line: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := line.recv(size - len(data))):
            data += more
        return data

    def forward(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                target.sendall(data)

    def relay() -> None:
        with contextlib.suppress(OSError):
            caller, _ = listener.accept()
            with caller, socket.create_connection((peer.host, peer.port)) as pacs_side:
                there = threading.Thread(target=forward, args=(caller, pacs_side), daemon=True)
                there.start()
                for number in range(whole_pdus + 1):
                    head = read(pacs_side, 6)  # type, reserved, length (PS3.8 section 9.3.1)
                    length = int.from_bytes(head[2:], "big")
                    whole = number < whole_pdus
                    caller.sendall(head + read(pacs_side, length if whole else length // 2))
                if not hang_up:
                    done.wait(30)
                caller.shutdown(socket.SHUT_RDWR)  # closing does not, while `there` reads it

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=relay, daemon=True)
        thread.start()
        yield replace(peer, port=listener.getsockname()[1])
        done.set()
        thread.join(timeout=10)
