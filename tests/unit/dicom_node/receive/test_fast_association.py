"""C-STORE read fragment by fragment: every way in which a peer may cut it, and every wrong one."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID
from structlog.testing import capture_logs

from dicom_node.receive import pynetdicom_internals
from dicom_node.receive.fast_association import StreamingDul
from dicom_node.receive.part10 import PREAMBLE, part10_head
from dicom_node.receive.scp import StorageScp
from tests.unit.dicom_node.receive.raw_peer import (
    ABORT,
    COMMAND,
    COMMITMENT,
    CT,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    LAST,
    P_DATA,
    RawPeer,
    in_pieces,
    pdu,
    pdv,
    status_of,
    store_command,
)

DATA = struct.pack("<HH2sH", 0x0010, 0x0020, b"LO", 2) + b"P1" + b"\x10\x00\x30\x00DA\x00\x00" * 500
Start = Callable[..., StorageScp]


def inbox(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "spool" / "inbox").iterdir())


def nothing_is_left(tmp_path: Path, *, accepted: int = 0) -> None:
    """Waited for: the association's thread ends a moment after its peer has gone."""
    deadline = time.monotonic() + 5
    while list((tmp_path / "spool" / "partial").iterdir()):
        assert time.monotonic() < deadline, "a partial file is left behind"
        time.sleep(0.02)
    assert len(inbox(tmp_path)) == accepted


def data_of(path: Path) -> bytes:
    whole = path.read_bytes()
    (length,) = struct.unpack_from("<I", whole, 132 + 8)
    return whole[132 + 12 + length :]


def is_streamed(scp: StorageScp) -> bool:
    return all(
        isinstance(assoc.dul, StreamingDul) for assoc in scp._plain_server.active_associations
    )


def test_the_installed_pynetdicom_is_one_that_the_fast_way_was_written_for() -> None:
    assert pynetdicom_internals.why_not() is None


@pytest.mark.parametrize("command_size", [10, 1 << 20])
@pytest.mark.parametrize("data_size", [1, 999, 1 << 20])
def test_fragments_of_any_size_give_the_bytes_that_were_sent(
    start: Start, tmp_path: Path, command_size: int, data_size: int
) -> None:
    scp = start()
    data = DATA[:300] if data_size == 1 else DATA

    with RawPeer(scp.port) as peer:
        peer.associate()
        assert is_streamed(scp)
        status = peer.store("1.2.3", data, command_size=command_size, data_size=data_size)
        peer.release()

    (path,) = inbox(tmp_path)
    assert status == 0
    assert data_of(path) == data
    assert dcmread(path).PatientID == "P1"


def test_a_message_may_stand_in_one_pdu_and_two_messages_in_one(
    start: Start, tmp_path: Path
) -> None:
    scp = start()
    first = pdv(1, COMMAND | LAST, store_command("1.2.3")) + pdv(1, LAST, DATA)
    second = pdv(1, COMMAND | LAST, store_command("1.2.4")) + pdv(1, 0, DATA[:7])

    with RawPeer(scp.port) as peer:
        peer.associate()
        peer.send(pdu(P_DATA, first + second), pdu(P_DATA, pdv(1, LAST, DATA[7:])))
        statuses = [peer.status(), peer.status()]

    assert statuses == [0, 0]
    assert [data_of(path) for path in inbox(tmp_path)] == [DATA, DATA]


def test_the_answer_names_request_class_and_instance(start: Start) -> None:
    scp = start()

    with RawPeer(scp.port) as peer:
        peer.associate()
        peer.send(
            pdu(P_DATA, pdv(1, 3, store_command("1.2.3", message_id=0x1234)) + pdv(1, 2, b""))
        )
        _, body = peer.receive()

    command = body[6:]
    assert body[4:6] == bytes([1, 3])
    assert struct.pack("<HHIH", 0, 0x0100, 2, 0x8001) in command
    assert struct.pack("<HHIH", 0, 0x0120, 2, 0x1234) in command
    assert b"1.2.3\0" in command
    assert CT.encode() in command
    assert struct.unpack_from("<I", command, 8)[0] == len(command) - 12


def test_other_messages_go_to_pynetdicom_between_and_after_instances(
    start: Start, tmp_path: Path
) -> None:
    scp = start()

    with RawPeer(scp.port) as peer:
        peer.associate()
        statuses = [
            peer.echo(),
            peer.store("1.2.3", DATA),
            peer.echo(),
            peer.store("1.2.4", DATA, command_size=9),
        ]
        peer.release()

    assert statuses == [0, 0, 0, 0]
    assert scp.counts["echo"] == 2
    assert len(inbox(tmp_path)) == 2


