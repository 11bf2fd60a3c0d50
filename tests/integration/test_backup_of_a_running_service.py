"""A backup of a service at work, `rm -rf`, a restore: every result is back, deliveries go on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node.mini_pacs import MiniPacs
from tests.integration.service import NO_NETWORKS, Service, free_port, wait_for
from tests.servers.postgresql import PostgresServer
from tests.servers.s3 import S3Server
from workers.phantom import write_phantom
from workers.state.schema import JobState

PATIENCE_S = 300.0


class Servers:
    """PostgreSQL and S3, and how everything in them is lost."""

    def __init__(self, folder: Path) -> None:
        self.postgresql = PostgresServer(folder, free_port())
        self.s3 = S3Server(free_port())

    def environment(self) -> dict[str, str]:
        return {
            "PULMONODE_STATE_URL": self.postgresql.url,
            "PULMONODE_STORE_URL": self.s3.url("pulmonode"),
            **self.s3.environment,
        }

    def lose(self) -> None:
        self.postgresql.disconnect_everyone()
        self.postgresql.query("DROP SCHEMA public CASCADE")
        self.postgresql.query("CREATE SCHEMA public AUTHORIZATION pulmonode")
        self.s3.restart()  # it keeps everything in memory
        self.s3.make_bucket("pulmonode")


@pytest.fixture(params=["embedded", pytest.param("servers", marks=pytest.mark.long)])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Servers | None]:
    if request.param == "embedded":
        yield None
        return
    both = Servers(tmp_path)
    with both.postgresql, both.s3:
        both.s3.make_bucket("pulmonode")
        yield both


def phantom(folder: Path, seed: int) -> tuple[str, list[Path]]:
    """Series Instance UID and files of a series that is analysed in a few seconds."""
    write_phantom(
        folder, seed=seed, slices=64, spacing_mm=4.0, pixels=256, pixel_spacing_mm=1.4,
        nodules=["solid:20"],
    )  # fmt: skip
    files = sorted(folder.glob("*.dcm"))
    return str(dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID), files


@pytest.mark.peer
def test_after_losing_everything_a_restore_brings_every_job_and_result_back_once(
    make_service: Callable[..., Service],
    make_recorder: Callable[..., MiniPacs],
    servers: Servers | None,
    tmp_path: Path,
) -> None:
    port = free_port()
    recorder = make_recorder(port)
    service = make_service(
        port=port,
        destinations=[
            {"name": "main", "ae_title": "RECORDER", "host": "127.0.0.1", "port": recorder.port}
        ],
        environment={**NO_NETWORKS, **(servers.environment() if servers else {})},
    )
    series = {name: phantom(tmp_path / name, seed) for seed, name in enumerate("abc", start=11)}
    service.send(series["a"][1])
    service.wait_for_job(series["a"][0], states={JobState.CONFIRMED}, limit_s=PATIENCE_S)
    recorder.refuse_associations = True
    service.send(series["b"][1])
    service.wait_for_job(series["b"][0], states={JobState.DELIVERING}, limit_s=PATIENCE_S)
    committed = {item["sop_instance_uid"]: item["sha256"] for name in "ab"
                 for item in service.job(series[name][0])["objects"]}  # fmt: skip
    service.send(series["c"][1])  # acknowledged; whether indexed or not is chance

    backup = service.cli("backup", str(tmp_path / "backup"))
    assert backup.returncode == 0, backup.stderr
    service.kill()
    shutil.rmtree(service.data)
    if servers is not None:
        servers.lose()
    restored = service.cli("restore", str(tmp_path / "backup"))
    assert restored.returncode == 0, restored.stderr
    recorder.refuse_associations = False
    service.start()
    ended = {}
    for name in "abc":
        ended[name] = service.wait_for_job(
            series[name][0], states={JobState.CONFIRMED}, limit_s=PATIENCE_S
        )

    assert ended["c"]["instances"] == 64
    assert len(service.jobs()) == 3
    now = {item["sop_instance_uid"]: item["sha256"] for name in "ab"
           for item in ended[name]["objects"]}  # fmt: skip
    assert now == committed
    wanted = {uid for name in "abc" for uid in (item["sop_instance_uid"]
                                                for item in ended[name]["objects"])}  # fmt: skip
    assert set(recorder.digests()) == wanted
    assert all(len(digests) == 1 for digests in recorder.digests().values())
    # What had been confirmed before is not even sent again.
    sent = [record.sop_instance_uid for record in recorder.records]
    assert all(sent.count(item["sop_instance_uid"]) == 1 for item in ended["a"]["objects"])
    wait_for(lambda: not service.cli("alarms").returncode, limit_s=30, message="no alarm is open")
