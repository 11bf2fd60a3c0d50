"""A process's own figures: what use cases note, beside what its collectors read."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterable, Mapping
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from workers.metrics.catalogue import METRICS, of_role
from workers.metrics.metric import Metric, Role

LABEL_VALUES_AT_MOST = 200
"""Sets of label values of one figure; more would mean that a label holds what it must not."""
OUTCOMES = {
    "pulmonode_commitments_total": ("confirmed", "refused", "missing"),
    "pulmonode_delivery_attempts_total": ("queued", "delivered", "confirmed", "failed"),
}
"""Counters that stand at 0 for each destination from the start: an increase from nothing to one
is none for Prometheus."""

UNKNOWN = "pulmonode_unknown_observations_total"
BUILD = "pulmonode_build_info"

Figure = Counter | Gauge | Histogram


class OwnFigures:
    """The figures of this process, in a registry of their own.

    Parameters
    ----------
    role : str
        Which process this is.
    """

    def __init__(self, role: Role) -> None:
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._figures: dict[str, Figure] = {}
        self._seen: dict[str, set[tuple[str, ...]]] = {}
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        for metric in of_role(role):
            if metric.noted:
                self._figures[metric.name] = make_figure(metric, self.registry)
        unknown, build = METRICS[UNKNOWN], METRICS[BUILD]
        self._unknown = Counter(unknown.name, unknown.help, registry=self.registry)
        Gauge(build.name, build.help, build.labels, registry=self.registry).labels(
            version=version("pulmonode"), python=platform.python_version(), role=role
        ).set(1)
        for queue in ("analyse", "deliver"):
            self.expect("pulmonode_retries_total", queue=queue)
        for channel in ("webhook", "email"):
            self.expect("pulmonode_notifications_total", channel=channel, outcome="failed")

    def expect_destinations(self, names: Iterable[str]) -> None:
        """Let the counters of these destinations stand at 0 before anything happens."""
        for name in names:
            for metric, outcomes in OUTCOMES.items():
                for outcome in outcomes:
                    self.expect(metric, destination=name, outcome=outcome)

    def expect(self, name: str, **labels: str) -> None:
        """Show a counter, at 0, that nothing has raised yet."""
        with self._lock:
            self._child(name, labels)

    def apply(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Count an observation; a `workers.metrics.observe.Sink`."""
        with self._lock:
            figure = self._child(name, labels)
            if figure is None:
                self._unknown.inc()
            elif isinstance(figure, Counter):
                figure.inc(value)
            elif isinstance(figure, Histogram):
                figure.observe(value)
            else:
                figure.set(value)

    def _child(self, name: str, labels: Mapping[str, str]) -> Figure | None:
        """The figure under these labels; `None` when there is none, or there are too many."""
        figure = self._figures.get(name)
        if figure is None or set(labels) != set(METRICS[name].labels):
            return None
        if not labels:
            return figure
        values = tuple(labels[label] for label in METRICS[name].labels)
        seen = self._seen.setdefault(name, set())
        if values not in seen and len(seen) >= LABEL_VALUES_AT_MOST:
            return None
        seen.add(values)
        return figure.labels(*values)


def make_figure(metric: Metric, registry: CollectorRegistry) -> Figure:
    """A figure of the catalogue, in a registry."""
    if metric.kind == "counter":
        return Counter(metric.name, metric.help, metric.labels, registry=registry)
    if metric.kind == "gauge":
        return Gauge(metric.name, metric.help, metric.labels, registry=registry)
    return Histogram(
        metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=registry
    )
