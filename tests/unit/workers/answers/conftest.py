from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.migrated import migrated_application
from tests.unit.workers.answers.cases import Reported, give_result, make_reported
from workers.application import Application
from workers.settings import Settings


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    return make_reported(tmp_path_factory.mktemp("reported"))


@pytest.fixture
def answered(tmp_path: Path, reported: Reported) -> Iterator[Application]:
    """An application that has reported the three nodules."""
    settings = Settings(
        data_dir=tmp_path / "data", host="127.0.0.1", dicom_port=0, calling_ae_titles=("PACS",),
        disk_reserve_bytes=0,
    )  # fmt: skip
    app = migrated_application(settings)
    give_result(app, tmp_path, reported)
    yield app
    app.database.close()
