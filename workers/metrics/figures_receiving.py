"""Figures of the way in: what comes, and the disks that it is kept on."""

from __future__ import annotations

from workers.metrics.metric import NODE, Metric

RECEIVED = (
    Metric(
        name="pulmonode_received_instances_total",
        kind="counter",
        help="Instances made durable and acknowledged with Success.",
        roles=NODE,
    ),
    Metric(
        name="pulmonode_received_bytes_total",
        kind="counter",
        help="Bytes of these instances as stored.",
        roles=NODE,
    ),
    Metric(
        name="pulmonode_store_responses_total",
        kind="counter",
        help="C-STORE responses given, by DICOM status (0x0000 Success, 0xA700 out of resources, "
        "0xC000 cannot understand).",
        roles=NODE,
        labels=("status",),
    ),
    Metric(
        name="pulmonode_associations_total",
        kind="counter",
        help="Associations of others to us: established, rejected (AE title), refused_disk, "
        "refused_busy, refused_busy_peer, refused_rate, refused_contexts, refused_connections "
        "(too many), refused_tls; and how established ones ended: released, aborted, closed.",
        roles=NODE,
        labels=("outcome",),
    ),
    Metric(
        name="pulmonode_associations_open",
        kind="gauge",
        help="Associations of others that are established now.",
        roles=NODE,
    ),
    Metric(
        name="pulmonode_echoes_total",
        kind="counter",
        help="C-ECHO requests answered.",
        roles=NODE,
    ),
    Metric(
        name="pulmonode_inbox_instances",
        kind="gauge",
        help="Acknowledged instances that wait to be indexed and kept in the object store.",
        roles=NODE,
    ),
    Metric(
        name="pulmonode_inbox_oldest_seconds",
        kind="gauge",
        help="How long the oldest of them has waited; 0 when none does.",
        roles=NODE,
    ),
)
DISK = (
    Metric(
        name="pulmonode_disk_free_bytes",
        kind="gauge",
        help="Free bytes of the disk that holds the spool, and of the object store's where that "
        "is a folder.",
        roles=NODE,
        labels=("area",),
    ),
    Metric(
        name="pulmonode_disk_size_bytes",
        kind="gauge",
        help="Size of the same disks.",
        roles=NODE,
        labels=("area",),
    ),
    Metric(
        name="pulmonode_disk_reserve_bytes",
        kind="gauge",
        help="Free bytes under which nothing is accepted (PULMONODE_DISK_RESERVE_BYTES).",
        roles=NODE,
    ),
)
