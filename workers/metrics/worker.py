"""A worker's figures: what its processes note, and what they take of the machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psutil
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from workers.application import Application
from workers.metrics import observe
from workers.metrics.endpoint import metrics_port, serve_metrics
from workers.metrics.exposed import family
from workers.metrics.registry import OwnFigures
from workers.metrics.relay import Relay
from workers.settings import Settings


class WorkerCollector(Collector):
    """Reads what this process and its children take."""

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The figures of this moment."""
        this = psutil.Process()
        resident = []
        for process in (this, *this.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                resident.append(process.memory_info().rss)
        yield family("pulmonode_worker_processes", len(resident))
        yield family("pulmonode_worker_resident_memory_bytes", sum(resident))


class WorkerFigures:
    """Served figures of a worker, made before it forks.

    Without them (switched off, or the port taken) nothing is counted.
    """

    def __init__(self, settings: Settings, queues: tuple[str, ...]) -> None:
        self._own = OwnFigures("worker")
        self._own.registry.register(WorkerCollector())
        port = metrics_port(settings, "worker", queues)
        if serve_metrics(settings, self._own.registry, port) is not None:
            observe.listen(Relay(self._own.apply).send)

    def expect_site(self, app: Application) -> None:
        """Know the site's destinations."""
        self._own.expect_destinations(item.name for item in app.settings.destinations)
