"""Two hosts on this machine: network namespaces joined by a cable that can be cut."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

from tests.conftest import missing, need_program
from tests.integration.service import wait_for

Host = Literal["node", "worker"]
NODE_ADDRESS = "10.203.0.1"
WORKER_ADDRESS = "10.203.0.2"
NETWORK = "10.203.0.0/24"
ADDRESSES: dict[Host, str] = {"node": NODE_ADDRESS, "worker": WORKER_ADDRESS}
NOBODY = "02:00:00:00:de:ad"  # a network card that does not exist
CLONE_NEWNET = 0x40000000  # setns(2)
_numbers = itertools.count()


class TwoHosts:
    """A node and a worker, each with a loopback of its own, and a cable between them.

    Needs root. Programs started with `run` see the files and mounts that are there at that
    moment, so mount a `SmallDisk` first; servers take `prefix(host)`.
    Whoever starts processes here ends them: `close()` only takes the network away.
    """

    def __init__(self) -> None:
        if os.geteuid() != 0:
            missing("the right to make network namespaces")
        need_program("ip")
        stem = f"pn{os.getpid()}-{next(_numbers)}"
        self.names: dict[Host, str] = {"node": f"{stem}n", "worker": f"{stem}w"}  # of the cable's
        self._made: list[str] = []  # ends as well; an interface's name has at most 15 characters
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def prefix(self, host: Host) -> list[str]:
        """What goes before a command so that it runs on that host; its process id stays."""
        return ["ip", "netns", "exec", self.names[host]]

    def run(
        self,
        host: Host,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        stdout: int | IO[Any] | None = None,
        **others: Any,
    ) -> subprocess.Popen[Any]:
        """Start a command on a host; further arguments go to Popen."""
        others.setdefault("stderr", subprocess.STDOUT if stdout is not None else None)
        return subprocess.Popen([*self.prefix(host), *command], env=env, stdout=stdout, **others)

    @contextlib.contextmanager
    def inside(self, host: Host) -> Iterator[None]:
        """Let this thread, and threads that it starts, open their sockets on that host.

        A socket stays where it was opened, and so does a thread that was started inside.
        """
        with Path("/proc/thread-self/ns/net").open() as home:
            with Path("/run/netns", self.names[host]).open() as there:
                _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def processes(self, host: Host) -> list[int]:
        """Process ids of everything that runs on a host."""
        command = ["ip", "netns", "pids", self.names[host]]
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
        return [int(word) for word in listed.stdout.split()]

    def power_off(self, host: Host) -> int:
        """Cut a host off, then kill all in it: nothing leaves it any more, not even a FIN.

        Returns how many processes died. Mending the cable would let its kernel say that its
        connections are closed, which no host without power does.
        """
        self.cut(host)
        killed: set[int] = set()
        while running := self.processes(host):
            for number in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
                    killed.add(number)
        return len(killed)

    def cut(self, host: Host = "worker") -> None:
        """Take that host's end of the cable down.

        That host is told at once that the network is unreachable, the other one after some
        seconds that there is no such host. `swallow()` is a cut nobody is told of.
        """
        self._ip(host, "link", "set", self.names[host], "down")

    def swallow(self) -> None:
        """Lose every packet on the way, in both directions; both ends of the cable stay up."""
        others: dict[Host, str] = {"node": WORKER_ADDRESS, "worker": NODE_ADDRESS}
        for host, other in others.items():
            card = ["dev", self.names[host], "lladdr", NOBODY, "nud", "permanent"]
            self._ip(host, "neigh", "replace", other, *card)

    def mend(self) -> None:
        """Undo `cut` and `swallow`; returns when packets pass again."""
        for host, address in ADDRESSES.items():
            name = self.names[host]
            self._ip(host, "link", "set", name, "up")
            self._ip(host, "neigh", "flush", "dev", name, "nud", "all")
            if address not in self._ip(host, "-4", "address", "show", "dev", name):
                self._ip(host, "address", "add", f"{address}/24", "dev", name)
        wait_for(
            lambda: all(
                "state UP" in self._ip(host, "link", "show", name)
                for host, name in self.names.items()
            ),
            limit_s=20,
            message="both ends of the cable are up",
        )

    def close(self) -> None:
        """Remove both hosts; processes that still run there keep their end of the network."""
        for name in self._made:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        self._made.clear()

    def _make(self) -> None:
        for name in self.names.values():
            _remove_left_over(name)
            added = subprocess.run(
                ["ip", "netns", "add", name], capture_output=True, text=True, check=False
            )
            if added.returncode != 0:
                missing(f"network namespaces: {added.stderr.strip()}")
            self._made.append(name)
        node, worker = self.names["node"], self.names["worker"]
        cable = ["ip", "link", "add", node, "netns", node, "type", "veth"]
        laid = subprocess.run(
            [*cable, "peer", "name", worker, "netns", worker],
            capture_output=True,
            text=True,
            check=False,
        )
        if laid.returncode != 0:
            missing(f"veth pairs: {laid.stderr.strip()}")
        for host in ADDRESSES:
            self._ip(host, "link", "set", "lo", "up")
        self.mend()

    def _ip(self, host: Host, *arguments: str) -> str:
        """Run `ip` on a host."""
        command = ["ip", "-n", self.names[host], *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()


def _enter(descriptor: int) -> None:
    """Bring this thread into a network namespace."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _remove_left_over(name: str) -> None:
    """A namespace of a test run that was killed, whose process id came round again."""
    if Path("/run/netns", name).exists():
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
