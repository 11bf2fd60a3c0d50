"""pynetdicom's socket with deadlines, so that a slow peer cannot hold a thread for ever."""

from __future__ import annotations

import select
import time
from typing import Any

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

CONNECTION_CLOSED = "Evt17"
"""Transport connection closed (PS3.8 table 9-6)."""


class PacedSocket(AssociationSocket):
    """A socket with a deadline for each read, and with room for what was read too far."""

    def __init__(self, assoc: Association, client_socket: Any) -> None:
        super().__init__(assoc, client_socket=client_socket)
        self._back = bytearray()
        self.read_limit_s: float | None = None

    @property
    def holds_data(self) -> bool:
        """Whether there is something to read that no poll of the descriptor shows."""
        pending = getattr(self.socket, "pending", None)
        return bool(self._back) or (pending is not None and pending() > 0)

    @property
    def holds_pushed_back(self) -> bool:
        """Whether bytes that were pushed back wait to be read again."""
        return bool(self._back)

    @property
    def ready(self) -> bool:
        """Whether a read would find something."""
        if self.socket is None or not self._is_connected:
            return False
        if self.holds_data:
            return True
        try:
            return bool(poller_of(self.socket).poll(0))
        except (OSError, ValueError):
            self.event_queue.put(CONNECTION_CLOSED)
            return False

    def push_back(self, data: bytes) -> None:
        """Let the next reads find these bytes first."""
        self._back += data

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, fewer only where the connection ends.

        Raises
        ------
        TimeoutError
            If they do not come in time.
        OSError
            If the connection breaks.
        """
        data = bytearray(nr_bytes)
        got = self.recv_into(memoryview(data))
        return data if got == nr_bytes else data[:got]

    def recv_into(self, view: memoryview) -> int:
        """Fill a buffer; as `recv`."""
        got = min(len(self._back), len(view))
        if got:
            view[:got] = self._back[:got]
            del self._back[:got]
        if got == len(view):
            return got
        limit_s = self.read_limit_s
        deadline = None if limit_s is None else time.monotonic() + limit_s
        connection = self.socket
        if connection is None:
            raise ConnectionError("the connection is closed")
        connection.settimeout(limit_s)
        while got < len(view):
            count = connection.recv_into(view[got:])
            if count == 0:
                break
            got += count
            if deadline is not None and got < len(view) and time.monotonic() > deadline:
                raise TimeoutError(f"{got} of {len(view)} bytes within {limit_s:g} s")
        return got


def poller_of(*readable: Any) -> select.poll:
    """Like pynetdicom's `select`, but for descriptors above 1023 as well."""
    poller = select.poll()
    for item in readable:
        poller.register(item, select.POLLIN)
    return poller
