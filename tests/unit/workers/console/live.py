"""`pulmonode console` as a process of its own on loopback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

START_LIMIT_S = 60.0
LINK = re.compile(r"https?://\S+/link/(\S+)")


class LiveConsole:
    """The process, from its start to its end.

    Attributes
    ----------
    url : str
        By which it is asked, once it has started.
    """

    def __init__(self, data: Path, folder: Path, environment: Mapping[str, str] = {}) -> None:
        self._out, self._log = folder / "console.out", folder / "console.log"
        self._environment = {
            **os.environ,
            "PULMONODE_DATA_DIR": str(data),
            "PULMONODE_CONSOLE_PORT": "0",
            "PULMONODE_DISK_RESERVE_BYTES": "0",
            "PULMONODE_CALLING_AE_TITLES": "PACS",
            **environment,
        }
        self.url = ""

    def __enter__(self) -> Self:
        with self._out.open("wb") as out, self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.cli.main", "console"],
                env=self._environment,
                stdout=out,
                stderr=log,
            )
        started = self._wait_for("console_started")
        scheme = "https" if "PULMONODE_CONSOLE_TLS_KEY" in self._environment else "http"
        self.url = f"{scheme}://127.0.0.1:{started['port']}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)

    @property
    def printed(self) -> str:
        """What it wrote to standard output."""
        return self._out.read_text()

    @property
    def log(self) -> list[dict[str, object]]:
        """Its log, line by line."""
        lines = self._log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    @property
    def raw_log(self) -> str:
        """Its log as it stands."""
        return self._log.read_text()

    def _wait_for(self, event: str) -> dict[str, object]:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            for line in self.log:
                if line["event"] == event:
                    return line
            assert self.process.poll() is None, self.raw_log
            time.sleep(0.05)
        raise AssertionError(f"no {event} within {START_LIMIT_S} s: {self.raw_log}")
