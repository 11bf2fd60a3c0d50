"""What a measured process says of itself, and how it is started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from workers.errors import BenchmarkFailed


class Clock:
    """Wall and CPU seconds of named stages, one after the other.

    CPU seconds are those of all threads of the process: they hardly depend on what else the
    machine does, which wall seconds do.
    """

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self._name: str | None = None
        self._wall = self._cpu = 0.0

    def start(self, name: str) -> None:
        """End the stage that runs and begin another."""
        self.stop()
        self._name, self._wall, self._cpu = name, time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """End the stage that runs."""
        if self._name is not None:
            self.stages[self._name] = {
                "wall_s": time.perf_counter() - self._wall,
                "cpu_s": time.process_time() - self._cpu,
            }
        self._name = None


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, MB.

    From the kernel's count for this address space: `getrusage` would count what the parent
    held when it started this process.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024.0
    raise OSError("/proc/self/status tells no VmHWM: peak memory is measured on Linux only")


def run_fresh(module: str, *arguments: str) -> dict[str, Any]:
    """Run a module in a process of its own, and read the JSON that it prints last.

    Returns
    -------
    dict
        With ``load_before``, the machine's load average in the minute before it.

    Raises
    ------
    BenchmarkFailed
        If it ends with an error.
    """
    load = os.getloadavg()[0]
    # Told by arguments alone: the setting or shell of whoever measures must not matter.
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode:
        raise BenchmarkFailed(module, done.stderr.strip().splitlines()[-1:] or ["no message"])
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result | {"load_before": load}
