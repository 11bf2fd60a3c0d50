"""One file on its way into the spool, written as its bytes arrive.

Neither the whole data set nor any part of it is kept in memory. The file stands in `partial`
until it is complete and forced to disk; only then is it renamed into the inbox.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dicom_node.barriers import Barrier, reach
from dicom_node.errors import SpoolError
from dicom_node.receive.group_sync import GroupSync

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """An acknowledged instance in the inbox."""

    path: Path
    sop_instance_uid: str
    size_bytes: int


class ArrivingFile:
    """A file in `partial`, made by `Spool.begin`.

    Parameters
    ----------
    partial : Path
        Where it is written; must not exist.
    sop_instance_uid : str
        Checked already: it becomes part of the final path.
    name_final : callable
        Gives the path in the inbox, asked for when the file is complete: names tell the order
        in which instances were complete.
    inbox_sync : GroupSync
        Of the inbox.

    Raises
    ------
    SpoolError
        If the file cannot be made.
    """

    def __init__(
        self,
        partial: Path,
        sop_instance_uid: str,
        name_final: Callable[[], Path],
        inbox_sync: GroupSync,
    ) -> None:
        self.sop_instance_uid = sop_instance_uid
        self.size_bytes = 0
        self._partial = partial
        self._name_final = name_final
        self._inbox_sync = inbox_sync
        try:
            self._descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, part: Buffer) -> None:
        """Append bytes.

        Raises
        ------
        SpoolError
            If the disk does not take them; nothing is left behind then.
        """
        view = memoryview(part)
        try:
            while view:
                written = os.write(self._descriptor, view)
                self.size_bytes += written
                view = view[written:]
        except OSError as error:
            self.discard()
            raise self._failed(error) from error

    def commit(self) -> StoredInstance:
        """Make it durable: file, then rename, then the inbox's entry.

        Raises
        ------
        SpoolError
            If fsync or rename failed; nothing is acknowledged then.
        """
        try:
            reach(Barrier.SPOOL_FSYNC)
            os.fsync(self._descriptor)
            self._close()
            final = self._name_final()
            self._partial.rename(final)
            self._inbox_sync.flush()
            reach(Barrier.SPOOL_DURABLE)
        except OSError as error:
            self.discard()
            raise self._failed(error) from error
        return StoredInstance(
            path=final, sop_instance_uid=self.sop_instance_uid, size_bytes=self.size_bytes
        )

    def discard(self) -> None:
        """Leave nothing behind; harmless when there is nothing."""
        self._close()
        with contextlib.suppress(OSError):
            self._partial.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _failed(self, error: OSError) -> SpoolError:
        return SpoolError(f"cannot make {self.sop_instance_uid} durable: {error}")
