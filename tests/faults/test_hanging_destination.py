"""A PACS that takes connections and never answers holds up nobody but itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.deliver.peer import Peer
from dicom_node.mini_pacs import MiniPacs
from tests.faults.system import EMBEDDED, System
from tests.faults.verdict import SR
from tests.integration.bad_series import renamed, save
from tests.integration.service import free_port, wait_for
from workers.state.schema import JobState

SERIES = 9  # more than a worker has threads for deliveries
HANGS_S = 120


@pytest.fixture
def second(tmp_path: Path) -> Iterator[MiniPacs]:
    made = MiniPacs(folder=tmp_path / "second", ae_title="SECOND", port=free_port())
    made.start()
    yield made
    made.stop()


@pytest.fixture
def system(tmp_path: Path, second: MiniPacs) -> Iterator[System]:
    made = System(EMBEDDED, tmp_path)
    hanging = {**made.service.destinations[0], "response_timeout_s": HANGS_S}
    other = {"name": "second", "ae_title": "SECOND", "host": "127.0.0.1", "port": second.port}
    made.service.destinations = [hanging, other]
    second.commitment_peer = Peer(ae_title="PULMONODE", host="127.0.0.1", port=made.service.port)
    made.start()
    yield made
    made.stop()


@pytest.mark.peer
@pytest.mark.long
def test_a_pacs_that_hangs_does_not_hold_up_another(
    system: System, second: MiniPacs, small_phantom: Path, tmp_path: Path
) -> None:
    system.wire.freeze()
    sources = sorted(small_phantom.glob("*.dcm"))
    for number in range(SERIES):
        system.service.send(save(renamed(sources, f"hang {number}"), tmp_path / str(number)))

    wait_for(
        lambda: len(second.received(SR)) == SERIES,
        limit_s=HANGS_S,
        message="the other PACS has every report",
    )

    assert not system.recorder.received()
    assert {row["state"] for row in system.service.jobs()} == {JobState.DELIVERING}
    system.wire.mend()
    wait_for(
        lambda: {row["state"] for row in system.service.jobs()} == {JobState.CONFIRMED},
        limit_s=HANGS_S,
        message="all are confirmed",
    )
    assert len(system.recorder.received(SR)) == len(second.received(SR)) == SERIES
