from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.application import Application, open_application
from workers.settings import Settings
from workers.state.database import Database


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of this release, made once."""
    path = tmp_path_factory.mktemp("migrated") / "state.sqlite"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture
def app(tmp_path: Path, migrated: Path) -> Iterator[Application]:
    settings = Settings(
        data_dir=tmp_path / "data",
        disk_reserve_bytes=0,
        context_issuers={"HOSP": "HOSP", "OTHER": "OTHER", "urn:oid:1.2.3": "HOSP"},
        context_default_issuer="HOSP",
        context_codes={"L^EMPH": "emphysema", "GRP": "progrp"},
    )
    settings.data_dir.mkdir()
    shutil.copy(migrated, settings.data_dir / "state.sqlite")
    opened = open_application(settings)
    yield opened
    opened.database.close()
