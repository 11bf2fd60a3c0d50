"""What is to break, where and when; and the proof that it did."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from dicom_node.barriers import Barrier
from tests.integration.service import wait_for

INJECT = Path(__file__).parent / "inject"
HIT_LIMIT_S = 120.0


@dataclass
class FaultPlan:
    """The folder that the service's processes look into."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "doubling").touch()

    @property
    def environment(self) -> dict[str, str]:
        """For the service's processes."""
        path = os.pathsep.join(filter(None, (str(INJECT), os.environ.get("PYTHONPATH"))))
        return {"FAULT_FOLDER": str(self.folder), "PYTHONPATH": path}

    def arm(self, barrier: Barrier, action: str, *, after: int = 0, error: str = "EIO") -> None:
        """Strike at a barrier, once, after some passages."""
        order = {"action": action, "after": after, "errno": error}
        partial = self.folder / f".{barrier}"
        partial.write_text(json.dumps(order))
        partial.rename(self.folder / f"{barrier}.json")

    def disarm(self, barrier: Barrier) -> None:
        """Let it be passed; it can be armed again then."""
        for name in (f"{barrier}.json", f"{barrier}.hit"):
            (self.folder / name).unlink(missing_ok=True)

    def hits(self, barrier: Barrier) -> int:
        """How often it struck: 0 or 1; a hold that ended by itself does not count."""
        ended_early = (self.folder / f"{barrier}.expired").exists()
        return int((self.folder / f"{barrier}.hit").exists() and not ended_early)

    def wait_for_hit(self, barrier: Barrier) -> None:
        wait_for(lambda: self.hits(barrier), limit_s=HIT_LIMIT_S, message=f"{barrier} is reached")

    def let_go(self, barrier: Barrier) -> None:
        """End a hold."""
        (self.folder / f"{barrier}.go").touch()

    def shift_clock(self, seconds: float) -> None:
        """Set the service's wall clock ahead (or back) of the real one."""
        partial = self.folder / ".clock"
        partial.write_text(str(seconds))
        partial.rename(self.folder / "clock_offset_s")

    def double_messages(self) -> None:
        (self.folder / "twice").touch()

    def doubled(self) -> list[str]:
        """Queues of the messages that were doubled."""
        return (self.folder / "twice").read_text().split()

    def clear(self) -> None:
        """Let everything be as it should."""
        for path in self.folder.iterdir():
            if path.suffix == ".json":
                path.unlink()
        for path in self.folder.iterdir():
            if (
                path.suffix in {".hit", ".go", ".expired"}
                or ".passed" in path.name
                or path.name == "twice"
            ):
                path.unlink(missing_ok=True)
        self.shift_clock(0.0)
