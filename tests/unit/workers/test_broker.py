from __future__ import annotations

from pathlib import Path

import psutil
import redis

from workers.broker import EmbeddedBroker


def servers_in(folder: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "valkey" in process.name() and process.cwd() == str(folder)
    ]


def answers(broker: EmbeddedBroker) -> bool:
    socket = broker.url.removeprefix("redis+socket://")
    with redis.Redis(unix_socket_path=socket) as client:
        return bool(client.ping())


def test_a_server_left_behind_by_a_killed_process_is_ended_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    left_behind = EmbeddedBroker(folder)
    left_behind.start()
    (old,) = servers_in(folder)

    with EmbeddedBroker(folder) as broker:
        (new,) = [server for server in servers_in(folder) if server.is_running() and server != old]

        assert answers(broker)
        assert new.pid != old.pid
        assert not old.is_running() or old.status() == psutil.STATUS_ZOMBIE


def test_a_server_that_died_is_started_again_and_keeps_what_it_held(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "broker") as broker:
        socket = broker.url.removeprefix("redis+socket://")
        with redis.Redis(unix_socket_path=socket) as client:
            client.lpush("analyse", "hint")
            client.execute_command("WAITAOF", 1, 0, 5000)
        for server in servers_in(tmp_path / "broker"):
            server.kill()
            server.wait(timeout=5)

        broker.keep_running()

        with redis.Redis(unix_socket_path=socket) as client:
            assert client.lrange("analyse", 0, -1) == [b"hint"]


def test_a_folder_whose_path_is_too_long_for_a_socket_has_it_elsewhere(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / ("x" * 120)) as broker:
        assert len(broker.url) < 120
        assert answers(broker)
