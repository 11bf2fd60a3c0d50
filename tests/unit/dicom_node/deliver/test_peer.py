"""A peer that takes an association and then fails us."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import CTImageStorage, Verification

from dicom_node.compose.ct import CtIdentity, slice_dataset
from dicom_node.deliver.peer import Peer, associated, context
from dicom_node.deliver.scu import Outgoing, read_outgoing, storage_contexts, store_all
from dicom_node.errors import PeerUnreachable

MORE_THAN_ANY_BUFFER_PX = 3900
"""Rows and columns of 16 bits: 30 MB."""


@pytest.fixture
def deaf_peer() -> Iterator[Peer]:
    """Accepts an association and reads nothing after the first data."""
    hears_again = threading.Event()

    def stop_reading(event: Any) -> None:
        if isinstance(event.pdu, P_DATA_TF):
            hears_again.wait(120)

    ae = AE(ae_title="DEAF")
    ae.add_supported_context(CTImageStorage)
    server: Any = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_PDU_RECV, stop_reading)]
    )
    yield Peer(ae_title="DEAF", host="127.0.0.1", port=int(server.server_address[1]))
    hears_again.set()
    server.shutdown()


@pytest.fixture
def large(tmp_path: Path) -> Outgoing:
    pixels = np.zeros((MORE_THAN_ANY_BUFFER_PX, MORE_THAN_ANY_BUFFER_PX), dtype=np.int16)
    affine = np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]]
    path = tmp_path / "large.dcm"
    slice_dataset(pixels, 0, 1, affine, CtIdentity(key="large")).save_as(
        path, enforce_file_format=True
    )
    return read_outgoing(path)


@pytest.mark.timeout(60)
def test_a_peer_that_stops_reading_is_given_up_after_the_response_timeout(
    deaf_peer: Peer, large: Outgoing
) -> None:
    peer = replace(deaf_peer, response_timeout_s=2.0)
    started = time.monotonic()

    with (
        pytest.raises(PeerUnreachable),
        associated(peer, "PULMONODE", storage_contexts([large])) as assoc,
    ):
        list(store_all(assoc, peer, [large]))

    assert time.monotonic() - started < 15


@pytest.mark.timeout(60)
def test_an_answer_reaches_the_request_though_pynetdicoms_loop_is_scheduled_late() -> None:
    ae = AE(ae_title="ECHO")
    ae.add_supported_context(Verification)
    server: Any = ae.start_server(("127.0.0.1", 0), block=False)
    port = int(server.server_address[1])
    peer = Peer(ae_title="ECHO", host="127.0.0.1", port=port, response_timeout_s=3.0)

    with associated(peer, "PULMONODE", [context(Verification, ImplicitVRLittleEndian)]) as assoc:
        go_on, send = assoc._reactor_checkpoint.wait, assoc.dimse.send_msg

        def go_on_late() -> None:
            go_on()
            time.sleep(0.1)  # the loop has said that it is paused, and no core is free for it

        def send_and_pause(*arguments: Any) -> None:
            send(*arguments)
            time.sleep(0.3)  # nor for the one who asks

        assoc._reactor_checkpoint.wait = go_on_late
        assoc.dimse.send_msg = send_and_pause
        answers = [assoc.send_c_echo() for _ in range(3)]
    server.shutdown()

    assert [answer.get("Status") for answer in answers] == [0x0000] * 3
