"""The process that tells a RIS is killed: nothing is lost, and repeats can be known by MSH-10."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from dicom_node import barriers
from dicom_node.barriers import Barrier
from tests.faults.system import EMBEDDED, System
from tests.integration.bad_series import renamed, save
from tests.integration.service import END_LIMIT_S, wait_for
from tests.servers.wire import TcpProxy
from tests.unit.workers.delivery_cases import make_due, states
from tests.unit.workers.outbound.hl7_cases import to_ris
from tests.unit.workers.outbound.ris import Ris, listening_ris
from workers.application import Application, open_application
from workers.settings import Settings
from workers.state.schema import DeliveryState, JobState
from workers.usecases.deliver import deliver_one
from workers.usecases.recover import expire_leases

MSH_BYTES = 40
"""Of the first frame: MSH has begun, its control ID is not through yet."""


@pytest.fixture
def ris() -> Iterator[Ris]:
    with listening_ris() as listening:
        yield listening


@pytest.fixture
def wire(ris: Ris) -> Iterator[TcpProxy]:
    with TcpProxy("127.0.0.1", ris.port) as made:
        yield made


def tell(settings: Settings, delivery_id: int, dies_at: Barrier | None) -> None:
    """What the process that is killed does."""

    def strike(barrier: Barrier) -> None:
        if barrier is dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    barriers.install(strike)
    deliver_one(open_application(settings), delivery_id)


def telling(app: Application, delivery_id: int, dies_at: Barrier | None = None) -> BaseProcess:
    """A process of its own that delivers."""
    process = multiprocessing.get_context("spawn").Process(
        target=tell, args=(app.settings, delivery_id, dies_at)
    )
    process.start()
    return process


def take_back(app: Application, delivery_id: int) -> None:
    """What the node does when a worker went silent, and then its time comes."""
    assert states(app, delivery_id)[0] == DeliveryState.SENDING
    assert expire_leases(app, now=app.now() + app.settings.lease_s + 1) == 1
    make_due(app, delivery_id)


def test_a_process_killed_before_and_after_the_acknowledgement_sends_the_same_message_again(
    tmp_path: Path, ris: Ris
) -> None:
    app, delivery_id = to_ris(tmp_path, ris.port, response_timeout_s=60)
    patient = app.settings.model_copy(update={"max_delivery_attempts": 5})
    app = replace(app, settings=patient)
    ris.silent = True

    first = telling(app, delivery_id)
    wait_for(lambda: ris.heard, limit_s=END_LIMIT_S, message="the message is heard")
    first.kill()
    first.join()
    take_back(app, delivery_id)
    ris.silent = False
    second = telling(app, delivery_id, Barrier.DELIVER_ACKNOWLEDGED)
    second.join()
    assert second.exitcode == -signal.SIGKILL
    take_back(app, delivery_id)

    assert deliver_one(app, delivery_id) == DeliveryState.CONFIRMED

    assert len({str(message) for message in ris.heard}) == 1
    assert len(ris.heard) == 3
    assert len(set(ris.controls())) == 1


@pytest.fixture
def system(wire: TcpProxy, tmp_path: Path) -> Iterator[System]:
    made = System(EMBEDDED, tmp_path)
    made.service.destinations = [
        {"name": "ris", "kind": "hl7", "host": "127.0.0.1", "port": wire.port}
    ]
    made.start()
    yield made
    made.stop()


def kill_delivery(system: System) -> None:
    assert system.kill("worker", "deliver") == 1


def delivery(system: System, series_uid: str) -> dict[str, Any]:
    (found,) = system.service.job(series_uid)["deliveries"]
    return dict(found)


@pytest.mark.peer
@pytest.mark.long  # the same through the whole service, from the first bytes of MSH on
def test_a_message_whose_sender_is_killed_comes_again_under_the_same_control_id(
    system: System, ris: Ris, wire: TcpProxy, small_phantom: Path, tmp_path: Path
) -> None:
    series = renamed(sorted(small_phantom.glob("*.dcm")), "killed while it tells")
    paths = save(series, tmp_path / "series")
    series_uid = str(dcmread(paths[0], stop_before_pixels=True).SeriesInstanceUID)
    ris.silent = True

    # 1: half of MSH is out
    wire.freeze_after(MSH_BYTES)
    system.service.send(paths)
    wait_for(lambda: wire.to_target, limit_s=END_LIMIT_S, message="MSH begins")
    kill_delivery(system)
    wire.cut()
    assert (wire.to_target, ris.heard) == (MSH_BYTES, [])
    # 2: the message is out, no acknowledgement has come
    wire.mend()
    wait_for(lambda: ris.heard, limit_s=END_LIMIT_S, message="the message is heard")
    assert delivery(system, series_uid)["state"] == DeliveryState.SENDING
    system.plan.arm(Barrier.DELIVER_ACKNOWLEDGED, "kill")
    kill_delivery(system)
    # 3: the acknowledgement has come and is not written down
    ris.silent = False
    system.plan.wait_for_hit(Barrier.DELIVER_ACKNOWLEDGED)
    assert len(ris.heard) == 2
    assert delivery(system, series_uid)["confirmed_at"] is None
    job = system.service.wait_for_job(series_uid)

    assert job["state"] == JobState.CONFIRMED, (job, system.service.log.read_text())
    assert delivery(system, series_uid)["attempts"] == 4
    assert len({str(message) for message in ris.heard}) == 1
    assert len(set(ris.controls())) == 1
    assert len(ris.heard) == 3
    assert ris.statuses(2) == {"F"}  # a repeat is no correction
