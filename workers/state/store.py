"""The object store: received instances and final results, by key.

Two kinds, told apart by the URL. A folder (local, or a shared file system) is written with
fsync of file and directory. Anything else that fsspec knows (``s3://bucket/prefix``) is
written through fsspec, whose back ends acknowledge an object only when it is kept whole.

Keys are relative paths with forward slashes::

    instances/<study>/<series>/<inbox name>   as received; names sort in order of arrival
    results/<2 hex digits>/<SHA-256>.<suffix> named by content, so writing twice is harmless
    records/<series>/<revision>.json          which of these belong to which result
    answers/<series>/<moment>-<digest>.json   what somebody said at the command line

Deliberately absent: any knowledge of what the objects mean, and of which may be removed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlparse

from workers.errors import ObjectChanged, ObjectMissing, StoreUnavailable

TRANSFERS_AT_ONCE = 8
NETWORK_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "s3": {
        "config_kwargs": {
            "connect_timeout": 5,
            "read_timeout": 10,
            "retries": {"max_attempts": 2, "mode": "standard"},
        }
    }
}
"""What keeps a dead store from holding a process for minutes, by protocol."""
RETRIES = "retries"
"""s3fs tries everything five times by this attribute, beside what its client tries: too often."""
CALL_LIMIT_S = 25.0
SLOWEST_BYTES_PER_S = 100_000
"""An upload may take so much longer than `CALL_LIMIT_S`."""
READ_BYTES = 10_000_000
"""What a read is given the time for; how much comes is not known before."""
LISTING_BYTES = 60_000_000
"""A listing of everything counts as so much: ten minutes."""
PREFIXES = ("instances", "results", "records", "answers")
"""First parts of all keys but the probe's."""
PROBE = "probe"
NO_HARD_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK})


class ObjectStore(Protocol):
    """Where objects are kept, for every process on every host."""

    def put_file(self, key: str, source: Path) -> None:
        """Keep a local file under a key, durably; one that is there whole already stays."""

    def put_bytes(self, key: str, data: bytes) -> None:
        """Keep bytes under a key, durably; what stood there is replaced."""

    def get_bytes(self, key: str) -> bytes:
        """Read an object."""

    def exists(self, key: str) -> bool:
        """Tell whether a key is taken."""

    def keys(self, prefix: str) -> list[str]:
        """Every key below a prefix, sorted by its last part: for instances, by arrival."""

    def local_files(self, keys: Sequence[str], scratch: Path) -> list[Path]:
        """Readable files on this host, in the order of `keys`; fetched into `scratch` if need be.

        The caller owns `scratch` and must not change the files. One that is not there raises
        `ObjectMissing`.
        """

    def remove(self, keys: Sequence[str]) -> None:
        """Let objects go; what is not there already is no error."""

    def probe(self) -> None:
        """Raise `StoreUnavailable` when nothing can be kept now."""

    def describe(self, key: str) -> str:
        """Where a person finds an object."""


def open_store(url: str) -> ObjectStore:
    """Open the store at a path, ``file://`` URL or fsspec URL.

    Raises
    ------
    StoreUnavailable
        If the folder cannot be made, or the protocol needs a package that is not installed.
    """
    parts = urlparse(url)
    if parts.scheme in {"", "file"}:
        return FolderStore(Path(unquote(parts.path)))
    return FsspecStore(url)


def put_content(store: ObjectStore, data: bytes, suffix: str) -> tuple[str, str]:
    """Keep a result under its own SHA-256; returns (key, SHA-256)."""
    digest = hashlib.sha256(data).hexdigest()
    key = f"results/{digest[:2]}/{digest}{suffix}"
    if not store.exists(key):
        store.put_bytes(key, data)
    return key, digest


