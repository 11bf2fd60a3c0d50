"""How the time from image to report grows with slices and with nodules, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

DPI = 130


def draw_growth(result: dict[str, Any], path: Path) -> None:
    """Draw seconds against slices and against nodules, each with its best straight line.

    Parameters
    ----------
    result : dict
        Of `workers.bench.pipeline.bench_pipeline`; the first case is the usual one.
    path : Path
        A PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    usual, *_ = cases = result["cases"]
    axes: Sequence[Any] = figure.subplots(1, 2)
    for axis, name, other in zip(axes, ("slices", "nodules"), ("nodules", "slices"), strict=True):
        points = sorted(
            (case[name], case["median"]["image_to_report"], case["median"]["analysis"])
            for case in cases
            if case[other] == usual[other]
        )
        x, whole, analysis = np.array(points, dtype=float).T
        axis.plot(x, whole, "o", label="image to SR")
        axis.plot(x, analysis, "s", label="of it analysis")
        if len(x) > 1:
            slope, offset = np.polyfit(x, whole, 1)
            axis.plot(
                x, slope * x + offset, "-", color="0.6", label=f"{offset:.1f} + {slope:.3g} x"
            )
        axis.set_xlabel(f"{name} ({other}: {usual[other]})")
        axis.set_ylabel("s")
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=DPI)
