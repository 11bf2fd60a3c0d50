"""A database without any table, of either kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.service import free_port
from tests.servers.postgresql import PostgresServer
from workers.state.database import Database


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgresql"), free_port()) as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any table."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'state.sqlite'}"
    else:
        server: PostgresServer = request.getfixturevalue("server")
        server.query("DROP SCHEMA public CASCADE")
        server.query("CREATE SCHEMA public AUTHORIZATION pulmonode")
        url = server.url
    opened = Database(url)
    yield opened
    opened.close()
