from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from tests.integration.service import free_port
from tests.servers.postgresql import PostgresServer
from tests.servers.redis_server import RedisServer
from tests.servers.s3 import S3Server
from tests.servers.small_disk import SmallDisk
from tests.servers.two_hosts import NETWORK, NODE_ADDRESS, TwoHosts

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgresql"), free_port()) as server:
        yield server
    assert not server.home.exists()


@pytest.fixture
def postgres(one_server: PostgresServer) -> PostgresServer:
    one_server.start()
    one_server.query("DROP TABLE IF EXISTS job")
    one_server.query("CREATE TABLE job (name text)")
    one_server.query("GRANT ALL ON job TO pulmonode")
    return one_server


def as_client(server: PostgresServer, statement: str) -> list[tuple[object, ...]]:
    url = server.url.replace("+psycopg", "")
    with psycopg.connect(url, connect_timeout=5) as connection:
        connection.execute("SET lock_timeout = '200ms'")
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_postgresql_keeps_what_was_committed_before_it_was_killed(postgres: PostgresServer) -> None:
    assert postgres.query("SHOW fsync") == [("on",)]
    as_client(postgres, "INSERT INTO job VALUES ('first')")
    assert postgres.process is not None
    family = psutil.Process(postgres.process.pid).children()
    postgres.kill()
    assert family
    assert not any(child.is_running() for child in family)
    with pytest.raises(psycopg.OperationalError):
        as_client(postgres, "SELECT 1")
    postgres.start()
    assert as_client(postgres, "SELECT name FROM job") == [("first",)]
    assert "not properly shut down" in postgres.log.read_text()


def test_postgresql_goes_back_to_an_older_backup(postgres: PostgresServer, tmp_path: Path) -> None:
    as_client(postgres, "INSERT INTO job VALUES ('old')")
    postgres.backup(tmp_path / "backup")
    as_client(postgres, "INSERT INTO job VALUES ('new')")
    postgres.restore_backup(tmp_path / "backup")
    assert as_client(postgres, "SELECT name FROM job") == [("old",)]


def test_postgresql_locks_everybody_out_and_throws_them_out(postgres: PostgresServer) -> None:
    with postgres.lock_everything():
        with pytest.raises(psycopg.errors.LockNotAvailable):
            as_client(postgres, "SELECT * FROM job")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            as_client(postgres, f"SELECT pg_advisory_xact_lock({0x50554C4D})")
    assert as_client(postgres, "SELECT * FROM job") == []
    with postgres.lock_everything():
        assert postgres.disconnect_everyone() == 1
    with postgres.lock_everything():
        postgres.kill()


def test_redis_is_emptied_paused_and_killed(tmp_path: Path) -> None:
    with RedisServer(tmp_path, free_port()) as server, redis.Redis.from_url(server.url) as client:
        client.set("a", "b")
        server.empty()
        assert client.get("a") is None
        server.pause(0.4)
        start = time.monotonic()
        assert client.ping()
        assert time.monotonic() - start > 0.2
        client.set("a", "b")
        server.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        assert client.get("a") is None
        process = server.process
    assert process is not None
    assert process.returncode == 0


def test_s3_answers_and_is_frozen() -> None:
    with S3Server(free_port()) as server:
        server.make_bucket("results")
        put = (
            "import sys, fsspec; fs, path = fsspec.url_to_fs(sys.argv[1]);"
            "fs.pipe(path, b'abc'); print(fs.ls(path.rsplit('/', 1)[0], refresh=True))"
        )
        environment = {**os.environ, **server.environment}
        command = [sys.executable, "-c", put, server.url("results") + "/one"]
        listed = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        )
        assert listed.stdout == "['results/objects/one']\n"
        server.freeze()
        with socket.create_connection(("127.0.0.1", server.port), timeout=0.3) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with pytest.raises(TimeoutError):
                client.recv(1)
        server.thaw()
        server.make_bucket("more")
        server.freeze()  # stop() ends it all the same
    assert server.process is None


def test_servers_run_on_one_host_and_are_used_from_the_other(tmp_path: Path) -> None:
    with (
        TwoHosts() as hosts,
        PostgresServer(
            tmp_path, 5432, listen=NODE_ADDRESS, client_network=NETWORK, prefix=hosts.prefix("node")
        ) as database,
        RedisServer(tmp_path, 6379, NODE_ADDRESS, prefix=hosts.prefix("node")) as queue,
        S3Server(5000, NODE_ADDRESS, prefix=hosts.prefix("node")) as store,
    ):
        store.make_bucket("results")
        use = (
            "import sys, urllib.request as u, psycopg, redis; "
            "psycopg.connect(sys.argv[1].replace('+psycopg', '')).close(); "
            "assert redis.Redis.from_url(sys.argv[2]).ping(); "
            "assert b'results' in u.urlopen(sys.argv[3]).read()"
        )
        urls = [database.url_at(NODE_ADDRESS), queue.url, store.endpoint]
        using = hosts.run("worker", [sys.executable, "-c", use, *urls], stdout=subprocess.PIPE)
        assert using.communicate()[0] == b""
        assert using.returncode == 0


def test_postgresql_on_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        with (
            SmallDisk(folder / "disk", 200) as disk,
            PostgresServer(tmp_path, free_port(), parent=disk.folder) as server,
        ):
            server.query("CREATE TABLE job (name text)")
            disk.fill()
            with pytest.raises(psycopg.Error):
                server.query(
                    "INSERT INTO job SELECT repeat('x', 500) FROM generate_series(1, 200000)"
                )
            disk.free()
            server.start()
            assert server.query("SELECT count(*) FROM job") == [(0,)]
    finally:
        shutil.rmtree(folder)
