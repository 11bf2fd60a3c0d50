"""systemd's units read as systemd reads them, as far as a test needs, and run without it."""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPOSITORY

UNITS = REPOSITORY / "deploy/systemd"
HARDENING = UNITS / "pulmonode-.service.d/hardening.conf"
INSTALLED = "/opt/pulmonode/bin/pulmonode"
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, PR_CAPBSET_DROP = 38, 65, 24
LAST_CAPABILITY = 40


def directives(path: Path) -> list[tuple[str, str]]:
    """(Name, value) in their order; comments left out."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return [
        (line.split("=", 1)[0], line.split("=", 1)[1])
        for line in lines
        if "=" in line and not line.startswith(("#", ";"))
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A service as its unit and the drop-in say."""

    name: str
    instance: str = ""

    def _all(self) -> list[tuple[str, str]]:
        return directives(UNITS / f"{self.name}.service") + directives(HARDENING)

    def value(self, name: str) -> str:
        """The last value of a directive; empty when there is none."""
        return next((value for key, value in reversed(self._all()) if key == name), "")

    def environment(self, files: Path) -> dict[str, str]:
        """Environment= and EnvironmentFile=, whose folder is `files` here."""
        found: dict[str, str] = {}
        for name, value in self._all():
            if name == "Environment":
                found |= dict(part.split("=", 1) for part in shlex.split(value))
        for name, value in self._all():
            if name == "EnvironmentFile":
                path = files / Path(value.replace("%i", self.instance)).name
                found |= dict(directives(path))
        return found

    def command(self, program: str, environment: Mapping[str, str]) -> list[str]:
        """ExecStart= with its variables put in, as systemd does."""
        words = self.value("ExecStart").split()
        assert words[0] == INSTALLED
        return [program, *(
            environment[word[2:-1]] if word.startswith("${") else word for word in words[1:]
        )]  # fmt: skip

    def stop_limit_s(self) -> float:
        return float(self.value("TimeoutStopSec"))

    def start(
        self, program: str, environment: Mapping[str, str], files: Path, log: Path
    ) -> subprocess.Popen[bytes]:
        """Start it as systemd would: its environment and no other, no privileges, no capability."""
        own = {**self.environment(files), **environment}
        deny = self.value("MemoryDenyWriteExecute") == "yes"
        assert self.value("NoNewPrivileges") == "yes"
        assert self.value("CapabilityBoundingSet") == ""
        with log.open("ab") as output:
            return subprocess.Popen(
                self.command(program, own),
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **own},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=int(self.value("UMask"), 8),
                preexec_fn=lambda: _restrict(deny_write_execute=deny),
            )

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        """SIGTERM to the first process (KillMode=mixed); its exit status."""
        assert self.value("KillMode") == "mixed"
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=self.stop_limit_s())


def _restrict(*, deny_write_execute: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if deny_write_execute:
        libc.prctl(PR_SET_MDWE, 1, 0, 0, 0)  # EINVAL before Linux 6.3
