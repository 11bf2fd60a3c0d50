"""The spool: where an instance becomes durable before its sender hears Success.

Layout below the root::

    partial/                            being written; emptied at start
    inbox/<nanoseconds>-<n>-<SOP>.dcm   durable, acknowledged, not yet in the object store
    quarantine/<nanoseconds>-<n>-<SOP>.dcm   kept aside, never analysed

A file is written to `partial`, fsynced, renamed into `inbox` and the directory fsynced
(the only moment after which Success may be answered). From the inbox it goes to the object
store under a key that keeps its name, so that names alone tell the order of arrival and the
index can be rebuilt from the files: calling and called AE stand in the file meta information
((0002,0016), (0002,0018), PS3.10 section 7.1).

Deliberately absent: decoding, the database, and any deletion of what is not kept elsewhere.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import threading
import time
from pathlib import Path

from dicom_node.errors import SpoolError, SpoolFull, UnreadableInstance
from dicom_node.receive.arriving_file import ArrivingFile, Buffer, StoredInstance
from dicom_node.receive.group_sync import GroupSync, sync_directory

UID_PATTERN = re.compile(r"[0-9]+(\.[0-9]+)*")
UID_MAX_LENGTH = 64
NAME_PATTERN = re.compile(r"[0-9]{20}-[0-9]+\.[0-9]+-[0-9.]{1,64}\.dcm")


def is_valid_uid(text: str) -> bool:
    """Tell whether `text` may serve as a UID and as a file name.

    PS3.5 section 9.1, but leading zeros in a component are let through: they are common in
    the field and harmless in a path.
    """
    return len(text) <= UID_MAX_LENGTH and UID_PATTERN.fullmatch(text) is not None


class Spool:
    """The folders in which received instances live.

    Parameters
    ----------
    root : Path
        Made when absent; must be on one file system, so that renames are atomic.
    reserve_bytes : int
        Refuse associations while the disk holds less than this, instances under half of it: an
        association that was let in shall come to its end.
    """

    def __init__(self, root: Path, *, reserve_bytes: int = 0) -> None:
        self.root = root
        self.reserve_bytes = reserve_bytes
        self.partial = root / "partial"
        self.inbox_dir = root / "inbox"
        self.quarantine_dir = root / "quarantine"
        self._count = itertools.count()
        self._lock = threading.Lock()
        self._last_stamp = 0
        for folder in (self.partial, self.inbox_dir, self.quarantine_dir):
            folder.mkdir(parents=True, exist_ok=True)
        sync_directory(root)
        self._inbox_sync = GroupSync(self.inbox_dir)
        for path in (*self.inbox()[-1:], *self.quarantined()[-1:]):
            stamp = path.name.split("-", 1)[0]
            self.begin_after(int(stamp) if stamp.isdigit() else 0)

    def discard_partial(self) -> int:
        """Remove what was never acknowledged; returns how many files. Call once at start."""
        leftovers = list(self.partial.iterdir())
        for path in leftovers:
            path.unlink(missing_ok=True)
        return len(leftovers)

    def free_bytes(self) -> int:
        """Free space on the spool's disk."""
        return shutil.disk_usage(self.root).free

    def check_space(self) -> None:
        """Raise `SpoolFull` when the disk holds less than its reserve."""
        self._check_free(self.reserve_bytes)

    def _check_free(self, wanted_bytes: int) -> None:
        free = self.free_bytes()
        if free < wanted_bytes:
            raise SpoolFull(free, wanted_bytes)

    def probe(self) -> None:
        """Try whether instances could be made durable now.

        Raises
        ------
        SpoolFull
            If the disk is under its reserve.
        SpoolError
            If a file cannot be written and forced to disk.
        """
        self.check_space()
        path = self.partial / f"probe-{os.getpid()}-{next(self._count)}"
        try:
            _write_durably(path, b"probe")
        except OSError as error:
            raise SpoolError(f"cannot write to the spool: {error}") from error
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def begin(self, sop_instance_uid: str) -> ArrivingFile:
        """Begin a Part 10 file that is written as it arrives.

        Parameters
        ----------
        sop_instance_uid : str
            Affected SOP Instance UID of the C-STORE request.

        Raises
        ------
        UnreadableInstance
            If the UID is not one (it would become a path).
        SpoolFull
            If the disk is under its reserve.
        SpoolError
            If no file can be made.
        """
        if not is_valid_uid(sop_instance_uid):
            raise UnreadableInstance(
                "the C-STORE request",
                f"Affected SOP Instance UID {sop_instance_uid[:80]!r} is not a UID",
            )
        self._check_free(self.reserve_bytes // 2)
        tail = f"{os.getpid()}.{next(self._count)}-{sop_instance_uid}.dcm"
        return ArrivingFile(
            self.partial / f"{self._stamp():020d}-{tail}",
            sop_instance_uid,
            lambda: self.inbox_dir / f"{self._stamp():020d}-{tail}",
            self._inbox_sync,
        )

    def accept(self, sop_instance_uid: str, *parts: Buffer) -> StoredInstance:
        """Make one Part 10 file durable.

        Parameters
        ----------
        sop_instance_uid : str
            Affected SOP Instance UID of the C-STORE request.
        *parts : bytes-like
            Preamble, meta information and data set, written one after the other.

        Returns
        -------
        StoredInstance
            On disk in the inbox, file and directory fsynced.

        Raises
        ------
        UnreadableInstance
            If the UID is not one (it would become a path).
        SpoolFull
            If the disk is under half of its reserve.
        SpoolError
            If writing, fsync or rename failed; nothing is acknowledged then.
        """
        file = self.begin(sop_instance_uid)
        for part in parts:
            file.write(part)
        return file.commit()

    def _stamp(self) -> int:
        """Nanoseconds since the epoch, rising even while the clock is set back."""
        with self._lock:
            self._last_stamp = max(time.time_ns(), self._last_stamp + 1)
            return self._last_stamp

    def begin_after(self, stamp_ns: int) -> None:
        """Let every later name sort after this time, though the clock was set back meanwhile."""
        with self._lock:
            self._last_stamp = max(self._last_stamp, stamp_ns)

    def inbox(self) -> list[Path]:
        """Acknowledged, not yet indexed files, oldest first."""
        return sorted(path for path in self.inbox_dir.iterdir() if path.suffix == ".dcm")

    def release(self, path: Path) -> None:
        """Forget an inbox file that is kept elsewhere, or that changes nothing."""
        path.unlink(missing_ok=True)

    def quarantine(self, path: Path) -> Path:
        """Move a file aside, durably; returns the new path."""
        target = self.quarantine_dir / path.name
        path.replace(target)
        sync_directory(self.quarantine_dir)
        return target

    def quarantined(self) -> list[Path]:
        """Files kept aside, oldest first."""
        return sorted(path for path in self.quarantine_dir.iterdir() if path.suffix == ".dcm")

    def discard_quarantined(self, name: str) -> None:
        """Delete a file that was kept aside; nothing happens when it is gone already."""
        (self.quarantine_dir / Path(name).name).unlink(missing_ok=True)

    def take_back(self, name: str) -> bool:
        """Move a file that was kept aside into the inbox again; False when it is gone."""
        source = self.quarantine_dir / name
        if not source.exists():
            return False
        source.replace(self.inbox_dir / name)
        sync_directory(self.inbox_dir)
        sync_directory(self.quarantine_dir)
        return True


def instance_key(study_uid: str, series_uid: str, inbox_name: str) -> str:
    """Key of an instance in the object store, under its inbox name.

    Raises
    ------
    UnreadableInstance
        If a UID is none: it would become a path.
    """
    for uid in (study_uid, series_uid):
        if not is_valid_uid(uid):
            raise UnreadableInstance("an instance", f"{uid[:80]!r} is not a UID")
    return f"instances/{study_uid}/{series_uid}/{inbox_name}"


def is_inbox_name(name: str) -> bool:
    """Tell whether a file name is one that `Spool.accept` gives."""
    return NAME_PATTERN.fullmatch(name) is not None


def sop_uid_of(inbox_name: str) -> str:
    """The Affected SOP Instance UID that an inbox name ends with."""
    return inbox_name.removesuffix(".dcm").split("-", 2)[2]


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
