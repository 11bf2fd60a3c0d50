"""How each scanner's results change, as the console's page shows it; read now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from workers.application import Application
from workers.metrics.exposed import family
from workers.state.database import DATABASE_AWAY
from workers.usecases.drift import MEASURES, drift_by_scanner

READ_AGAIN_S = 300.0
"""Means over weeks; the query goes through all results of three months."""
SCANNERS_SHOWN = 20


class ScannerCollector(Collector):
    """Reads the database when what was read is old."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._families: list[Metric] = []

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: registering must not need the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The figures, at most `READ_AGAIN_S` old; those known last while the database is away."""
        with self._lock:
            if time.monotonic() - self._read_at >= READ_AGAIN_S:
                try:
                    self._families = self._read()
                    self._read_at = time.monotonic()
                except DATABASE_AWAY:
                    pass  # `pulmonode_database_up` says so
            return iter(self._families)

    def _read(self) -> list[Metric]:
        now = self._app.now()
        with self._app.database.read() as session:
            scanners = drift_by_scanner(session, now=now)[:SCANNERS_SHOWN]
        means: dict[tuple[str, ...], float] = {}
        for item in scanners:
            for span, found in (("recent", item.recent), ("before", item.before)):
                for measure, mean in found.means.items():
                    if mean is not None:
                        means[item.scanner, measure, span] = mean
        results = {(item.scanner,): float(item.recent.results) for item in scanners}
        moved = {
            (item.scanner, measure): float(measure in item.moved)
            for item in scanners
            for measure in MEASURES
        }
        return [
            family("pulmonode_scanner_results", results),
            family("pulmonode_scanner_mean", means),
            family("pulmonode_scanner_drift", moved),
        ]
