"""The time of day, in one place, so that tests can replace it."""

from __future__ import annotations

import time


def now() -> float:
    """Seconds since the epoch, UTC."""
    return time.time()
