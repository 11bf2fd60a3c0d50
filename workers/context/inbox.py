"""Where an accepted message becomes durable before its sender hears AA.

::

    partial/                   being written; emptied at start
    inbox/<nanoseconds>-<pid>.<n>.<kind>   durable, accepted, its meaning not yet in the database
    held/                      cannot be used as it is: a person decides

`kind` is ``hl7`` (one message) or ``json`` (one FHIR resource or Bundle). Names tell the order.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import threading
import time
from pathlib import Path

from dicom_node.barriers import Barrier, reach
from dicom_node.receive.group_sync import GroupSync, sync_directory
from workers.errors import MessageNotKept

KINDS = (".hl7", ".json")
PARTIAL_KEPT_NS = 3600 * 10**9


class MessageInbox:
    """The folders of received messages.

    Parameters
    ----------
    root : Path
        Made when absent, readable by its owner alone.
    reserve_bytes : int
        Nothing is accepted while the disk holds less.
    """

    def __init__(self, root: Path, *, reserve_bytes: int = 0) -> None:
        self.root = root
        self.reserve_bytes = reserve_bytes
        self.partial, self.inbox_dir, self.held_dir = (
            root / name for name in ("partial", "inbox", "held")
        )
        for folder in (root.parent, root, self.partial, self.inbox_dir, self.held_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        sync_directory(root)
        self._sync = GroupSync(self.inbox_dir)
        self._count = itertools.count()
        self._lock = threading.Lock()
        self._last_stamp = max(
            (stamp_of(path) for path in (*self.waiting(), *self.held())), default=0
        )

    def discard_partial(self) -> None:
        """Remove what was never acknowledged; what is young may still be written by a command."""
        limit_ns = time.time_ns() - PARTIAL_KEPT_NS
        for path in self.partial.iterdir():
            if stamp_of(path) < limit_ns:
                path.unlink(missing_ok=True)

    def accept(self, data: bytes, kind: str) -> Path:
        """Make a message durable; only after this returns may it be acknowledged.

        Raises
        ------
        MessageNotKept
            If the disk is under its reserve, or does not take it.
        """
        if shutil.disk_usage(self.root).free < self.reserve_bytes:
            raise MessageNotKept("the disk is under its reserve")
        tail = f"{os.getpid()}.{next(self._count)}{kind}"
        partial = self.partial / f"{self._stamp():020d}-{tail}"
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            final = self.inbox_dir / f"{self._stamp():020d}-{tail}"
            partial.rename(final)
            self._sync.flush()
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise MessageNotKept(f"the disk does not take it ({error.strerror})") from error
        reach(Barrier.CONTEXT_DURABLE)
        return final

    def waiting(self) -> list[Path]:
        """Accepted messages whose meaning is not in the database yet, oldest first."""
        return _messages(self.inbox_dir)

    def held(self) -> list[Path]:
        """Messages that a person must decide about, oldest first."""
        return _messages(self.held_dir)

    def hold(self, path: Path) -> Path:
        """Put a message aside, durably."""
        target = self.held_dir / path.name
        path.replace(target)
        sync_directory(self.held_dir)
        return target

    def take_up(self, path: Path) -> Path:
        """Bring a held message back into the inbox, durably."""
        target = self.inbox_dir / path.name
        path.replace(target)
        sync_directory(self.inbox_dir)
        return target

    def release(self, path: Path) -> None:
        """Forget a message whose meaning is in the database."""
        path.unlink(missing_ok=True)

    def _stamp(self) -> int:
        """Nanoseconds since the epoch, rising even while the clock is set back."""
        with self._lock:
            self._last_stamp = max(time.time_ns(), self._last_stamp + 1)
            return self._last_stamp


def _messages(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in KINDS)


def stamp_of(path: Path) -> int:
    """Nanoseconds since the epoch at which a message arrived, by its name."""
    stamp = path.name.split("-", 1)[0]
    return int(stamp) if stamp.isdigit() else 0
