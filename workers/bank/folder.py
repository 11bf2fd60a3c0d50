"""A bank on disk, as it may be cut off at any moment and still be whole.

::

    versions/NNNN-<sha8>.safetensors   banks, never changed once written
    current                            which of them counts, as `sha256sum --check` reads it
    candidates/<case>.json             cases that wait for an answer or a second person
    pictures/<case>.png                of the site's own cases, where their CT was there
    history.jsonl                      every change
    site.json, salt                    prefix of case numbers; secret of the digests (mode 0600)
    lock                               held by the one command that changes something

A change is staged beside its place and fsynced, then written into the history, then renamed
into place. Cut off in between, the old state counts, and the next change notes it.

Deliberately absent: what a change means (`changes`), and the deletion of any version.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from inference.errors import BankRefused
from workers.bank.anonymous import SALT_BYTES
from workers.bank.history import INTERRUPTED, Event, append_event, make_event, read_events
from workers.errors import BankChangeRefused, BankInUse

UNFINISHED = ".new-"
"""Begins the names of folders in which a bank is made."""
PREFIX = re.compile(r"[A-Z][A-Z0-9]{1,11}")
OWN_CASE = re.compile(rf"{PREFIX.pattern}-\d{{4,9}}")
"""Name of a case that is the site's own."""
POINTER = re.compile(r"([0-9a-f]{64})  versions/((\d{4,})-[0-9a-f]{8}\.safetensors)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class BankFile:
    """A bank's file.

    Attributes
    ----------
    number : int
        Of the version; 0 for the shipped bank.
    path : Path
    sha256 : str
        What the file must have.
    """

    number: int
    path: Path
    sha256: str


class BankFolder:
    """The folder of a site's bank; nothing is read before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.versions_dir = path / "versions"
        self.candidates_dir = path / "candidates"
        self.pictures_dir = path / "pictures"
        self.history_path = path / "history.jsonl"

    def current(self) -> BankFile | None:
        """Which version counts, or `None` before the first.

        Raises
        ------
        BankRefused
            If the pointer is damaged.
        """
        pointer = self.path / "current"
        if not pointer.exists():
            return None
        found = POINTER.fullmatch(pointer.read_text(errors="replace"))
        if found is None:
            raise BankRefused(
                str(pointer),
                "is damaged: restore it from a backup; 'pulmonode bank history' says which counts",
            )
        return BankFile(number=int(found[3]), path=self.versions_dir / found[2], sha256=found[1])

    def need_current(self) -> BankFile:
        """Which version counts.

        Raises
        ------
        BankRefused
            If there is none, or the pointer is damaged.
        """
        found = self.current()
        if found is None:
            raise BankRefused(
                str(self.path),
                "holds no current version: 'pulmonode bank init' makes the first; is the folder "
                "the right one, and mounted?",
            )
        return found

    def events(self) -> tuple[Event, ...]:
        """The history, oldest first."""
        return read_events(self.history_path)

    def versions(self) -> dict[int, BankFile]:
        """Every version that once was current."""
        return {
            event.version: self._file(event.version, event.bank_sha256)
            for event in self.finished_events()
            if event.version is not None and event.bank_sha256 is not None
        }

    def finished_events(self) -> tuple[Event, ...]:
        """The history without what did not take place."""
        events = self.events()
        after = (*events[1:], None)
        return tuple(
            event
            for event, following in zip(events, after, strict=True)
            if event.what != INTERRUPTED and (following is None or following.what != INTERRUPTED)
        )

    def prefix(self) -> str:
        """With which the site's case numbers begin."""
        path = self.path / "site.json"
        try:
            prefix = str(json.loads(path.read_bytes())["prefix"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BankRefused(str(path), f"cannot be read: {error}") from error
        return prefix

    def salt(self) -> bytes:
        """The secret of the digests.

        Raises
        ------
        BankRefused
            If it is gone: a patient could not be told from another any more.
        """
        path = self.path / "salt"
        if not path.is_file():
            raise BankRefused(
                str(path), "is missing: restore it from a backup, a new one would not fit"
            )
        return path.read_bytes()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Be the only one who changes the bank; first tidies up after a change that was cut off.

        Raises
        ------
        BankInUse
            If another command holds it.
        """
        for folder in (self.path, self.versions_dir, self.candidates_dir):
            folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o640)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BankInUse(str(self.path)) from error
            self._tidy()
            yield
        finally:
            os.close(descriptor)

    def begin_site(self, prefix: str) -> None:
        """Write the prefix, and the salt unless there is one.

        Raises
        ------
        BankChangeRefused
            If the prefix is not two to twelve capital letters and digits.
        """
        if PREFIX.fullmatch(prefix) is None:
            raise BankChangeRefused(
                "--prefix", f"{prefix} will not do", "two to twelve capital letters and digits"
            )
        salt = self.path / "salt"
        if not salt.exists():
            put(salt, os.urandom(SALT_BYTES), mode=0o600)
        put(self.path / "site.json", json.dumps({"prefix": prefix}).encode() + b"\n")

    def put_version(self, data: bytes) -> BankFile:
        """Write a bank's bytes as the next version; it does not count yet."""
        taken = [int(path.name.split("-")[0]) for path in self.versions_dir.glob("[0-9]*-*")]
        made = self._file(max(taken, default=0) + 1, hashlib.sha256(data).hexdigest())
        put(made.path, data)
        return made

    def point_to(self, version: BankFile, event: Event) -> None:
        """Make a version count."""
        text = f"{version.sha256}  versions/{version.path.name}\n"
        done = replace(event, version=version.number, bank_sha256=version.sha256)
        self.change("current", text.encode(), done)

    def change(self, name: str, data: bytes, event: Event) -> None:
        """Put a file into place, with its line in the history."""
        target = self.path / name
        stage(target, data)
        digest = hashlib.sha256(data).hexdigest()
        append_event(self.history_path, replace(event, file=name, sha256=digest))
        _settle(target)

    def _tidy(self) -> None:
        """Note a change whose last step is missing; take away what it left."""
        staged = [
            path
            for folder in (self.path, self.candidates_dir)
            for path in folder.glob(".*.partial")
        ]
        events = self.events()
        last = events[-1] if events else None
        if last is not None and last.what != INTERRUPTED:
            place = self.path / last.file
            found = hashlib.sha256(place.read_bytes()).hexdigest() if place.is_file() else ""
            if found != last.sha256:
                if _partial(place) not in staged:
                    raise BankRefused(
                        str(place), "is not what the history says: restore it from a backup"
                    )
                note = f"the {last.what} before was cut off: all is as it was"
                append_event(
                    self.history_path,
                    make_event(INTERRUPTED, "pulmonode", cases=last.cases, why=note),
                )
        for path in (*staged, *self.versions_dir.glob(".*.partial")):
            path.unlink()
        for left in self.path.glob(f"{UNFINISHED}*"):
            shutil.rmtree(left)

    def _file(self, number: int, sha256: str) -> BankFile:
        name = f"{number:04d}-{sha256[:8]}.safetensors"
        return BankFile(number=number, path=self.versions_dir / name, sha256=sha256)


def put(target: Path, data: bytes, *, mode: int = 0o640) -> None:
    """Write a file whole or not at all; on disk when this returns."""
    stage(target, data, mode=mode)
    _settle(target)


def stage(target: Path, data: bytes, *, mode: int = 0o640) -> None:
    """Write the bytes beside their place and onto the disk."""
    descriptor = os.open(_partial(target), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _settle(target: Path) -> None:
    os.replace(_partial(target), target)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _partial(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")
