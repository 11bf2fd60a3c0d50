"""`pulmonode bench detection`: how long finding and measuring nodules takes, and how much memory.

Every run is a process of its own. The methods take turns, so that what else the machine does
falls on all of them; medians are told, with the load average beside them.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.phantom import PhantomSpec
from workers.bench.chest import CHEST, chest_file
from workers.bench.process import run_fresh
from workers.errors import BenchmarkFailed

WORK = ("lungs", "candidates", "nodules", "measurements", "lobes")
"""Stages that every series takes; ``start`` is once for each process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A detector on an engine."""

    name: str
    detector: str
    backend: str = "auto"
    device: str = "cpu"


METHODS = (
    Method(name="trained, openvino", detector="trained", backend="openvino"),
    Method(name="trained, onnxruntime", detector="trained", backend="onnxruntime"),
    Method(name="trained, torch", detector="trained", backend="torch"),
    Method(name="classical", detector="classical"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """What to measure.

    Attributes
    ----------
    folder : Path
        Where the volume is kept between runs.
    runs : int
        Of each method.
    threads : int
        For each run.
    methods : tuple of Method
        In the order in which they take turns.
    peer_tiles : int
        Tiles of the MONAI architecture to time; 0 leaves it out.
    spec : PhantomSpec
        The volume.
    """

    folder: Path
    runs: int
    threads: int
    methods: tuple[Method, ...] = METHODS
    peer_tiles: int = 0
    spec: PhantomSpec = CHEST


def bench_detection(plan: BenchPlan, progress: Callable[[str], None]) -> dict[str, Any]:
    """Measure every method.

    Returns
    -------
    dict
        ``volume``, ``machine``, ``methods`` (medians and every single run), ``peer``.

    Raises
    ------
    BenchmarkFailed
        If no method can run here.
    """
    progress("the volume")
    volume = chest_file(plan.folder, plan.spec)
    runs: dict[str, list[dict[str, Any]]] = {method.name: [] for method in plan.methods}
    refused: dict[str, str] = {}
    for turn in range(plan.runs):
        for method in plan.methods:
            if method.name in refused:
                continue
            progress(f"{method.name}, run {turn + 1} of {plan.runs}")
            try:
                runs[method.name].append(_run(volume, method, plan.threads))
            except BenchmarkFailed as error:
                refused[method.name] = str(error)
    if not any(runs.values()):
        raise BenchmarkFailed("bench detection", list(refused.values()))
    peer = None
    if plan.peer_tiles:
        progress("the MONAI architecture, tile by tile: minutes")
        peer = run_fresh(
            "workers.bench.peer_run",
            str(volume),
            "--tiles",
            str(plan.peer_tiles),
            "--threads",
            str(plan.threads),
        )
    return {
        "volume": {
            "shape": [plan.spec.slices, plan.spec.pixels, plan.spec.pixels],
            "spacing_mm": [plan.spec.slice_spacing_mm, *[plan.spec.pixel_spacing_mm] * 2],
            "nodules": len(plan.spec.nodules),
        },
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": plan.threads,
            "python": platform.python_version(),
        },
        "methods": [
            {"name": name, **_summary(rows), "runs": rows} for name, rows in runs.items() if rows
        ],
        "refused": refused,
        "peer": peer,
    }


def _run(volume: Path, method: Method, threads: int) -> dict[str, Any]:
    return run_fresh(
        "workers.bench.detection_run",
        str(volume),
        f"--detector={method.detector}",
        f"--backend={method.backend}",
        f"--device={method.device}",
        f"--threads={threads}",
    )


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians over runs of one method; of sums over stages, not sums of medians."""
    stages = {
        stage: {
            unit: _median(row["stages"][stage][unit] for row in rows)
            for unit in ("wall_s", "cpu_s")
        }
        for stage in ("start", *WORK)
    }
    totals = {
        unit: _median(sum(row["stages"][stage][unit] for stage in WORK) for row in rows)
        for unit in ("wall_s", "cpu_s")
    }
    fastest_s = min(sum(row["stages"][stage]["wall_s"] for stage in WORK) for row in rows)
    return {
        "engine": rows[0]["engine"],
        "device": rows[0]["device"],
        "stages": stages,
        "work": totals,
        "work_fastest_wall_s": round(fastest_s, 2),
        "peak_rss_mb": _median(row["peak_rss_mb"] for row in rows),
        "load_before": _median(row["load_before"] for row in rows),
        "nodules_listed": min(row["nodules_listed"] for row in rows),
        "others_listed": max(row["others_listed"] for row in rows),
    }


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 2)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