def test_a_commitment_report_may_come_in_pieces_between_instances(
    start: Start, received: object, tmp_path: Path
) -> None:
    scp = start()
    uid = b"2.25.7"
    command = (
        struct.pack("<HHI", 0, 0x0002, 20) + COMMITMENT.encode().ljust(20, b"\0")
        + struct.pack("<HHIH", 0, 0x0100, 2, 0x0100) + struct.pack("<HHIH", 0, 0x0110, 2, 5)
        + struct.pack("<HHIH", 0, 0x0800, 2, 0) + struct.pack("<HHI", 0, 0x1000, 22)
        + b"1.2.840.10008.1.20.1.1" + struct.pack("<HHIH", 0, 0x1002, 2, 1)
    )  # fmt: skip
    report = struct.pack("<HHI", 0x0008, 0x1195, 6) + uid

    with RawPeer(scp.port) as peer:
        peer.associate()
        assert peer.store("1.2.3", DATA) == 0
        peer.send(
            pdu(P_DATA, pdv(5, COMMAND, command[:30])),
            pdu(P_DATA, pdv(5, COMMAND | LAST, command[30:])),
            *(pdu(P_DATA, pdv(5, 0, piece)) for piece in in_pieces(report, 5)),
            pdu(P_DATA, pdv(5, LAST, b"")),
        )
        assert peer.status() == 0
        assert peer.store("1.2.4", DATA) == 0

    assert [item.transaction_uid for item in received.reports] == ["2.25.7"]  # type: ignore[attr-defined]
    assert len(inbox(tmp_path)) == 2


def test_a_peer_that_takes_tiny_pdus_only_is_answered_by_pynetdicom(
    start: Start, tmp_path: Path
) -> None:
    scp = start()

    with RawPeer(scp.port) as peer:
        peer.associate(maximum_pdu=64)
        peer.send(pdu(P_DATA, pdv(1, 3, store_command("1.2.3")) + pdv(1, 2, DATA)))
        command = b""
        while len(command) < 12 or len(command) < 12 + struct.unpack_from("<I", command, 8)[0]:
            kind, body = peer.receive()
            assert kind == P_DATA
            assert len(body) <= 64
            command += body[6:]

    assert status_of(command) == 0
    assert data_of(inbox(tmp_path)[0]) == DATA


@pytest.mark.parametrize("how", ["closed", "aborted", "released"])
def test_an_instance_cut_short_leaves_nothing(start: Start, tmp_path: Path, how: str) -> None:
    scp = start()

    with RawPeer(scp.port) as peer:
        peer.associate()
        assert peer.store("1.2.3", DATA) == 0
        peer.send(pdu(P_DATA, pdv(1, 3, store_command("1.2.4")) + pdv(1, 0, DATA)))
        if how == "closed":
            peer.send(struct.pack(">BBI", P_DATA, 0, 5000) + DATA[:100])
        elif how == "aborted":
            peer.send(pdu(ABORT, bytes(4)))
        else:
            peer.release()

    nothing_is_left(tmp_path, accepted=1)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (pdv(1, 3, store_command("1.2.5")), "another message came within a data set"),
        (pdv(3, 0, DATA), "another message came within a data set"),
        (pdv(1, 0, DATA)[:-1], "does not fit its PDU"),
        (struct.pack(">IBB", 1, 1, 0), "of 1 bytes does not fit"),
        (b"\0\0\0", "cut short"),
    ],
)
def test_what_is_no_fragment_ends_the_association(
    start: Start, tmp_path: Path, wrong: bytes, why: str
) -> None:
    scp = start()

    with capture_logs() as logs, RawPeer(scp.port) as peer:
        peer.associate()
        peer.send(pdu(P_DATA, pdv(1, 3, store_command("1.2.4")) + pdv(1, 0, DATA)))
        peer.send(pdu(P_DATA, wrong))
        kind, _ = peer.receive()

    assert kind == ABORT
    assert any(why in line.get("reason", "") for line in logs)
    nothing_is_left(tmp_path)


def test_an_instance_on_a_context_that_was_not_accepted_ends_the_association(
    start: Start, tmp_path: Path
) -> None:
    scp = start()

    with RawPeer(scp.port) as peer:
        peer.associate([(CT, EXPLICIT_LITTLE)])
        peer.send(pdu(P_DATA, pdv(9, 3, store_command("1.2.4")) + pdv(9, 2, DATA)))
        kind, _ = peer.receive()

    assert kind == ABORT
    nothing_is_left(tmp_path)


def test_where_pynetdicom_differs_it_receives_by_itself_and_says_so(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pynetdicom_internals, "RELIED_ON_DIGEST", "another release")

    with capture_logs() as logs:
        scp = start()
    with RawPeer(scp.port) as peer:
        peer.associate()
        assert not is_streamed(scp)
        status = peer.store("1.2.3", DATA, command_size=20, data_size=333)
        peer.release()

    assert [line["event"] for line in logs] == ["receiving_slowly"]
    assert status == 0
    assert data_of(inbox(tmp_path)[0]) == DATA


@pytest.mark.parametrize("name", ["PACS", "PACS1", "A"])
def test_the_head_of_a_file_is_what_pydicom_writes(name: str) -> None:
    values = {
        "MediaStorageSOPClassUID": CT,
        "MediaStorageSOPInstanceUID": "1.2.3",
        "TransferSyntaxUID": IMPLICIT_LITTLE,
        "ImplementationClassUID": "1.2.3.4.5",
    }
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    for keyword, uid in values.items():
        setattr(meta, keyword, UID(uid))
    meta.ImplementationVersionName = "V1"
    meta.SourceApplicationEntityTitle = name
    meta.ReceivingApplicationEntityTitle = "PULMONODE"
    buffer = BytesIO()
    write_file_meta_info(buffer, meta)

    head = part10_head(
        sop_class_uid=CT,
        sop_instance_uid="1.2.3",
        transfer_syntax_uid=IMPLICIT_LITTLE,
        implementation_class_uid="1.2.3.4.5",
        implementation_version_name="V1",
        source_ae_title=name,
        receiving_ae_title="PULMONODE",
    )

    assert head == PREAMBLE + buffer.getvalue()
