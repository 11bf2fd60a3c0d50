from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from dicom_node.deliver.peer import Peer
from dicom_node.mini_pacs import MiniPacs
from tests.conftest import need_program
from tests.integration.service import Service, free_port, wait_for
from tests.integration.tls_peers import Keys
from tests.once import once
from tests.servers.authority import Authority
from workers.phantom import write_phantom


@pytest.fixture(scope="session")
def small_phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT series that is analysed in a few seconds, with one nodule that is found."""

    def make(folder: Path) -> Path:
        write_phantom(
            folder,
            seed=3,
            slices=64,
            spacing_mm=4.0,
            pixels=256,
            pixel_spacing_mm=1.4,
            nodules=["solid:20"],
        )
        return folder

    return once(tmp_path_factory, "small phantom", make)


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services that are stopped at the end."""
    running: list[Service] = []

    def make(**arguments: Any) -> Service:
        folder = tmp_path / f"service{len(running)}"
        folder.mkdir()
        service = Service(folder=folder, **arguments)
        running.append(service)
        service.start()
        return service

    yield make
    for service in running:
        service.stop()


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A real Redis server on a port of its own."""
    port = free_port()
    process = subprocess.Popen(
        [need_program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )

    def answers() -> bool:
        with contextlib.suppress(redis.ConnectionError), redis.Redis(port=port) as client:
            return bool(client.ping())
        return False

    wait_for(answers, limit_s=20, message="Redis answers")
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture
def make_recorder(tmp_path: Path) -> Iterator[Callable[..., MiniPacs]]:
    """Start recording PACS that are stopped at the end."""
    running: list[MiniPacs] = []

    def make(pulmonode_port: int, **arguments: Any) -> MiniPacs:
        pacs = MiniPacs(
            folder=tmp_path / f"recorder{len(running)}",
            ae_title="RECORDER",
            port=free_port(),
            commitment_peer=Peer(ae_title="PULMONODE", host="127.0.0.1", port=pulmonode_port),
            **arguments,
        )
        pacs.start()
        running.append(pacs)
        return pacs

    yield make
    for pacs in running:
        pacs.stop()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    hospital = Authority(folder / "hospital", "hospital")
    return Keys(
        hospital=hospital,
        stranger=Authority(folder / "stranger", "stranger"),
        ours=hospital.issue("pulmonode"),
        pacs=hospital.issue("pacs"),
    )
