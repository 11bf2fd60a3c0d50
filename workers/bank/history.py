"""Who changed the bank, when, what and why: one line of JSON per change, only ever added to.

Each line carries a digest of the line before it, so that an edited or lost line is seen.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference.errors import BankRefused
from workers.clock import now

INTERRUPTED = "interrupted"
PREVIOUS_LETTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change.

    Attributes
    ----------
    what : str
        ``init``, ``add``, ``outcome``, ``withdraw``, ``promote``, ``remove``, ``import``,
        ``rollback`` or ``interrupted`` (the change before did not take place).
    by, account : str
        The name that was given, and the account of the operating system.
    at : str
        UTC, ISO 8601.
    cases : tuple of str
    why : str
    version, parent : int, optional
        Which version became current, made from which; of changes to the bank itself.
    bank_sha256 : str, optional
        Of that version's file.
    file, sha256 : str
        What was put into place last, below the bank's folder, and its digest.
    facts : dict
        What else is to be known: evidence, preview.
    """

    what: str
    by: str
    account: str
    at: str
    cases: tuple[str, ...] = ()
    why: str = ""
    version: int | None = None
    parent: int | None = None
    bank_sha256: str | None = None
    file: str = ""
    sha256: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def make_event(what: str, by: str, **values: Any) -> Event:
    """An event of this moment and this account."""
    return Event(what=what, by=by, account=_account(), at=moment(), **values)


def moment() -> str:
    """Now, UTC, to the second."""
    return datetime.fromtimestamp(now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def append_event(path: Path, event: Event) -> None:
    """Add a line; on disk when this returns.

    A last line that was cut off by a crash is taken away first: its change never began.
    """
    data = path.read_bytes() if path.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    lines = whole.splitlines()
    line = {"previous": _digest(lines[-1]) if lines else "", **asdict(event)}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        file.truncate(len(whole))
        file.seek(len(whole))
        file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_events(path: Path) -> tuple[Event, ...]:
    """All whole lines, oldest first.

    Raises
    ------
    BankRefused
        If a line is damaged, or does not follow from the one before.
    """
    data = path.read_bytes() if path.exists() else b""
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    events = []
    before = ""
    for number, line in enumerate(lines, start=1):
        try:
            values = json.loads(line)
            previous = values.pop("previous")
            event = Event(**{**values, "cases": tuple(values["cases"])})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BankRefused(str(path), f"cannot be read, line {number}: {error}") from error
        if previous != before:
            raise BankRefused(
                str(path),
                f"was edited: line {number} does not follow from the one before; restore it from "
                "a backup",
            )
        events.append(event)
        before = _digest(line)
    return tuple(events)


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()[:PREVIOUS_LETTERS]


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"uid {os.getuid()}"
