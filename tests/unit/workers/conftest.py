from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicom_node.mini_pacs import CommitmentReply, MiniPacs
from tests.migrated import migrated_application
from tests.unit.workers.delivery_cases import result_to_deliver
from workers.application import Application
from workers.cli import output
from workers.peer_settings import DestinationSettings
from workers.settings import Settings


@pytest.fixture(autouse=True, scope="session")
def _logging_as_it_is() -> Iterator[None]:
    """A command run in this process must not tie every logger to its test's captured output.

    For the session: a fixture of a module that runs a command comes before any of a test.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "configure_logging", lambda *_: None)
        yield


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        host="127.0.0.1",
        dicom_port=0,
        calling_ae_titles=("PACS",),
        disk_reserve_bytes=0,
        max_attempts=3,
        max_delivery_attempts=3,
        retry_base_s=10,
        destinations=(
            DestinationSettings(name="main", ae_title="MAIN", host="127.0.0.1", port=1),
            DestinationSettings(name="second", ae_title="SECOND", host="127.0.0.1", port=2),
        ),
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Application]:
    opened = migrated_application(settings)
    yield opened
    opened.database.close()


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[MiniPacs]:
    running = MiniPacs(folder=tmp_path / "pacs", commitment_reply=CommitmentReply.SAME_ASSOCIATION)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def make_delivery(
    tmp_path: Path, pacs: MiniPacs
) -> Iterator[Callable[..., tuple[Application, int]]]:
    """Makes an application and the number of its delivery, which waits to be sent."""
    opened: list[Application] = []

    def build(name: str = "Name^One", **overrides: object) -> tuple[Application, int]:
        app, delivery_id = result_to_deliver(tmp_path, pacs, name, **overrides)
        opened.append(app)
        return app, delivery_id

    yield build
    for app in opened:
        app.database.close()
