"""Child processes of `pulmonode up`: started, started again when they die, never left behind."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from workers.errors import FolderInUse

log = structlog.get_logger()

SUPERVISOR_PID = "PULMONODE_SUPERVISOR_PID"
PR_SET_PDEATHSIG = 1
"""prctl(2): a signal for this process when its parent dies."""
STOP_GRACE_S = 20.0
LONG_LIVED_S = 10.0
"""A process that lived so long did not die of how it was started."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LOOK_S = 1.0
"""Between two looks whether everything runs."""
COMMAND = "workers.cli.start"
"""The module that is `pulmonode`."""


@dataclass(slots=True)
class Child:
    """One `pulmonode` process that is kept running.

    `module` is another than the command's only where a benchmark replaces it.
    """

    name: str
    arguments: tuple[str, ...]
    module: str = COMMAND
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    not_before: float = 0.0

    def keep_running(self) -> None:
        """Start the process when it does not run; one that keeps dying waits longer each time."""
        if self.process is not None and self.process.poll() is None:
            return
        now = time.monotonic()
        if self.process is not None:
            log.error("process_died", process=self.name, outcome=str(self.process.returncode))
            self.process = None
            lived_long = now - self.started_at >= LONG_LIVED_S
            self.pause_s = FIRST_PAUSE_S if lived_long else min(LONGEST_PAUSE_S, self.pause_s * 2)
            self.not_before = now + self.pause_s
        if now >= self.not_before:
            self.started_at = now
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, *self.arguments],
                env={**os.environ, **self.environment, SUPERVISOR_PID: str(os.getpid())},
            )


def stop_children(children: Sequence[Child]) -> None:
    """Ask all of them to end, and kill those that do not."""
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + STOP_GRACE_S
    for process in running:
        try:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def hold_folder(folder: Path) -> None:
    """Make the data folder and keep it for this process, for as long as it lives.

    Raises
    ------
    FolderInUse
        If another process holds it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise FolderInUse(str(folder)) from error


def end_with_supervisor() -> None:
    """In a child: be terminated when `pulmonode up` dies, even by SIGKILL.

    Else its processes would stay behind and hold the DICOM port against the next start.
    """
    supervisor = os.environ.get(SUPERVISOR_PID)
    if supervisor is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != int(supervisor):  # it died before we asked
        raise SystemExit("the supervising process is gone")


def stop_on_signal() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop
