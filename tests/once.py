"""What costs much and is only looked at is made once for a whole run of the tests.

pytest-xdist gives each process a session of its own; the first that needs something makes it,
the others wait for it and read it.
"""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], T]) -> T:
    """What `make` returned when it was called first, for this process or another one.

    Parameters
    ----------
    factory : pytest.TempPathFactory
        Of the session.
    name : str
        A file name.
    make : callable
        Gets an empty folder that stays for the whole run; what it returns is pickled.
    """
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder = folder / "once" / name
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "made.pickle"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            (folder / "files").mkdir()
            partial = folder / "partial.pickle"
            partial.write_bytes(pickle.dumps(make(folder / "files")))
            partial.rename(made)
    return pickle.loads(made.read_bytes())  # noqa: S301 - written above, by this run of the tests
