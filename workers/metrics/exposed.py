"""Figures of the catalogue as prometheus_client's families, for what is read when asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from workers.metrics.catalogue import METRICS

Values = (
    Mapping[tuple[str], float] | Mapping[tuple[str, str], float] | Mapping[tuple[str, ...], float]
)
"""By label values, in the catalogue's order of labels."""


def family(name: str, values: Values | float) -> Metric:
    """A counter or gauge; `values` by label values, or the one value without labels."""
    metric = METRICS[name]
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    found = kind(name, metric.help, labels=metric.labels)
    by_labels = values if isinstance(values, Mapping) else {(): values}
    for labels, value in sorted(by_labels.items()):
        found.add_metric(labels, value)
    return found


class Durations:
    """A histogram that is filled by what was read; not for several threads at once."""

    def __init__(self, name: str) -> None:
        self._metric = METRICS[name]
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def add(self, labels: tuple[str, ...], seconds: float) -> None:
        """Take one duration."""
        bounds = self._metric.buckets
        counts = self._counts.setdefault(labels, [0] * (len(bounds) + 1))
        place = next((i for i, bound in enumerate(bounds) if seconds <= bound), len(bounds))
        counts[place] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + seconds

    def family(self) -> Metric:
        """What was taken so far."""
        found = HistogramMetricFamily(
            self._metric.name, self._metric.help, labels=self._metric.labels
        )
        for labels, counts in sorted(self._counts.items()):
            found.add_metric(labels, list(self._buckets(counts)), self._sums[labels])
        return found

    def _buckets(self, counts: list[int]) -> Iterable[tuple[str, float]]:
        total = 0
        for bound, count in zip((*self._metric.buckets, float("inf")), counts, strict=True):
            total += count
            yield ("+Inf" if bound == float("inf") else str(bound), total)
