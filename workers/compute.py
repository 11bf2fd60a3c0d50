"""What an analysis may use of this machine: cores, and the engine that runs the networks."""

from __future__ import annotations

import os
from pathlib import Path

from inference.engine_options import EngineOptions
from workers.settings import THREADS_AT_MOST, Settings

CGROUPS = Path("/sys/fs/cgroup")


def available_cpus(cgroups: Path = CGROUPS) -> int:
    """Cores that this process may use: its affinity, cut to the container's quota.

    Parameters
    ----------
    cgroups : Path
        Where the kernel shows its limits, version 2 or 1.

    Returns
    -------
    int
        At least 1. A quota of one and a half cores counts as 2.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroups)
    if quota is not None:
        cpus = min(cpus, -int(-quota // 1))
    return max(1, cpus)


def _quota(cgroups: Path) -> float | None:
    """Cores that a container may use on average; `None` without a limit."""
    try:
        if (cgroups / "cpu.max").exists():
            quota, period = (cgroups / "cpu.max").read_text().split()
        else:
            quota = (cgroups / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroups / "cpu" / "cpu.cfs_period_us").read_text().strip()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no cgroups here, or "max"
        return None


def threads_for(settings: Settings, *, processes: int = 1) -> int:
    """Threads for each of some processes that analyse at the same time on this machine."""
    return settings.threads or min(THREADS_AT_MOST, max(1, available_cpus() // processes))


def engine_options(settings: Settings) -> EngineOptions:
    """The settings as `inference` takes them."""
    return EngineOptions(
        backend=settings.backend, device=settings.device, threads=threads_for(settings)
    )
