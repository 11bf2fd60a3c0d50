"""What waited over the replayed day, and how large the processes were, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workers.bench.scale.replay import PACS_AWAY_S, PACS_GOES_S

DPI = 130


def draw_day(result: Mapping[str, Any], path: Path) -> None:
    """Draw jobs by state, the oldest that waits, and memory, over the clock.

    Parameters
    ----------
    result : mapping
        Of `workers.bench.scale.replay.bench_scale`.
    path : Path
        A PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 8), layout="constrained")
    FigureCanvasAgg(figure)
    samples = result["samples"]
    speed = result["plan"]["speed"]
    jobs, waits, memory = figure.subplots(3, 1, sharex=True)
    for state, counts in samples["jobs"].items():
        jobs.plot(samples["at_s"], counts, label=state)
    jobs.set_ylabel("jobs")
    waits.plot(samples["at_s"], samples["queued_s"], label="queued")
    waits.plot(samples["at_s"], samples["undelivered_s"], label="undelivered")
    waits.set_ylabel("oldest, s")
    for role, sizes in samples["memory_mb"].items():
        if np.any(sizes):
            memory.plot(samples["memory_at_s"], sizes, label=role)
    memory.set_ylabel("MB resident")
    memory.set_ylim(bottom=0)
    memory.set_xlabel("s of the clock; grey: the PACS is away")
    for axis in (jobs, waits, memory):
        axis.axvspan(PACS_GOES_S / speed, (PACS_GOES_S + PACS_AWAY_S) / speed, color="0.9")
        axis.legend(fontsize=8, loc="upper right")
    figure.savefig(path, dpi=DPI)