def get_content(store: ObjectStore, key: str, sha256: str) -> bytes:
    """Read a result and check that it is what was kept.

    Raises
    ------
    ObjectChanged
        If it is not.
    ObjectMissing, StoreUnavailable
        If it cannot be read.
    """
    data = store.get_bytes(key)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ObjectChanged(store.describe(key), sha256)
    return data


class FolderStore:
    """Objects as files below a folder, each durable before it is named."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with _translated(str(root)):
            root.mkdir(parents=True, exist_ok=True)

    def put_file(self, key: str, source: Path) -> None:
        """Keep a local file: a second name for it where the file system can, else a copy."""
        target = self.root / key
        with _translated(str(target)):
            if target.exists():
                return
            _make_folder(target.parent, self.root)
            try:
                os.link(source, target)
            except FileExistsError:
                return
            except OSError as error:
                if error.errno not in NO_HARD_LINKS:
                    raise
                write_durably(target, source.read_bytes())
                shutil.copystat(source, target)
            _sync_folder(target.parent)

    def put_bytes(self, key: str, data: bytes) -> None:
        """Write beside, fsync, rename, fsync the folder."""
        target = self.root / key
        with _translated(str(target)):
            _make_folder(target.parent, self.root)
            write_durably(target, data)
            _sync_folder(target.parent)

    def get_bytes(self, key: str) -> bytes:
        """Read a file."""
        with _translated(self.describe(key), reads=True):
            return (self.root / key).read_bytes()

    def exists(self, key: str) -> bool:
        """Tell whether the file is there."""
        with _translated(self.describe(key)):
            return (self.root / key).exists()

    def keys(self, prefix: str) -> list[str]:
        """Every file below the prefix."""
        with _translated(self.describe(prefix)):
            found = [
                path.relative_to(self.root).as_posix()
                for path in (self.root / prefix).rglob("*")
                if path.is_file() and not path.name.startswith(".")
            ]
        return sorted(found, key=_arrival)

    def local_files(self, keys: Sequence[str], scratch: Path) -> list[Path]:
        """The files themselves: nothing is copied."""
        del scratch
        paths = [self.root / key for key in keys]
        for path in paths:  # a share that is not mounted must not look like a bad series
            with _translated(str(path), reads=True):
                path.stat()
        return paths

    def remove(self, keys: Sequence[str]) -> None:
        """Unlink, and take away folders that are empty then."""
        with _translated(str(self.root)):
            self.root.stat()  # a share that is not mounted has lost nothing
        for key in keys:
            target = self.root / key
            with _translated(str(target)):
                target.unlink(missing_ok=True)
        for folder in {(self.root / key).parent for key in keys}:
            _remove_empty(folder, self.root)

    def probe(self) -> None:
        """Write a small file."""
        self.put_bytes(PROBE, b"")

    def describe(self, key: str) -> str:
        """The path."""
        return str(self.root / key)


class FsspecStore:
    """Objects in a store that fsspec has a back end for."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        with _translated(self._url):
            import fsspec  # here, because only this store needs it

            protocol = urlparse(url).scheme
            self._files, self._root = fsspec.core.url_to_fs(
                self._url, use_listings_cache=False, **NETWORK_OPTIONS.get(protocol, {})
            )
            if hasattr(self._files, RETRIES):
                setattr(self._files, RETRIES, 1)

    def _do(self, name: str, *arguments: Any, size_bytes: int = 0) -> Any:
        """One call of the file system, given up when it takes too long.

        The client's own limits do not hold everywhere: an upload that waits for leave to begin
        (``Expect: 100-continue``) waits for ever.
        """
        if not getattr(self._files, "async_impl", False):
            return getattr(self._files, name)(*arguments)
        from fsspec.asyn import sync

        limit_s = CALL_LIMIT_S + size_bytes / SLOWEST_BYTES_PER_S
        coroutine = getattr(self._files, f"_{name}")
        return sync(self._files.loop, coroutine, *arguments, timeout=limit_s)

    def put_file(self, key: str, source: Path) -> None:
        """Upload a file, unless all of it is there: not every back end is all or nothing."""
        with _translated(self.describe(key)):
            if self._size(key) != source.stat().st_size:
                size_bytes = source.stat().st_size
                self._do("put_file", str(source), self._path(key), size_bytes=size_bytes)

    def put_bytes(self, key: str, data: bytes) -> None:
        """Upload bytes."""
        with _translated(self.describe(key)):
            self._do("pipe_file", self._path(key), data, size_bytes=len(data))

    def get_bytes(self, key: str) -> bytes:
        """Download an object."""
        with _translated(self.describe(key), reads=True):
            return bytes(self._do("cat_file", self._path(key), size_bytes=READ_BYTES))

    def exists(self, key: str) -> bool:
        """Ask for an object."""
        with _translated(self.describe(key)):
            return bool(self._do("exists", self._path(key)))

    def keys(self, prefix: str) -> list[str]:
        """List what stands below the prefix."""
        with _translated(self.describe(prefix)):
            found = self._do("find", self._path(prefix), size_bytes=LISTING_BYTES)
        return sorted((path[len(self._root) + 1 :] for path in found), key=_arrival)

    def local_files(self, keys: Sequence[str], scratch: Path) -> list[Path]:
        """Download, some at a time."""
        scratch.mkdir(parents=True, exist_ok=True)
        targets = [scratch / f"{number:06d}-{Path(key).name}" for number, key in enumerate(keys)]

        def fetch(pair: tuple[str, Path]) -> None:
            key, target = pair
            with _translated(self.describe(key), reads=True):
                self._do("get_file", self._path(key), str(target), size_bytes=READ_BYTES)

        with ThreadPoolExecutor(TRANSFERS_AT_ONCE) as pool:
            list(pool.map(fetch, zip(keys, targets, strict=True)))
        return targets

    def remove(self, keys: Sequence[str]) -> None:
        """Delete, some at a time."""

        def delete(key: str) -> None:
            with _translated(self.describe(key)):
                try:
                    self._do("rm_file", self._path(key))
                except FileNotFoundError:
                    self.probe()  # the object, or the whole bucket?

        with ThreadPoolExecutor(TRANSFERS_AT_ONCE) as pool:
            list(pool.map(delete, keys))

    def probe(self) -> None:
        """Write a small object."""
        self.put_bytes(PROBE, b"probe")

    def describe(self, key: str) -> str:
        """The object's URL."""
        return f"{self._url}/{key}"

    def _size(self, key: str) -> int | None:
        """Bytes that an object holds; `None` when there is none."""
        try:
            size: int | None = self._do("info", self._path(key))["size"]
        except FileNotFoundError:
            return None
        return size

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"


def _arrival(key: str) -> tuple[str, str]:
    return key.rsplit("/", 1)[-1], key


@contextlib.contextmanager
def _translated(where: str, *, reads: bool = False) -> Iterator[None]:
    """Make a `StoreUnavailable` of whatever goes wrong in the store.

    What is not found is an `ObjectMissing` to whoever reads an object; to a writer it says that
    the folder or the bucket itself is gone.

    This is the edge to foreign code: each of fsspec's back ends raises what its own client
    raises, with no base class in common.
    """
    try:
        yield
    except Exception as error:
        if reads and isinstance(error, FileNotFoundError):
            raise ObjectMissing(where) from error
        raise StoreUnavailable(where, f"{type(error).__name__}: {error}"[:300]) from error


def _make_folder(folder: Path, root: Path) -> None:
    """Make a folder and force its name, and its parents' names, to disk."""
    missing = []
    while folder != root and not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        _sync_folder(path.parent)


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder and its parents as far as nothing is left in them."""
    with contextlib.suppress(OSError):  # not empty, or gone already
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def write_durably(target: Path, data: bytes) -> None:
    """Write a file whole, or not at all; the caller forces the folder's name of it to disk."""
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
