"""The result store: final bytes on disk, named by their content.

A file is written under its own SHA-256, fsynced and renamed, before the database row that
names it is committed: a row never points at nothing, and a file without a row is harmless.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


class ResultStore:
    """Content-addressed files below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes, suffix: str) -> tuple[str, str]:
        """Store bytes durably; returns (path relative to the store, SHA-256)."""
        digest = hashlib.sha256(data).hexdigest()
        relative = Path(digest[:2]) / f"{digest}{suffix}"
        target = self.root / relative
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            partial = target.with_name(f".{target.name}.{os.getpid()}")
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
            for folder in (target.parent, self.root):
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        return str(relative), digest

    def path(self, relative: str) -> Path:
        """Where a stored file stands."""
        return self.root / relative

    def get(self, relative: str, sha256: str) -> bytes:
        """Read a stored file.

        Raises
        ------
        OSError
            If it cannot be read, or its content is not what was stored.
        """
        data = self.path(relative).read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise OSError(f"{self.path(relative)} has changed on disk: SHA-256 is not {sha256}")
        return data
