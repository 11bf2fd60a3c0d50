"""A backup on disk: a folder, or one tar file. Names, checksums, manifest; no meaning.

::

    manifest.json          release, schema, kind of database, when; names the two below
    <moment>.sha256        every file with its SHA-256, as `sha256sum --check` reads it
    database/<moment>.*    state database
    settings.json          settings without secrets
    spool/inbox, spool/quarantine, context/inbox, context/held
    store/<key>            objects
    site/...               bank, rules, profiles, weights, salt

The manifest is replaced last, in one step: a run that was cut off leaves the earlier backup as it
was, and the next run goes on from what it finds (objects never change once they are there).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from workers.errors import BackupRefused

MANIFEST = "manifest.json"
VERSION = 1
CHUNK_BYTES = 1 << 20
LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
NAME = re.compile(r"(?!/)(?!.*(^|/)\.\.?(/|$))[^\n\\]+")
"""Relative, and nowhere up."""


class BackupTarget(Protocol):
    """Where a backup is written."""

    def sum_of(self, name: str, size_bytes: int) -> str | None:
        """SHA-256 of a file of that name and size that is there already; else `None`."""

    def put(self, name: str, source: Path) -> tuple[str, int]:
        """Copy a file; its SHA-256 and bytes."""

    def finish(self, sums: dict[str, str], manifest: dict[str, Any]) -> None:
        """Make these files the backup."""


@contextlib.contextmanager
def open_target(path: Path) -> Iterator[BackupTarget]:
    """A tar file if the name ends so, else a folder, which may hold an earlier backup.

    Raises
    ------
    BackupRefused
        If something else stands there.
    """
    if path.suffix != ".tar":
        yield FolderTarget(path)
        return
    target = TarTarget(path)
    try:
        yield target
    finally:
        target.close()


class FolderTarget:
    """A folder; what is in it from before is not copied again."""

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_dir():
            raise BackupRefused(
                str(path), "is a file", "name a folder, or a file that ends in .tar"
            )
        foreign = path.is_dir() and any(path.iterdir()) and not (path / "store").exists()
        if foreign and not (path / MANIFEST).exists():
            raise BackupRefused(str(path), "holds something else", "name an empty folder")
        (path / "store").mkdir(parents=True, exist_ok=True)
        self.path = path
        self._known: dict[str, str] = {}
        if (path / MANIFEST).exists():
            with contextlib.suppress(BackupRefused):
                self._known = FolderSource(path).sums()

    def sum_of(self, name: str, size_bytes: int) -> str | None:
        """By the earlier backup's list, or by reading what a run that was cut off had copied."""
        there = self.path / name
        if not there.is_file() or there.stat().st_size != size_bytes:
            return None
        return self._known.get(name) or _digest(there)

    def put(self, name: str, source: Path) -> tuple[str, int]:
        """Copy beside, then rename."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        with source.open("rb") as reading, partial.open("wb") as writing:
            digest, size = _copy(reading, writing)
        partial.replace(target)
        return digest, size

    def finish(self, sums: dict[str, str], manifest: dict[str, Any]) -> None:
        """Force everything to disk, replace the manifest, remove what is no part any more."""
        listed = self.path / manifest["sums"]
        listed.write_text(_lines(sums))
        os.sync()
        partial = self.path / f".{MANIFEST}.partial"
        partial.write_text(json.dumps(manifest, indent=1) + "\n")
        partial.replace(self.path / MANIFEST)
        os.sync()
        wanted = {*sums, MANIFEST, listed.name}
        for path in sorted(self.path.rglob("*"), reverse=True):
            if path.is_dir():
                with contextlib.suppress(OSError):
                    path.rmdir()
            elif path.relative_to(self.path).as_posix() not in wanted:
                path.unlink()


class TarTarget:
    """One tar file, written from beginning to end."""

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise BackupRefused(str(path), "exists", "choose another name: it is not overwritten")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._tar = tarfile.open(self._partial, "w")  # noqa: SIM115 - closed by `close`
        self._written: dict[str, tuple[str, int]] = {}

    def sum_of(self, name: str, size_bytes: int) -> str | None:
        """Of what this run wrote."""
        digest, size = self._written.get(name, ("", -1))
        return digest if size == size_bytes else None

    def put(self, name: str, source: Path) -> tuple[str, int]:
        """Append."""
        with source.open("rb") as reading:
            info = self._tar.gettarinfo(arcname=name, fileobj=reading)
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            counted = _Counted(reading)
            self._tar.addfile(info, counted)
        self._written[name] = counted.digest.hexdigest(), info.size
        return self._written[name]

    def finish(self, sums: dict[str, str], manifest: dict[str, Any]) -> None:
        """Append list and manifest, and give the file its name."""
        for name, text in ((manifest["sums"], _lines(sums)), (MANIFEST, json.dumps(manifest))):
            beside = self.path.with_name(f".{self.path.name}.{name}")
            beside.write_text(text)
            self.put(name, beside)
            beside.unlink()
        self._tar.close()
        with self._partial.open("rb") as file:
            os.fsync(file.fileno())
        self._partial.replace(self.path)

    def close(self) -> None:
        """Take away what was not finished."""
        self._tar.close()
        self._partial.unlink(missing_ok=True)


class BackupSource(Protocol):
    """A backup that is read."""

    def manifest(self) -> dict[str, Any]:
        """The manifest."""

    def sums(self) -> dict[str, str]:
        """Name -> SHA-256."""

    def opened(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """One file."""


@contextlib.contextmanager
def open_source(path: Path) -> Iterator[BackupSource]:
    """A folder or a tar file that `open_target` wrote.

    Raises
    ------
    BackupRefused
        If it is neither.
    """
    if path.is_dir():
        yield FolderSource(path)
        return
    if not path.is_file() or not tarfile.is_tarfile(path):
        raise BackupRefused(str(path), "is no backup", "name the folder or the tar file")
    with tarfile.open(path) as tar:
        yield TarSource(path, tar)


class _Source:
    path: Path

    def opened(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        raise NotImplementedError

    def manifest(self) -> dict[str, Any]:
        """The manifest.

        Raises
        ------
        BackupRefused
            If there is none: the backup was never finished.
        """
        try:
            with self.opened(MANIFEST) as file:
                found: dict[str, Any] = json.load(file)
        except (OSError, KeyError, ValueError) as error:
            why = f"has no readable {MANIFEST} ({type(error).__name__}): it was never finished"
            raise BackupRefused(str(self.path), why, "take another backup") from error
        if found.get("backup_version") != VERSION:
            why = f"has version {found.get('backup_version')}, this release reads {VERSION}"
            raise BackupRefused(str(self.path), why, "use the release that made it")
        return found

    def sums(self) -> dict[str, str]:
        """Name -> SHA-256, as listed.

        Raises
        ------
        BackupRefused
            If the list is damaged.
        """
        name = self.manifest()["sums"]
        try:
            with self.opened(name) as file:
                text = file.read().decode()
        except (OSError, KeyError, ValueError) as error:
            why = f"cannot be read: {type(error).__name__}"
            raise BackupRefused(f"{self.path}: {name}", why, "take another backup") from error
        found: dict[str, str] = {}
        for line in text.splitlines():
            match = LINE.fullmatch(line)
            if match is None or NAME.fullmatch(match[2]) is None:
                raise BackupRefused(f"{self.path}: {name}", "is damaged", "take another backup")
            found[match[2]] = match[1]
        return found


class FolderSource(_Source):
    """A folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def opened(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """One file."""
        return (self.path / name).open("rb")


class TarSource(_Source):
    """A tar file."""

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self.path = path
        self._tar = tar

    def opened(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """One file."""
        file = self._tar.extractfile(name)
        if file is None:
            raise KeyError(name)
        return file


def check_sums(source: BackupSource, names: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Read every file and compare; yields each with its bytes.

    Raises
    ------
    BackupRefused
        At the first that is missing or another than was backed up.
    """
    for name, wanted in names.items():
        digest, size = hashlib.sha256(), 0
        try:
            with source.opened(name) as file:
                while chunk := file.read(CHUNK_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
        except (OSError, KeyError) as error:
            raise BackupRefused(
                name, "is missing from the backup", "take another backup"
            ) from error
        if digest.hexdigest() != wanted:
            raise BackupRefused(name, "is not what was backed up", "take another backup")
        yield name, size


class _Counted:
    """A file that digests what is read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


def _copy(reading: IO[bytes], writing: IO[bytes]) -> tuple[str, int]:
    counted = _Counted(reading)
    shutil.copyfileobj(counted, writing, CHUNK_BYTES)
    return counted.digest.hexdigest(), writing.tell()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lines(sums: dict[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
