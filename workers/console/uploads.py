"""Uploaded DICOM files and ZIP archives, unpacked under our own names: theirs may lead away."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, BinaryIO

from workers.access_errors import RequestRefused
from workers.console.access import FILES_AT_MOST

CHUNK_BYTES = 1 << 20
UNPACKED_AT_MOST = 4
"""Times the limit of an upload: DICOM shrinks to a half or a third."""


def unpack(files: Sequence[BinaryIO], folder: Path, *, limit_bytes: int) -> None:
    """Write files, and those in archives, into a folder.

    Parameters
    ----------
    files : sequence of file objects
        As uploaded.
    limit_bytes : int
        What archives may unpack to, all together.

    Raises
    ------
    RequestRefused
        If there are too many, they unpack to too much, or an archive is damaged or locked.
    """
    count, left = 0, limit_bytes

    def target() -> Path:
        nonlocal count
        count += 1
        if count > FILES_AT_MOST:
            raise RequestRefused(
                f"more than {FILES_AT_MOST} files came", "send one study at a time"
            )
        return folder / f"{count:06d}.dcm"

    for file in files:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            with target().open("wb") as out:
                shutil.copyfileobj(file, out, CHUNK_BYTES)
            continue
        try:
            with zipfile.ZipFile(file) as archive:
                for item in archive.infolist():
                    if not item.is_dir():
                        with archive.open(item) as packed, target().open("wb") as out:
                            left -= _copy(packed, out, left)
        except (
            zipfile.BadZipFile,
            zlib.error,
            RuntimeError,
            NotImplementedError,
            EOFError,
        ) as error:
            raise RequestRefused(
                "a ZIP archive is damaged, or locked with a password", "pack it anew, without one"
            ) from error


def _copy(source: IO[bytes], out: BinaryIO, limit_bytes: int) -> int:
    taken = 0
    while piece := source.read(CHUNK_BYTES):
        taken += len(piece)
        if taken > limit_bytes:
            raise RequestRefused("an archive unpacks to too much", "send one study at a time")
        out.write(piece)
    return taken
