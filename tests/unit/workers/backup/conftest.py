"""Systems with a folder or with servers behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result as Done
from s3fs import S3FileSystem
from typer.testing import CliRunner

from tests.integration.bad_series import plain_series
from tests.integration.service import free_port
from tests.servers.postgresql import PostgresServer
from tests.servers.s3 import S3Server
from tests.unit.workers.backup.cases import BUCKET
from tests.unit.workers.rows import (
    commit,
    receive,
    with_settings,
)
from workers.application import Application, open_application
from workers.cli.main import app as command
from workers.settings import Settings
from workers.usecases.record import record_due


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server(free_port()) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        server.make_bucket(BUCKET)
        S3FileSystem.clear_instance_cache()
        yield server
    S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgresql"), free_port()) as running:
        yield running


@pytest.fixture(params=["embedded", pytest.param("servers", marks=pytest.mark.peer)])
def app(
    request: pytest.FixtureRequest, settings: Settings, tmp_path: Path
) -> Iterator[Application]:
    """SQLite and a folder, or PostgreSQL and S3."""
    changed = settings
    if request.param == "servers":
        database: PostgresServer = request.getfixturevalue("server")
        store: S3Server = request.getfixturevalue("s3")
        database.query("DROP SCHEMA public CASCADE")
        database.query("CREATE SCHEMA public AUTHORIZATION pulmonode")
        changed = with_settings(
            settings, state_url=database.url, store_url=store.url(BUCKET, tmp_path.name)
        )
    opened = open_application(changed, migrate=True)
    yield opened
    opened.database.close()


@pytest.fixture
def small(settings: Settings, tmp_path: Path) -> Iterator[Application]:
    opened = open_application(settings, migrate=True)
    (ds,) = plain_series("small", slices=1)
    receive(opened, tmp_path / "small", ds)
    commit(opened, str(ds.SeriesInstanceUID))
    record_due(opened)
    yield opened
    opened.database.close()


@pytest.fixture
def run(settings: Settings) -> Callable[..., Done]:
    environment = {"PULMONODE_DATA_DIR": str(settings.data_dir)}
    return lambda *arguments: CliRunner().invoke(command, arguments, env=environment)
