"""A real Redis (or Valkey) server that keeps nothing on disk."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis

from tests.conftest import need_program
from tests.servers.process import ServerProcess


class RedisServer(ServerProcess):
    """Redis; whatever was queued is lost when it ends."""

    name = "redis"

    def __init__(
        self, folder: Path, port: int, host: str = "127.0.0.1", *, prefix: Sequence[str] = ()
    ) -> None:
        self.program = shutil.which("valkey-server") or need_program("redis-server")
        super().__init__(port, host, prefix, folder)

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def command(self) -> list[str]:
        loopback = self.host.startswith("127.")
        addresses = [self.host] if loopback else [self.host, "127.0.0.1"]
        return [
            self.program,
            *("--port", str(self.port)),
            *("--bind", *addresses),
            *("--protected-mode", "yes" if loopback else "no"),
            *("--save", ""),
            *("--appendonly", "no"),
            *("--dir", str(self.home)),
            *("--unixsocket", str(self.home / "socket")),
        ]

    def answers(self) -> bool:
        with contextlib.suppress(redis.ConnectionError), self.client() as client:
            return bool(client.ping())
        return False

    @contextlib.contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """A client, from any network namespace."""
        client = redis.Redis(unix_socket_path=str(self.home / "socket"))
        try:
            yield client
        finally:
            client.close()

    def empty(self) -> None:
        """Forget every queue."""
        with self.client() as client:
            client.flushall()

    def pause(self, seconds: float) -> None:
        """Answer nobody for so long; connections stay."""
        with self.client() as client:
            client.client_pause(int(seconds * 1000))
