"""Where audit messages wait for the repository: one file each, durable, sent in order.

A folder and no table: what the node refuses is told though the database is away.
"""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path

from dicom_node.audit.message import AuditMessage, Outcome

SUFFIX = ".xml"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits; names sort in order of time."""

    path: Path

    @property
    def made_at(self) -> float:
        """Seconds since the epoch."""
        return int(self.path.name.split("-", 1)[0]) / 1e9

    @property
    def is_warning(self) -> bool:
        """Whether it tells of a failure."""
        return self.path.name.endswith(f"-w{SUFFIX}")


class AuditSpool:
    """The folder of one host's waiting messages."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / "audit"

    def make_folder(self) -> None:
        """Make it, and the data folder that it stands in, for our user alone.

        Raises
        ------
        OSError
            If the disk does not let us.
        """
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def put(self, message: AuditMessage) -> None:
        """Keep a message, durably.

        Raises
        ------
        OSError
            If the disk does not take it.
        """
        self.make_folder()
        kind = "n" if message.outcome is Outcome.SUCCESS else "w"
        name = f"{time.time_ns():020d}-{os.getpid()}.{next(_numbers)}-{kind}"
        partial = self.folder / f"{name}.part"
        with partial.open("xb") as file:
            file.write(message.to_xml())
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self.folder / f"{name}{SUFFIX}")
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def waiting(self) -> list[Waiting]:
        """All that wait, oldest first."""
        if not self.folder.exists():
            return []
        return [Waiting(path) for path in sorted(self.folder.glob(f"*{SUFFIX}"))]

    def remove(self, item: Waiting) -> None:
        """Forget a message that was sent."""
        item.path.unlink(missing_ok=True)


_numbers = itertools.count()
