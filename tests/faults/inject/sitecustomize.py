"""Faults inside the service's processes; Python imports this because it stands on PYTHONPATH.

The fault tests arm a point of `dicom_node.barriers` by a file in the folder that
``FAULT_FOLDER`` names. The process that reaches it leaves a ``.hit`` file with its number, so
that the test can prove what it broke, and does what the file says. Without the variable, and
without a file, nothing happens.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

HOLD_LIMIT_S = 240.0
LOOK_S = 0.02


def strike(folder: Path, name: str) -> None:
    plan = folder / f"{name}.json"
    if not plan.exists():
        return
    order = json.loads(plan.read_text())
    if not _is_my_turn(folder, name, int(order.get("after", 0))):
        return
    action = order["action"]
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "kill_parent":
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "error":
        number = getattr(errno, order["errno"])
        raise OSError(number, os.strerror(number))
    elif action == "hold":
        deadline = time.monotonic() + HOLD_LIMIT_S
        while not (folder / f"{name}.go").exists():
            if time.monotonic() >= deadline:
                (folder / f"{name}.expired").touch()
                return
            time.sleep(LOOK_S)


def _is_my_turn(folder: Path, name: str, after: int) -> bool:
    """Let `after` passages go by; then strike once, whichever process comes first."""
    for number in range(after + 1):
        mark = folder / (f"{name}.hit" if number == after else f"{name}.passed{number}")
        try:
            descriptor = os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            continue
        os.write(descriptor, str(os.getpid()).encode())
        os.close(descriptor)
        return number == after
    return False


def shift_clock(folder: Path) -> None:
    """Let the wall clock show what the test wants (never the monotonic one)."""
    real, real_ns = time.time, time.time_ns
    offset_file = folder / "clock_offset_s"
    known: list[float] = [0.0, -1.0]  # offset, when it was read

    def offset_s() -> float:
        if time.monotonic() - known[1] > LOOK_S:
            try:
                known[0] = float(offset_file.read_text())
            except (OSError, ValueError):
                known[0] = 0.0
            known[1] = time.monotonic()
        return known[0]

    time.time = lambda: real() + offset_s()
    time.time_ns = lambda: real_ns() + int(offset_s() * 1e9)


def double_messages(folder: Path) -> None:
    """Give every message to the broker twice while the file ``twice`` is there."""
    from kombu.transport import redis as transport

    put = transport.Channel._put

    def put_twice(self: Any, queue: str, message: Any, **options: Any) -> Any:
        if (folder / "twice").exists():
            put(self, queue, message, **options)
            with (folder / "twice").open("a") as file:
                file.write(f"{queue}\n")
        return put(self, queue, message, **options)

    transport.Channel._put = put_twice


def install(folder: Path) -> None:
    shift_clock(folder)
    from dicom_node import barriers

    barriers.install(lambda barrier: strike(folder, str(barrier)))
    if (folder / "doubling").exists():
        double_messages(folder)


if "FAULT_FOLDER" in os.environ:
    install(Path(os.environ["FAULT_FOLDER"]))
