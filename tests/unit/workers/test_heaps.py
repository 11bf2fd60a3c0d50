"""Threads of one process share its heaps."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from workers.heaps import HEAPS

MANY_THREADS = """
import ctypes, threading
import workers.heaps
{first}
libc = ctypes.CDLL(None)
all_there = threading.Barrier(16)

def work():
    all_there.wait()
    kept = [libc.malloc(1000) for _ in range(3000)]

threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def heaps_of(first: str) -> int:
    """Of a process that runs 16 threads after a line of Python."""
    told = subprocess.run(
        [sys.executable, "-c", MANY_THREADS.format(first=first)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return told.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this C library is not glibc")
def test_many_threads_share_few_heaps() -> None:
    assert heaps_of("") > HEAPS
    assert 1 <= heaps_of("workers.heaps.share_heaps()") <= HEAPS
