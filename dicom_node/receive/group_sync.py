"""One fsync of a directory for all who wait for it.

Associations finish their files side by side; each needs the directory on disk before its
sender may hear Success. A flush that began after a file was renamed covers that file, so those
who come while one runs share the next.

Deliberately absent: the files' own contents. Their fsyncs run side by side, and the file
system's journal joins them by itself.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path


class GroupSync:
    """Flushes one directory.

    Parameters
    ----------
    directory : Path
        Must exist whenever `flush` is called.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._changed = threading.Condition()
        self._begun = 0
        self._ended = 0
        self._running = False
        self._failures: dict[int, OSError] = {}

    def flush(self) -> None:
        """Return once a flush that began after this call has ended.

        Raises
        ------
        OSError
            If that flush failed: nobody whom it was for may claim to be durable.
        """
        with self._changed:
            wanted = self._begun + 1
            while self._ended < wanted:
                if self._running:
                    self._changed.wait()
                else:
                    self._flush_for_all()
            error = self._failures.get(wanted)
        if error is not None:
            raise OSError(error.errno, error.strerror) from error

    def _flush_for_all(self) -> None:
        """Flush once, with the lock given up meanwhile."""
        self._running = True
        self._begun += 1
        number = self._begun
        self._changed.release()
        failure: OSError | None = None
        try:
            sync_directory(self._directory)
        except OSError as error:
            failure = error
        finally:
            self._changed.acquire()
            self._running = False
            self._ended = number
            self._failures.pop(number - KEPT_FAILURES, None)
            if failure is not None:
                self._failures[number] = failure
            self._changed.notify_all()


KEPT_FAILURES = 1000
"""How many flushes later a failure is forgotten; whoever waited for it has long woken up."""


def sync_directory(path: Path) -> None:
    """Force a directory's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
