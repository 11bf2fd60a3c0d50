"""The small HTTP port on which Prometheus finds a process's figures."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry, start_http_server

from workers.metrics.metric import Role
from workers.settings import Settings

log = structlog.get_logger()

OFFSETS = {"node": 0, "analyse": 1, "deliver": 2, "console": 3}
"""From PULMONODE_METRICS_PORT: the processes of one machine must not share a port."""


def metrics_port(settings: Settings, role: Role, queues: tuple[str, ...] = ()) -> int:
    """The port of a process; a worker's by whether it analyses."""
    name = role if role != "worker" else ("analyse" if "analyse" in queues else "deliver")
    return settings.metrics_port + OFFSETS[name]


def serve_metrics(
    settings: Settings, registry: CollectorRegistry, port: int
) -> Callable[[], None] | None:
    """Serve figures in a background thread.

    Returns
    -------
    callable or None
        Stops serving; `None` when nothing is served, because it is switched off or because the
        port cannot be had. A process does its work all the same: the log says that nobody can
        scrape it.
    """
    if not settings.metrics_enabled:
        return None
    try:
        server, thread = start_http_server(port, addr=settings.metrics_host, registry=registry)
    except OSError as error:
        log.error("metrics_not_served", port=port, error=type(error).__name__, reason=str(error))
        return None
    log.info("metrics_served", port=port)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)

    return stop
