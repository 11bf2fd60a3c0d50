"""Processes are killed without warning; every series still comes back exactly once.

The fault matrix kills at named points of the code; here it strikes whenever it happens to, and
again and again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from dicom_node.barriers import Barrier
from dicom_node.errors import DeliveryError
from tests.faults.system import EMBEDDED, System
from tests.faults.verdict import committed_digests, count_results, received_digests
from tests.integration.bad_series import renamed, save
from tests.integration.service import END_LIMIT_S, wait_for
from workers.state.schema import JobState

OUT_OF_RESOURCES = 0xA700

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    made = System(EMBEDDED, tmp_path_factory.mktemp("killed"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def _mended(system: System) -> Iterator[None]:
    yield
    system.mend()


@pytest.fixture
def series(small_phantom: Path, tmp_path: Path, request: pytest.FixtureRequest) -> list[Path]:
    datasets = renamed(sorted(small_phantom.glob("*.dcm")), request.node.name)
    return save(datasets, tmp_path / "series")


def uids(series: list[Path]) -> tuple[str, str]:
    """Study and Series Instance UID."""
    header = dcmread(series[0], stop_before_pixels=True)
    return str(header.StudyInstanceUID), str(header.SeriesInstanceUID)


def came_back_once(system: System, series: list[Path]) -> dict[str, Any]:
    """The series' job at its end, after what the PACS received was compared with it."""
    study_uid, series_uid = uids(series)
    job = system.service.wait_for_job(series_uid)
    reports, segmentations, _ = count_results(system, study_uid)
    assert job["state"] == JobState.CONFIRMED, (job, system.service.log.read_text())
    assert len(job["objects"]) == 2
    assert (reports, segmentations) == (1, 1)
    assert received_digests(system, study_uid) == committed_digests(system, series_uid)
    return job


def resends(system: System, series: list[Path]) -> int:
    return count_results(system, uids(series)[0])[2]


@pytest.mark.long  # the matrix's smoke kills the worker that analyses, too
def test_a_worker_killed_during_the_analysis(system: System, series: list[Path]) -> None:
    system.plan.arm(Barrier.ANALYSE_TAKEN, "hold")
    system.service.send(series)
    system.plan.wait_for_hit(Barrier.ANALYSE_TAKEN)

    assert system.kill("worker", "analyse") >= 2  # the worker and its child
    job = came_back_once(system, series)

    assert job["attempts"] == 2
    assert any("went silent" in line["message"] for line in job["history"])
    assert resends(system, series) == 0


@pytest.mark.long  # the matrix's smoke kills the node while it receives, too
def test_a_node_killed_while_it_receives_loses_nothing_that_it_acknowledged(
    system: System, series: list[Path]
) -> None:
    system.service.send(series[:40])

    assert system.kill("main node") == 1
    with pytest.raises(DeliveryError):
        system.service.send(series[40:])
    wait_for(lambda: _sent(system, series[40:]), limit_s=60, message="the node is back")
    job = came_back_once(system, series)

    assert job["instances"] == len(series)


def _sent(system: System, paths: list[Path]) -> bool:
    try:
        system.service.send(paths)
    except DeliveryError:
        return False
    return True


@pytest.mark.long  # the matrix's smoke kills the broker, too
def test_a_broker_killed_with_everything_in_it(system: System, series: list[Path]) -> None:
    assert system.kill("valkey-server") == 1
    system.service.send(series)

    came_back_once(system, series)


def attempts(system: System, series_uid: str) -> int:
    (delivery,) = system.service.job(series_uid)["deliveries"]
    return int(delivery["attempts"])


@pytest.mark.long  # the matrix's smoke kills the process that delivers, too
def test_deliveries_killed_again_and_again_send_the_same_bytes(
    system: System, series: list[Path]
) -> None:
    # refused, half taken, then refused until both kills are over
    system.recorder.store_statuses = [OUT_OF_RESOURCES, 0x0000, *[OUT_OF_RESOURCES] * 100]
    system.service.send(series)
    study_uid, series_uid = uids(series)
    wait_for(
        lambda: received_digests(system, study_uid), limit_s=END_LIMIT_S, message="half is taken"
    )

    for _ in range(2):
        before = attempts(system, series_uid)
        wait_for(
            lambda before=before: attempts(system, series_uid) > before,
            limit_s=60,
            message="delivering is tried again",
        )
        assert system.kill("worker", "deliver") == 1
    system.recorder.store_statuses.clear()

    came_back_once(system, series)

    assert resends(system, series) >= 1  # what had been taken, again
