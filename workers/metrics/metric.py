"""What is said of a figure in the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Role = Literal["node", "worker", "console"]

NODE: tuple[Role, ...] = ("node",)
WORKER: tuple[Role, ...] = ("worker",)
EVERY: tuple[Role, ...] = ("node", "worker", "console")

SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
LONG_S = (0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1800.0)
DAY_S = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0, 86400.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure.

    Attributes
    ----------
    name : str
        As Prometheus shows it: with its unit, and `_total` for a counter.
    roles : tuple of str
        Which processes offer it.
    noted : bool
        Whether use cases tell it as it happens (`workers.metrics.observe`); the others are read
        from where they stand when somebody asks.
    buckets : tuple of float
        Upper bounds of a histogram.
    """

    name: str
    kind: Kind
    help: str
    roles: tuple[Role, ...]
    labels: tuple[str, ...] = ()
    noted: bool = False
    buckets: tuple[float, ...] = ()
