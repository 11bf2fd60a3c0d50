"""The node's figures: what its SCP counts, its inbox and its disks, and the site's."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from dicom_node.receive.arrival import StoreStatus, status_name
from dicom_node.receive.scp import StorageScp
from dicom_node.receive.spool import Spool
from workers.application import Application
from workers.audit_trail.spool import AuditSpool
from workers.certificates import counts_until, named_files, read_certificates
from workers.metrics import observe
from workers.metrics.endpoint import metrics_port, serve_metrics
from workers.metrics.exposed import family
from workers.metrics.registry import OwnFigures
from workers.metrics.scanners import ScannerCollector
from workers.metrics.site import SiteCollector
from workers.settings import Settings
from workers.state.store import FolderStore

OUTCOMES = (
    "established", "rejected", "refused_disk", "refused_busy", "refused_busy_peer", "refused_rate",
    "refused_contexts", "refused_connections", "refused_tls", "released", "aborted", "closed",
)  # fmt: skip


class NodeCollector(Collector):
    """Reads what the SCP has counted and how full its disks are."""

    def __init__(self, app: Application, scp: StorageScp) -> None:
        self._app = app
        self._scp = scp

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The figures of this moment."""
        counts = self._scp.counts
        yield family("pulmonode_received_instances_total", counts["stored"])
        yield family("pulmonode_received_bytes_total", counts["bytes"])
        yield family("pulmonode_echoes_total", counts["echo"])
        yield family(
            "pulmonode_store_responses_total",
            {(status_name(status),): float(counts[status_name(status)]) for status in StoreStatus},
        )
        yield family(
            "pulmonode_associations_total", {(name,): float(counts[name]) for name in OUTCOMES}
        )
        yield family("pulmonode_associations_open", self._scp.open_associations())
        yield from _inbox(self._app.spool)
        yield from _disks(self._app)
        yield from _audit(AuditSpool(self._app.settings.data_dir))
        yield _certificates(self._app.settings)


def _inbox(spool: Spool) -> Iterator[Metric]:
    names = [path.name for path in spool.inbox_dir.iterdir() if path.suffix == ".dcm"]
    stamp = min(names, default="").split("-", 1)[0]
    waited = time.time() - int(stamp) / 1e9 if stamp.isdigit() else 0.0
    yield family("pulmonode_inbox_instances", len(names))
    yield family("pulmonode_inbox_oldest_seconds", max(0.0, waited))


def _audit(spool: AuditSpool) -> Iterator[Metric]:
    waiting = spool.waiting()
    oldest = max(0.0, time.time() - waiting[0].made_at) if waiting else 0.0
    yield family("pulmonode_audit_waiting_messages", len(waiting))
    yield family("pulmonode_audit_oldest_seconds", oldest)


def _certificates(settings: Settings) -> Metric:
    ends = {}
    for file in named_files(settings):
        if file.is_certificate or file.is_authorities:
            with contextlib.suppress(OSError, ValueError):  # the doctor says what is wrong with it
                ends[file.setting,] = counts_until(file, read_certificates(file.path))
    return family("pulmonode_tls_certificate_not_after_seconds", ends)


def _disks(app: Application) -> Iterator[Metric]:
    folders: dict[str, Path] = {"spool": app.spool.root}
    if isinstance(app.store, FolderStore):
        folders["store"] = app.store.root
    usage = {}
    for area, folder in folders.items():
        try:
            usage[area] = shutil.disk_usage(folder)
        except OSError:  # its absence is the news
            continue
    yield family("pulmonode_disk_free_bytes", {(a,): float(u.free) for a, u in usage.items()})
    yield family("pulmonode_disk_size_bytes", {(a,): float(u.total) for a, u in usage.items()})
    yield family("pulmonode_disk_reserve_bytes", app.settings.disk_reserve_bytes)


class NodeFigures:
    """What the node counts, served beside the SCP's and the site's figures until it stops."""

    def __init__(self, app: Application, scp: StorageScp) -> None:
        self.own = OwnFigures("node")
        self.own.expect_destinations(item.name for item in app.settings.destinations)
        self.own.registry.register(NodeCollector(app, scp))
        self.own.registry.register(SiteCollector(app))
        self.own.registry.register(ScannerCollector(app))
        port = metrics_port(app.settings, "node")
        self._stop = serve_metrics(app.settings, self.own.registry, port)
        if self._stop is not None:
            observe.listen(self.own.apply)

    def stop(self) -> None:
        """Serve and count nothing any more."""
        if self._stop is not None:
            observe.listen(None)
            self._stop()
