"""PDUs that are wrong in every way, against the running SCP in a process of its own."""

from __future__ import annotations

import contextlib
import os
import random
import re
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.sop_class import CTImageStorage, Verification

from dicom_node.deliver.peer import Peer, associated
from dicom_node.errors import PeerUnreachable
from tests.integration.service import free_port, wait_for
from tests.unit.dicom_node.receive.fuzzing import Recorder, associations
from tests.unit.dicom_node.receive.raw_peer import RawPeer

SHORT_S = 60.0
"""In `make test`; the long form sends a million PDUs."""
LONG_PDUS = 1_000_000
GROWTH_BYTES = 50 * 1024 * 1024
SAID_EVERY_PDUS = 25_000
WARM_UP_PDUS = 100
"""What is loaded and cached once is no leak."""
SEED = 20261126
NAME = re.compile(r"[0-9]{20}-[0-9]+\.[0-9]+-([0-9.]{1,64})\.dcm")


@dataclass
class RunningScp:
    port: int
    spool: Path
    process: subprocess.Popen[bytes]
    log: Path

    def rss(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningScp]:
    port, spool, log = free_port(), tmp_path / "spool", tmp_path / "scp.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.bench.receive_server", str(port), str(spool)],
            stdout=out, stderr=subprocess.STDOUT, env={**os.environ},
        )  # fmt: skip
    found = RunningScp(port=port, spool=spool, process=process, log=log)

    def up() -> bool:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), RawPeer(port):
            return True
        return False

    try:
        wait_for(up, limit_s=60, message="the SCP listens")
        yield found
    finally:
        process.kill()
        process.wait()


def send_rightly(port: int) -> None:
    """A C-ECHO and two C-STOREs, as pynetdicom sends them."""
    ds = Dataset()
    ds.SOPClassUID = CTImageStorage
    ds.PatientID = "FUZZ"
    ds.PixelData = b"\1\2" * 300
    ds["PixelData"].VR = "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    contexts = [build_context(CTImageStorage, ExplicitVRLittleEndian), build_context(Verification)]
    peer = Peer(ae_title="BENCH", host="127.0.0.1", port=port)
    with associated(peer, "FUZZ", contexts) as assoc:
        assert assoc.send_c_echo().Status == 0
        for uid in ("1.2.3.4.5", "1.2.3.4.6"):
            ds.SOPInstanceUID = uid
            assert assoc.send_c_store(ds).Status == 0


def is_served(port: int) -> bool:
    """Whether it serves rightly; not at once, while broken connections take up our share."""
    try:
        send_rightly(port)
    except PeerUnreachable:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuzzed:
    """What a run sent, and by how much the SCP's memory grew after its warm-up."""

    associations: int
    pdus: int
    growth_bytes: int


def fuzz(scp: RunningScp, *, until: float | None, pdus: int | None) -> Fuzzed:
    """Send broken associations until a time or a number of PDUs."""
    recorded = [Recorder(scp.port).relay(send_rightly)]
    dice = random.Random(SEED)
    sent, baseline, said = 0, 0, 0
    for count, association in enumerate(associations(dice, recorded), start=1):  # noqa: B007
        with contextlib.suppress(OSError), RawPeer(scp.port, limit_s=2) as peer:
            peer.send(association[0])
            peer.receive()
            for pdu in association[1:]:
                sent += 1
                peer.send(pdu)
        assert scp.process.poll() is None, scp.log.read_text()[-3000:]
        if not baseline and sent > WARM_UP_PDUS:
            baseline = scp.rss()
        if sent // SAID_EVERY_PDUS > said:
            said = sent // SAID_EVERY_PDUS
            print(f"{sent} PDUs, grown by {(scp.rss() - baseline) / 1e6:.1f} MB", flush=True)  # noqa: T201
        if (until and time.monotonic() > until) or (pdus and sent >= pdus):
            break
    wait_for(
        lambda: is_served(scp.port), limit_s=60, message="whoever keeps to the rules is served"
    )
    growth = scp.rss() - baseline
    assert baseline, "it was not even warm: the machine is too slow for this test's time"
    assert growth < GROWTH_BYTES, f"grew by {growth / 1e6:.0f} MB over {sent} PDUs"
    return Fuzzed(associations=count, pdus=sent, growth_bytes=growth)


def is_what_its_request_said(path: Path) -> bool:
    """Name, file meta information and length of meta information agree."""
    found = NAME.fullmatch(path.name)
    data = path.read_bytes()
    if found is None or data[128:132] != b"DICM":
        return False
    (length,) = struct.unpack_from("<I", data, 140)
    meta = data[144 : 144 + length]
    uid = found[1].encode()
    return struct.pack("<HH2sH", 2, 3, b"UI", len(uid) + len(uid) % 2) + uid in meta


def check_the_spool(scp: RunningScp) -> int:
    """Hold that nothing half received stayed, and nothing wrong; how many were accepted."""
    partial = scp.spool / "partial"
    wait_for(lambda: not list(partial.iterdir()), limit_s=90, message="partial files go")
    accepted = list((scp.spool / "inbox").iterdir())
    assert len(accepted) >= 4, "those that were sent rightly"
    assert [path.name for path in accepted if not is_what_its_request_said(path)] == []
    return len(accepted)


def test_pdus_made_wrong_cost_nothing(running: RunningScp) -> None:
    sent = fuzz(running, until=time.monotonic() + SHORT_S, pdus=None)

    assert sent.pdus > WARM_UP_PDUS
    check_the_spool(running)


@pytest.mark.long
@pytest.mark.timeout(6 * 3600)
def test_a_million_pdus_made_wrong_cost_nothing(running: RunningScp) -> None:
    sent = fuzz(running, until=None, pdus=LONG_PDUS)

    assert sent.pdus >= LONG_PDUS
    accepted = check_the_spool(running)
    print(f"{sent}, {accepted} accepted")  # noqa: T201 - for the log of the long run
