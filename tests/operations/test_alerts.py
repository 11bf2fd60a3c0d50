"""Prometheus sees a live service fail in five ways at once, and one of them mended."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from dicom_node.deliver.peer import Peer
from dicom_node.mini_pacs import CommitmentReply, MiniPacs
from tests.integration.service import Service, free_port, wait_for
from tests.operations.dashboard import expressions
from tests.operations.silence import fall_silent
from tests.servers.prometheus import PrometheusServer
from tests.servers.small_disk import SmallDisk
from workers.metrics.catalogue import METRICS
from workers.phantom import write_phantom
from workers.state.schema import JobState

DISK_MEGABYTES = 256
LEFT_BYTES = 20_000_000
"""Under a tenth of the disk, and enough for database and broker to go on."""
HURRIED = {
    "PULMONODE_METRICS_ENABLED": "true",
    "PULMONODE_HEARTBEAT_S": "0.5",
    "PULMONODE_DETECTOR": "classical",
    "PULMONODE_SEGMENTER": "classical",
    "PULMONODE_GRADER": "none",
    "PULMONODE_RETRY_CAP_S": "2",
    "PULMONODE_HINT_AGAIN_S": "2",
}


def ports(count: int) -> int:
    """The first of so many ports in a row that are free now."""
    while True:
        first = free_port()
        if first + count < 65536:
            return first


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "service0" / "data"
    folder.parent.mkdir()
    with SmallDisk(folder, DISK_MEGABYTES) as small:
        yield small


@pytest.fixture
def denier(tmp_path: Path) -> Iterator[MiniPacs]:
    """A PACS that takes everything and then denies that it keeps it."""
    pacs = MiniPacs(
        folder=tmp_path / "denier",
        ae_title="DENIER",
        port=free_port(),
        commitment_reply=CommitmentReply.FAIL,
    )
    pacs.start()
    yield pacs
    pacs.stop()


def analyser_of(service: Service) -> psutil.Process:
    assert service.process is not None
    for process in psutil.Process(service.process.pid).children():
        if "analyse" in process.cmdline():
            return process
    raise AssertionError("no worker that analyses")


def series(folder: Path, seed: int) -> list[Path]:
    write_phantom(
        folder, seed=seed, slices=64, spacing_mm=4.0, pixels=256, pixel_spacing_mm=1.4,
        nodules=["solid:20"],
    )  # fmt: skip
    return sorted(folder.rglob("*.dcm"))


@pytest.mark.peer
def test_alerts_fire_for_what_is_broken_and_end_when_it_is_mended(
    tmp_path: Path, disk: SmallDisk, denier: MiniPacs
) -> None:
    metrics, dead_port = ports(4), free_port()
    service = Service(
        folder=tmp_path / "service0",
        destinations=[
            {"name": "denier", "ae_title": "DENIER", "host": "127.0.0.1", "port": denier.port},
            {"name": "dead", "ae_title": "DEAD", "host": "127.0.0.1", "port": dead_port},
        ],
        environment={**HURRIED, "PULMONODE_METRICS_PORT": str(metrics)},
    )
    denier.commitment_peer = Peer(ae_title="PULMONODE", host="127.0.0.1", port=service.port)
    prometheus = PrometheusServer(tmp_path, free_port(), range(metrics, metrics + 3))

    def fires(name: str, **labels: str) -> bool:
        return any(
            {"alertname": name, **labels}.items() <= found.items() for found in prometheus.firing()
        )

    def wait_until(what: Callable[[], bool], message: str, *, limit_s: float = 240) -> None:
        try:
            wait_for(what, limit_s=limit_s, message=message)
        except AssertionError as error:
            told = json.dumps(prometheus.firing())
            raise AssertionError(f"{error}; firing: {told}\n{service.log.read_text()}") from None

    with contextlib.ExitStack() as stack:
        stack.callback(service.stop)
        stack.callback(fall_silent, denier)
        service.start()
        stack.enter_context(prometheus)
        service.send(series(tmp_path / "first", seed=3))
        wait_until(
            lambda: any(row["state"] == JobState.DELIVERING for row in service.jobs()),
            "the first series is analysed and under way",
        )
        assert not fires("PulmonodeNoWorker")

        # A worker is killed, and nobody starts it again; work comes for it all the same.
        assert service.process is not None
        supervisor = psutil.Process(service.process.pid)
        supervisor.suspend()
        stack.callback(supervisor.resume)
        worker = analyser_of(service)
        for process in (*worker.children(recursive=True), worker):
            process.kill()
        service.send(series(tmp_path / "second", seed=4))
        disk.fill(leave_bytes=LEFT_BYTES)

        wait_until(lambda: fires("PulmonodeDown", instance=f"127.0.0.1:{metrics + 1}"), "down")
        wait_until(lambda: fires("PulmonodeNoWorker", queue="analyse"), "no worker")
        wait_until(lambda: fires("PulmonodeDiskLow", area="spool"), "disk low")
        wait_until(
            lambda: fires("PulmonodeCommitmentRefused", destination="denier"), "commitment refused"
        )
        wait_until(lambda: fires("PulmonodeNotConfirmed"), "not confirmed")
        wait_until(lambda: fires("PulmonodeQueueOld", queue="analyse"), "queue old")
        wait_until(
            lambda: fires("PulmonodeDestinationDead", destination="dead"), "destination dead"
        )
        assert not fires("PulmonodeNoWorker", queue="deliver")
        assert not fires("PulmonodeDatabaseAway")

        for expression in expressions():
            prometheus.query(expression)  # an error fails
        names = prometheus.get("label/__name__/values")
        noted = {name.removesuffix("_bucket") for name in names if name.startswith("pulmonode")}
        assert {"pulmonode_commitments_total", "pulmonode_jobs"} <= noted & set(METRICS)

        disk.free()
        supervisor.resume()
        mended = MiniPacs(folder=tmp_path / "dead", ae_title="DEAD", port=dead_port)
        mended.start()
        stack.callback(mended.stop)
        wait_until(lambda: not fires("PulmonodeDiskLow"), "disk low ends")
        wait_until(lambda: not fires("PulmonodeNoWorker"), "no worker ends")
        wait_until(lambda: not fires("PulmonodeDown"), "down ends")
        wait_until(
            lambda: not fires("PulmonodeDestinationDead", destination="dead"),
            "the destination's alert ends",
        )
