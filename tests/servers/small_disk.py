"""A disk that is small, gets full and becomes read-only."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.conftest import missing, need_program

FILLER = ".filler"
BLOCK = 65536


class SmallDisk:
    """A tmpfs mounted over a folder (made if it is not there). Needs root."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        self.filler = folder / FILLER
        if os.geteuid() != 0:
            missing("the right to mount a tmpfs")
        need_program("mount")
        folder.mkdir(parents=True, exist_ok=True)
        options = f"size={megabytes}m,mode=0755"
        mounted = _run("mount", "-t", "tmpfs", "-o", options, "pulmonode-test", str(folder))
        if mounted.returncode != 0:
            missing(f"the right to mount a tmpfs ({mounted.stderr.strip()})")
        self._mounts = 1

    @property
    def free_bytes(self) -> int:
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize

    def fill(self, leave_bytes: int = 0) -> None:
        """Take all the space but so much (to the page); empty files can still be made."""
        with self.filler.open("ab", buffering=0) as filler:
            wanted = self.free_bytes - leave_bytes
            with contextlib.suppress(OSError):
                if wanted > 0:
                    os.posix_fallocate(filler.fileno(), filler.tell(), wanted)
            while leave_bytes == 0:
                try:
                    filler.write(bytes(BLOCK))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    return

    def free(self) -> None:
        """Give back what `fill` took."""
        self.filler.unlink(missing_ok=True)

    def read_only(self) -> None:
        """Let nothing be written any more.

        Where a file is open for writing, the kernel refuses that; then nothing can be opened
        for writing, made or removed any more, but files that are open stay writable.
        """
        if _run("mount", "-o", "remount,ro", str(self.folder)).returncode == 0:
            return
        _check("mount", "--bind", str(self.folder), str(self.folder))
        self._mounts += 1
        _check("mount", "-o", "remount,bind,ro", str(self.folder))

    def writable(self) -> None:
        """Undo `read_only`."""
        while self._mounts > 1:
            self._unmount()
        _check("mount", "-o", "remount,rw", str(self.folder))

    def close(self) -> None:
        """Unmount, even where files are still open; what was on it is gone."""
        while self._mounts:
            self._unmount()

    def _unmount(self) -> None:
        _check("umount", "--lazy", str(self.folder))
        self._mounts -= 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _check(*command: str) -> None:
    done = _run(*command)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
