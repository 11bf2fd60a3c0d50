"""The spool: where an instance becomes durable before its sender hears Success.

Layout below the root::

    partial/                         being written; emptied at start
    inbox/<nanoseconds>-<n>-<SOP>.dcm   durable, acknowledged, not yet indexed
    instances/<study>/<series>/<SOP>.dcm   indexed
    quarantine/<nanoseconds>-<SOP>.dcm     kept aside, never analysed

A file is written to `partial`, fsynced, renamed into `inbox` and the directory fsynced
(the only moment after which Success may be answered). The index can be rebuilt from these
folders alone: calling and called AE stand in the file meta information
((0002,0016), (0002,0018), PS3.10 section 7.1).

Deliberately absent: decoding, the database, and any deletion of what is not indexed.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from dicom_node.errors import SpoolError, SpoolFull, UnreadableInstance

UID_PATTERN = re.compile(r"[0-9]+(\.[0-9]+)*")
UID_MAX_LENGTH = 64

Buffer = bytes | bytearray | memoryview


def is_valid_uid(text: str) -> bool:
    """Tell whether `text` may serve as a UID and as a file name.

    PS3.5 section 9.1, but leading zeros in a component are let through: they are common in
    the field and harmless in a path.
    """
    return len(text) <= UID_MAX_LENGTH and UID_PATTERN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """An acknowledged instance in the inbox."""

    path: Path
    sop_instance_uid: str
    size_bytes: int


class Spool:
    """The folders in which received instances live.

    Parameters
    ----------
    root : Path
        Made when absent; must be on one file system, so that renames are atomic.
    reserve_bytes : int
        Refuse instances while the disk holds less than this.
    """

    def __init__(self, root: Path, *, reserve_bytes: int = 0) -> None:
        self.root = root
        self.reserve_bytes = reserve_bytes
        self.partial = root / "partial"
        self.inbox_dir = root / "inbox"
        self.instances = root / "instances"
        self.quarantine_dir = root / "quarantine"
        self._count = itertools.count()
        for folder in (self.partial, self.inbox_dir, self.instances, self.quarantine_dir):
            folder.mkdir(parents=True, exist_ok=True)
        _sync_directory(root)

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
        free = self.free_bytes()
        if free < self.reserve_bytes:
            raise SpoolFull(free, self.reserve_bytes)

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
            If the disk is under its reserve.
        SpoolError
            If writing, fsync or rename failed; nothing is acknowledged then.
        """
        if not is_valid_uid(sop_instance_uid):
            raise UnreadableInstance(
                "the C-STORE request",
                f"Affected SOP Instance UID {sop_instance_uid[:80]!r} is not a UID",
            )
        self.check_space()
        name = f"{time.time_ns():020d}-{os.getpid()}.{next(self._count)}-{sop_instance_uid}.dcm"
        partial = self.partial / name
        final = self.inbox_dir / name
        try:
            size = _write_durably(partial, parts)
            partial.rename(final)
            _sync_directory(self.inbox_dir)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise SpoolError(f"cannot make {sop_instance_uid} durable: {error}") from error
        return StoredInstance(path=final, sop_instance_uid=sop_instance_uid, size_bytes=size)

    def inbox(self) -> list[Path]:
        """Acknowledged, not yet indexed files, oldest first."""
        return sorted(path for path in self.inbox_dir.iterdir() if path.suffix == ".dcm")

    def instance_path(self, study_uid: str, series_uid: str, sop_uid: str) -> Path:
        """Where an indexed instance stands."""
        for uid in (study_uid, series_uid, sop_uid):
            if not is_valid_uid(uid):
                raise UnreadableInstance("an instance", f"{uid[:80]!r} is not a UID")
        return self.instances / study_uid / series_uid / f"{sop_uid}.dcm"

    def file_instance(self, path: Path, study_uid: str, series_uid: str, sop_uid: str) -> Path:
        """Move an inbox file to its indexed place, durably; returns the new path."""
        target = self.instance_path(study_uid, series_uid, sop_uid)
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync_directory(target.parent.parent)
            _sync_directory(self.instances)
        path.replace(target)
        _sync_directory(target.parent)
        return target

    def quarantine(self, path: Path) -> Path:
        """Move a file aside, durably; returns the new path."""
        target = self.quarantine_dir / path.name
        path.replace(target)
        _sync_directory(self.quarantine_dir)
        return target


def _write_durably(path: Path, parts: tuple[Buffer, ...]) -> int:
    size = 0
    with path.open("xb") as file:
        for part in parts:
            size += file.write(part)
        file.flush()
        os.fsync(file.fileno())
    return size


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
