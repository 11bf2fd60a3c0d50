from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from dicom_node.tls import TlsClient, TlsFiles, requestor_context
from tests.unit.workers.context.test_mllp import write_certificate
from tests.unit.workers.outbound.results import told
from tests.unit.workers.outbound.ris import listening_ris
from workers.context.mllp import tls_context
from workers.errors import ResultNotTold
from workers.outbound.acknowledged import check_acknowledged
from workers.outbound.mllp_client import MllpPeer, exchange
from workers.outbound.oru import Addresses, compose_oru

MESSAGE = compose_oru(told(), Addresses(procedure="1^CT^L"))


def peer(port: int, **others: object) -> MllpPeer:
    return MllpPeer(host="127.0.0.1", port=port, **others)  # type: ignore[arg-type]


def test_a_ris_that_is_not_ours_takes_the_message() -> None:
    with listening_ris() as ris:
        check_acknowledged(exchange(peer(ris.port), MESSAGE.data), MESSAGE.control_id)

        (heard,) = ris.heard
    assert str(heard["PID.F3.R1.C1"]) == "4711"
    assert str(heard["PID.F5.R2.C1"]) == "小東"
    assert ris.controls() == [MESSAGE.control_id]


@pytest.mark.parametrize("silence", ["says nothing", "hangs up"])
def test_without_an_answer_nothing_is_believed(silence: str) -> None:
    with listening_ris() as ris:
        ris.silent = silence == "says nothing"
        ris.reply = lambda _: None
        began = time.monotonic()
        with pytest.raises(ResultNotTold) as refused:
            exchange(peer(ris.port, response_timeout_s=0.5), MESSAGE.data)

    assert refused.value.transient
    assert time.monotonic() - began < 5
    assert ("timed out" if ris.silent else "without an acknowledgement") in str(refused.value)


def test_an_answer_that_trickles_in_ends_with_the_time_for_it() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def trickle() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                for _ in range(100):
                    connection.sendall(b"\x0b")
                    time.sleep(0.05)
            except OSError:
                pass

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    began = time.monotonic()
    with pytest.raises(ResultNotTold, match="timed out"):
        exchange(peer(listener.getsockname()[1], response_timeout_s=0.5), MESSAGE.data)

    assert time.monotonic() - began < 3
    thread.join(timeout=10)
    listener.close()


def test_nobody_there_is_said_and_transient() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    with pytest.raises(ResultNotTold, match="refused") as refused:
        exchange(peer(port), MESSAGE.data)

    assert refused.value.transient


def test_over_tls_only_a_receiver_that_is_vouched_for_hears_anything(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    stranger, _ = write_certificate(tmp_path / "other")

    def calling(authorities: Path) -> ssl.SSLContext:
        return requestor_context(TlsClient(files=TlsFiles(authorities=authorities)))

    with listening_ris(tls_context(certificate, key, None)) as ris:
        trusted = MllpPeer(host="localhost", port=ris.port, tls=calling(certificate))
        check_acknowledged(exchange(trusted, MESSAGE.data), MESSAGE.control_id)
        for wrong in (
            MllpPeer(host="localhost", port=ris.port, tls=calling(stranger)),
            peer(ris.port, tls=calling(certificate)),  # its certificate names localhost
        ):
            with pytest.raises(ResultNotTold, match="its certificate") as refused:
                exchange(wrong, MESSAGE.data)
            assert refused.value.transient

        assert len(ris.heard) == 1
