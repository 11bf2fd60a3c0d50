from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.application import Application, open_application
from workers.settings import DestinationSettings, Settings


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
    opened = open_application(settings, migrate=True)
    yield opened
    opened.database.close()
