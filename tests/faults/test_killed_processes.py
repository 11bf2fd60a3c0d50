"""Processes are killed without warning; every series still comes back exactly once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from dicom_node.errors import DeliveryError
from dicom_node.mini_pacs import MiniPacs
from tests.integration.bad_series import renamed, save
from tests.integration.service import Service, free_port, wait_for
from workers.state.schema import JobState

LEASE_S = "3"


@pytest.fixture
def running(
    make_service: Callable[..., Service], make_recorder: Callable[..., MiniPacs]
) -> tuple[Service, MiniPacs]:
    port = free_port()
    recorder = make_recorder(port)
    destination = {
        "name": "recorder",
        "ae_title": recorder.ae_title,
        "host": recorder.host,
        "port": recorder.port,
    }
    service = make_service(
        port=port, destinations=[destination], environment={"PULMONODE_LEASE_S": LEASE_S}
    )
    return service, recorder


@pytest.fixture
def series(small_phantom: Path, tmp_path: Path, request: pytest.FixtureRequest) -> list[Path]:
    datasets = renamed(sorted(small_phantom.glob("*.dcm")), request.node.name)
    return save(datasets, tmp_path / "series")


def kill(service: Service, *words: str) -> int:
    """kill -9 the service's processes whose command line holds all of these; how many."""
    assert service.process is not None
    victims = [
        process
        for process in psutil.Process(service.process.pid).children(recursive=True)
        if all(word in " ".join(process.cmdline()) for word in words)
    ]
    for victim in victims:
        os.kill(victim.pid, signal.SIGKILL)
    return len(victims)


def only_job(service: Service) -> dict[str, Any]:
    (job,) = service.jobs()
    return job


def assert_came_back_once(service: Service, recorder: MiniPacs, job: dict[str, Any]) -> None:
    assert job["state"] == JobState.CONFIRMED, (job, service.log.read_text())
    received = [record.sop_instance_uid for record in recorder.received()]
    assert sorted(set(received)) == sorted(item["sop_instance_uid"] for item in job["objects"])
    assert len(job["objects"]) == 2
    contents = {record.sha256 for record in recorder.received()}
    assert len(contents) == 2  # a repeat, where there is one, is the same object


def test_a_worker_killed_during_the_analysis(
    running: tuple[Service, MiniPacs], series: list[Path]
) -> None:
    service, recorder = running
    service.send(series)
    wait_for(
        lambda: service.jobs() and only_job(service)["state"] == JobState.ANALYSING,
        limit_s=60,
        message="the analysis begins",
    )

    assert kill(service, "worker", "analyse") >= 2  # the worker and its child
    job = service.wait_for_job(only_job(service)["series_instance_uid"], limit_s=120)

    assert_came_back_once(service, recorder, job)
    assert job["attempts"] == 2
    assert any("went silent" in line["message"] for line in job["history"])
    assert len(recorder.received()) == 2


def test_a_node_killed_while_it_receives_loses_nothing_that_it_acknowledged(
    running: tuple[Service, MiniPacs], series: list[Path]
) -> None:
    service, recorder = running
    service.send(series[:40])

    assert kill(service, "main node") == 1
    with pytest.raises(DeliveryError):
        service.send(series[40:])
    wait_for(lambda: _sent(service, series[40:]), limit_s=60, message="the node is back")
    (uid,) = {row["series_instance_uid"] for row in service.jobs()}
    job = service.wait_for_job(uid, limit_s=120)

    assert_came_back_once(service, recorder, job)
    assert job["instances"] == len(series)


def _sent(service: Service, paths: list[Path]) -> bool:
    try:
        service.send(paths)
    except DeliveryError:
        return False
    return True


def test_a_broker_killed_with_everything_in_it(
    running: tuple[Service, MiniPacs], series: list[Path]
) -> None:
    service, recorder = running

    assert kill(service, "valkey-server") == 1
    service.send(series)
    job = service.wait_for_job(
        wait_for(service.jobs, limit_s=30, message="the job is seen")[0]["series_instance_uid"],
        limit_s=180,
    )

    assert_came_back_once(service, recorder, job)


def test_deliveries_killed_again_and_again_send_the_same_bytes(
    running: tuple[Service, MiniPacs], series: list[Path]
) -> None:
    service, recorder = running
    recorder.store_statuses = [0xA700, 0x0000, 0xA700]  # refused, half taken, then taken
    service.send(series)
    uid = wait_for(service.jobs, limit_s=30, message="the job is seen")[0]["series_instance_uid"]
    wait_for(
        lambda: only_job(service)["state"] == JobState.DELIVERING,
        limit_s=90,
        message="delivering begins",
    )
    for _ in range(2):
        kill(service, "worker", "deliver")
        time.sleep(3)

    job = service.wait_for_job(uid, limit_s=120)

    assert_came_back_once(service, recorder, job)
