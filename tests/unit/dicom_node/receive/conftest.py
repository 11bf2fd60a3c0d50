from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicom_node.receive.limits import ReceiveLimits
from dicom_node.receive.scp import ScpSettings, StorageScp
from dicom_node.receive.spool import Spool
from tests.unit.dicom_node.receive.received import Received


@pytest.fixture
def received() -> Received:
    return Received()


@pytest.fixture
def start(tmp_path: Path, received: Received) -> Iterator[Callable[..., StorageScp]]:
    """Starts SCPs on free ports; stops them at the end."""
    running: list[StorageScp] = []

    def make(
        calling: tuple[str, ...] = ("PACS",),
        reserve_bytes: int = 0,
        network_timeout_s: float = 2,
        fast: bool = True,
        **limits: float,
    ) -> StorageScp:
        scp = StorageScp(
            ScpSettings(
                ae_title="PULMONODE",
                host="127.0.0.1",
                port=0,
                calling_ae_titles=calling,
                network_timeout_s=network_timeout_s,
                fast=fast,
                limits=ReceiveLimits(**limits),  # type: ignore[arg-type]
            ),
            Spool(tmp_path / "spool", reserve_bytes=reserve_bytes),
            on_stored=received.count,
            on_commitment=received.reports.append,
        )
        scp.start()
        running.append(scp)
        return scp

    yield make
    for scp in running:
        scp.stop()
