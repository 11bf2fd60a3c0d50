"""Waiting for what happens instead of looking every millisecond."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import Any

LOOK_AGAIN_S = 1.0
"""How often timers (ARTIM, idle) are looked at while nothing happens."""


class Bell:
    """Wakes a thread that waits for a socket; safe to ring at any time, also after `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """What to wait for."""
        return self._descriptor

    def ring(self) -> None:
        """Wake the waiting thread, or the next to wait."""
        with self._lock:  # a closed descriptor's number may already be another file's
            if self._descriptor >= 0:
                os.eventfd_write(self._descriptor, 1)

    def hush(self) -> None:
        """Forget the rings so far."""
        with self._lock:
            if self._descriptor >= 0:
                try:
                    os.eventfd_read(self._descriptor)
                except BlockingIOError:
                    return

    def close(self) -> None:
        """Give the descriptor back."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


class SignallingQueue(queue.Queue[Any]):
    """A queue that tells when something was put in."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put, then tell."""
        super().put(item, block, timeout)
        self._tell()


class Gate:
    """A `threading.Event` to whose `wait` comes "and something happened, or a second passed".

    Stands in for pynetdicom's `Association._reactor_checkpoint`, at which its loop stops while
    it is cleared; the loop then turns when there is something to do.
    """

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self._activity = threading.Event()

    def notice(self) -> None:
        """Something happened."""
        self._activity.set()

    def set(self) -> None:
        """Open the gate; whoever waits looks around."""
        self._open.set()
        self._activity.set()

    def clear(self) -> None:
        """Close the gate."""
        self._open.clear()

    def is_set(self) -> bool:
        """Tell whether the gate is open."""
        return self._open.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the gate is open and there may be something to do."""
        del timeout  # the loop that waits here gives none
        while True:
            self._open.wait()
            self._activity.wait(LOOK_AGAIN_S)
            self._activity.clear()
            if self._open.is_set():
                return True
