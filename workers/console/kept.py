"""Answers that take a while and may be some seconds old: asked once for everybody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """A value that is made again when it is older than some seconds, or when there was nothing.

    One thread makes it, the others wait: a slow question is never asked many times at once.

    Parameters
    ----------
    for_s : float
        How old it may get.
    """

    def __init__(self, for_s: float) -> None:
        self._for_s = for_s
        self._lock = threading.Lock()
        self._value: Value | None = None
        self._until = 0.0

    def get(self, make: Callable[[], Value]) -> Value:
        """The value, or a new one of `make`; what `make` raises goes on, and nothing is kept."""
        with self._lock:
            if not self._value or time.monotonic() >= self._until:
                self._value = make()
                self._until = time.monotonic() + self._for_s
            return self._value
