"""A server in a process of its own: started, stopped, killed and frozen."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.integration.service import wait_for

START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()"


class ServerProcess:
    """What all servers of this package have in common.

    `home` is a private folder of its own in /tmp (pytest's are closed to other users), removed
    by `close()`, by the end of a `with` block or at the latest when Python ends. `prefix` goes
    before the command, such as `TwoHosts.prefix("node")` to run it in a network namespace.
    """

    name = "server"
    stop_signal = signal.SIGTERM

    def __init__(
        self, port: int, host: str, prefix: Sequence[str] = (), folder: Path | None = None
    ) -> None:
        self.port = port
        self.host = host
        self.prefix = list(prefix)
        self.process: subprocess.Popen[bytes] | None = None
        self.home = Path(tempfile.mkdtemp(prefix=f"pulmonode-{self.name}-"))
        self._remove_home = weakref.finalize(self, shutil.rmtree, self.home, ignore_errors=True)
        self.log = (folder or self.home) / f"{self.name}.log"

    def command(self) -> list[str]:
        """The command line, without prefix."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it takes a connection (asked from where it runs)."""
        if not self.prefix:
            with contextlib.suppress(OSError):
                socket.create_connection((self.host, self.port), 2).close()
                return True
            return False
        probe = [*self.prefix, sys.executable, "-c", CONNECT, self.host, str(self.port)]
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it and wait until it answers; nothing when it runs already."""
        if self.running:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *self.command()],
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def up() -> bool:
            assert self.running, f"{self.name} ended:\n{self.log.read_text(errors='replace')}"
            return self.answers()

        try:
            wait_for(up, limit_s=START_LIMIT_S, message=f"{self.name} answers")
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it as its administrator would; its data stay."""
        if self.process is None:
            return
        if self.running:
            self.thaw()
            self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(timeout=STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """SIGKILL to it and all its children: nothing is written or said any more.

        Unlike a power cut this leaves what the kernel had not yet written to the disk.
        """
        if self.process is None:
            return
        children = self._family(signal.SIGSTOP)[1:]  # stopped, it starts no more of them
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self.process.kill()
        self.process.wait()
        psutil.wait_procs(children, timeout=STOP_LIMIT_S)
        self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Connections stay open and are still taken by the kernel, but nothing answers."""
        for member in self._family(signal.SIGSTOP)[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.suspend()

    def thaw(self) -> None:
        for member in self._family(signal.SIGCONT)[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.resume()

    def close(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        self._remove_home()

    def _family(self, number: signal.Signals) -> list[psutil.Process]:
        """The server, to which a signal was sent, then all its children."""
        if self.process is None or self.process.poll() is not None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.pid)
            parent.send_signal(number)
            return [parent, *parent.children(recursive=True)]
        return []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()
