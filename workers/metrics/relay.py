"""Observations of a worker's forked processes reach the one process that is scraped.

A pair of datagram sockets, made before the fork: children send, the first process counts.
prometheus_client's own way for several processes keeps memory-mapped files; on a full disk a
write to one ends the process with SIGBUS, and being counted must not cost an analysis.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping

from workers.metrics.observe import Sink

DATAGRAM_BYTES = 65536


class Relay:
    """Takes observations from this process and its children to `sink`.

    One that finds the socket full is dropped: nobody waits to be counted.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._receiver, self._sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        self._thread = threading.Thread(target=self._count, name="relay", daemon=True)
        self._thread.start()

    def send(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Send one observation; a `workers.metrics.observe.Sink`."""
        try:
            self._sender.send(json.dumps([name, value, dict(labels)]).encode())
        except OSError:  # full, or closed at the end
            return

    def close(self) -> None:
        """Stop counting."""
        self._sender.close()
        self._receiver.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)
        self._receiver.close()

    def _count(self) -> None:
        while data := self._receiver.recv(DATAGRAM_BYTES):
            name, value, labels = json.loads(data)
            self._sink(name, value, labels)
