"""How many heaps the threads of one process have."""

from __future__ import annotations

import contextlib
import ctypes

M_ARENA_MAX = -8
"""mallopt(3) of glibc; other C libraries have no such thing."""
HEAPS = 2


def share_heaps() -> None:
    """Let all threads share a few heaps, in a process that serves many associations for months.

    Otherwise glibc gives them up to eight for each core, and what was freed in one of them serves
    no other: the process grows with the most that ever came at once. To be called before threads
    start.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, HEAPS)
