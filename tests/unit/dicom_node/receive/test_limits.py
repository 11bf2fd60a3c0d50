"""What a peer may not do, and that whoever comes after it is served."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from dicom_node.receive.admission import CONGESTION, Admission
from dicom_node.receive.limits import ReceiveLimits
from dicom_node.receive.scp import StorageScp
from tests.unit.dicom_node.receive.raw_peer import (
    ABORT,
    ASSOCIATE_RJ,
    COMMAND,
    CT,
    EXPLICIT_LITTLE,
    LAST,
    P_DATA,
    RawPeer,
    associate_rq,
    element,
    pdu,
    pdv,
    store_command,
)

Start = Callable[..., StorageScp]
RQ = associate_rq([(CT, EXPLICIT_LITTLE)])


def wait_until(what: Callable[[], object], limit_s: float = 10) -> None:
    deadline = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < deadline, f"not within {limit_s:g} s"
        time.sleep(0.02)


def drip_until_closed(peer: RawPeer, drop: bytes) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            peer.send(drop)
        except OSError:
            return
        time.sleep(0.1)


def is_served(scp: StorageScp) -> bool:
    with RawPeer(scp.port) as peer:
        peer.associate()
        return peer.echo() == 0 and peer.store("1.9.9", b"") == 0


@pytest.mark.parametrize(
    "begun", [b"", RQ[:1], RQ[:6], RQ[:40]], ids=["nothing", "a byte", "a header", "half"]
)
def test_a_request_for_an_association_that_never_comes_ends_the_connection(
    start: Start, begun: bytes
) -> None:
    scp = start(request_timeout_s=1)
    before = threading.active_count()

    with RawPeer(scp.port) as peer:
        peer.send(begun)
        began = time.monotonic()
        kind, _ = peer.receive()

    assert kind in {0, ABORT}
    assert time.monotonic() - began < 5
    wait_until(lambda: threading.active_count() <= before)
    assert is_served(scp)


def test_a_pdu_that_drips_ends_the_association_and_leaves_nothing(
    start: Start, tmp_path: Path
) -> None:
    scp = start(pdu_timeout_s=1, network_timeout_s=30)
    with RawPeer(scp.port) as peer:
        peer.associate()
        peer.send(pdu(P_DATA, pdv(1, COMMAND | LAST, store_command("1.2.3")) + pdv(1, 0, b"x")))
        began = time.monotonic()
        peer.send(struct.pack(">BBI", P_DATA, 0, 10_000))
        drip_until_closed(peer, b"\0")

    assert time.monotonic() - began < 5
    wait_until(lambda: not list((tmp_path / "spool" / "partial").iterdir()))
    assert is_served(scp)


def test_an_instance_that_drips_ends_the_association(start: Start, tmp_path: Path) -> None:
    scp = start(instance_timeout_s=1, network_timeout_s=30)
    with capture_logs() as logs, RawPeer(scp.port) as peer:
        peer.associate()
        peer.send(pdu(P_DATA, pdv(1, COMMAND | LAST, store_command("1.2.3"))))
        began = time.monotonic()
        drip_until_closed(peer, pdu(P_DATA, pdv(1, 0, b"xx")))

    assert time.monotonic() - began < 5
    assert any("was not whole in 1 s" in line.get("reason", "") for line in logs)
    assert not list((tmp_path / "spool" / "inbox").iterdir())


def test_silence_ends_an_association(start: Start) -> None:
    scp = start(network_timeout_s=1)
    with RawPeer(scp.port) as peer:
        peer.associate()
        began = time.monotonic()
        kind, _ = peer.receive()

    assert kind == ABORT
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("associated", [True, False])
def test_a_pdu_that_says_it_is_huge_is_not_read(start: Start, associated: bool) -> None:
    scp = start()
    with capture_logs() as logs, RawPeer(scp.port) as peer:
        if associated:
            peer.associate()
        peer.send(struct.pack(">BBI", P_DATA if associated else 1, 0, 0xFFFFFFFF), b"x" * 100)
        kind, _ = peer.receive()

    assert kind == ABORT
    assert any("a PDU of 4294967295 bytes" in line.get("reason", "") for line in logs)
    assert is_served(scp)


def test_an_instance_that_is_too_long_is_answered_and_the_next_one_is_kept(
    start: Start, tmp_path: Path
) -> None:
    scp = start(maximum_instance_bytes=1000)
    with RawPeer(scp.port) as peer:
        peer.associate()
        statuses = [
            peer.store("1.2.3", b"x" * 50_000, data_size=300),
            peer.store("1.2.4", b"x" * 1000, data_size=300),
        ]

    assert statuses == [0xA700, 0]
    assert len(list((tmp_path / "spool" / "inbox").iterdir())) == 1
    assert not list((tmp_path / "spool" / "partial").iterdir())


def test_a_message_that_pynetdicom_would_gather_without_end_is_cut(start: Start) -> None:
    scp = start()
    command = element(0x0100, struct.pack("<H", 0x0100)) + element(0x0800, struct.pack("<H", 0))
    piece = pdu(P_DATA, pdv(5, 0, b"x" * 100_000))
    with capture_logs() as logs, RawPeer(scp.port) as peer:
        peer.associate()
        peer.send(pdu(P_DATA, pdv(5, COMMAND | LAST, command)))
        peer.send(*[piece] * 200)
        kind, _ = peer.receive()

    assert kind == ABORT
    assert "message_too_large" in {line["event"] for line in logs}
    assert is_served(scp)


def test_a_command_without_end_is_cut(start: Start) -> None:
    scp = start()
    with RawPeer(scp.port) as peer:
        peer.associate()
        peer.send(*[pdu(P_DATA, pdv(1, COMMAND, b"x" * 1000))] * 20)
        kind, _ = peer.receive()

    assert kind == ABORT
    assert is_served(scp)


def test_connections_of_one_address_are_limited(start: Start) -> None:
    scp = start(maximum_connections_per_peer=3, request_timeout_s=2)
    held = [socket.create_connection(("127.0.0.1", scp.port)) for _ in range(3)]
    wait_until(lambda: len(scp._plain_server.active_associations) == 3)

    with RawPeer(scp.port) as peer:
        kind, _ = peer.receive()

    assert kind == 0
    assert scp.counts["refused_connections"] == 1
    for connection in held:
        connection.close()
    wait_until(lambda: not scp._plain_server.active_associations, 20)
    assert is_served(scp)


def test_associations_of_one_address_are_limited_and_counted_apart(start: Start) -> None:
    scp = start(maximum_associations_per_peer=2)
    with RawPeer(scp.port) as first, RawPeer(scp.port) as second, RawPeer(scp.port) as third:
        first.associate()
        second.associate()
        third.send(RQ)
        kind, body = third.receive()
        second.release()

    assert (kind, body[1:4]) == (ASSOCIATE_RJ, bytes([2, 3, 2]))
    assert scp.counts["refused_busy_peer"] == 1
    assert is_served(scp)


def test_too_many_presentation_contexts_are_rejected(start: Start) -> None:
    scp = start(maximum_contexts=4)
    with RawPeer(scp.port) as peer:
        peer.send(associate_rq([(CT, EXPLICIT_LITTLE)] * 5))
        kind, body = peer.receive()

    assert (kind, body[1:4]) == (ASSOCIATE_RJ, bytes([1, 1, 1]))
    assert scp.counts["refused_contexts"] == 1


def test_a_rate_counts_an_address_alone_and_a_minute_long() -> None:
    now = [0.0]
    admission = Admission(ReceiveLimits(associations_per_minute=2), clock=lambda: now[0])

    def ask(host: str) -> tuple[int, int, int] | None:
        assoc = SimpleNamespace(
            is_rejected=False, is_aborted=False, is_released=False,
            is_alive=lambda: False, requestor=SimpleNamespace(address=host),
        )  # fmt: skip
        refusal = admission.admit(assoc, host, 1)
        return refusal and refusal.answer

    answers = [ask("a"), ask("a"), ask("a"), ask("b")]
    now[0] = 61.0

    assert answers == [None, None, CONGESTION, None]
    assert ask("a") is None
