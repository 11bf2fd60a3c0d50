"""Systems with a folder or S3 behind them, and a way to cut a removal off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from dicom_node import barriers
from dicom_node.barriers import Barrier
from tests.integration.service import free_port
from tests.migrated import migrated_application
from tests.servers.s3 import S3Server
from tests.unit.workers.retention.cases import Cut
from tests.unit.workers.rows import (
    with_settings,
)
from workers.application import Application
from workers.settings import Settings


@pytest.fixture
def app(
    request: pytest.FixtureRequest, settings: Settings, tmp_path: Path
) -> Iterator[Application]:
    kept: dict[str, object] = {
        "keep_received_days": 10, "keep_ended_days": 100, "incomplete_wait_s": 5,
    }  # fmt: skip
    if getattr(request, "param", "folder") == "s3":
        server: S3Server = request.getfixturevalue("s3")
        kept["store_url"] = server.url("pulmonode", tmp_path.name)
    opened = migrated_application(with_settings(settings, **kept))
    yield opened
    opened.database.close()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server(free_port()) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        server.make_bucket("pulmonode")
        S3FileSystem.clear_instance_cache()  # another module's server may be in it
        yield server
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def cut_at() -> Iterator[Callable[[Barrier], None]]:
    def install(where: Barrier) -> None:
        def strike(barrier: Barrier) -> None:
            if barrier is where:
                raise Cut

        barriers.install(strike)

    yield install
    barriers.install(None)
