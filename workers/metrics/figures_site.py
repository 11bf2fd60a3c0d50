"""Figures of the site: drift per scanner, alarms, audit, database, every process."""

from __future__ import annotations

from workers.metrics.metric import EVERY, NODE, SHORT_S, Metric

DRIFT = (
    Metric(
        name="pulmonode_scanner_results",
        kind="gauge",
        help="Results of each scanner (manufacturer, model, station) in the last 14 days; the 20 "
        "busiest.",
        roles=NODE,
        labels=("scanner",),
    ),
    Metric(
        name="pulmonode_scanner_mean",
        kind="gauge",
        help="Mean per result of nodules, slice_spacing_mm, air_hu, blood_hu and analysis_s: of "
        "the last 14 days (recent) and of the 90 days before (before).",
        roles=NODE,
        labels=("scanner", "measure", "span"),
    ),
    Metric(
        name="pulmonode_scanner_drift",
        kind="gauge",
        help="1 where the two means differ by more than 3 standard errors, with 20 results or more "
        "in both spans.",
        roles=NODE,
        labels=("scanner", "measure"),
    ),
)
SITE = (
    Metric(
        name="pulmonode_alarms",
        kind="gauge",
        help="Open alarms, by code (pulmonode alarms).",
        roles=NODE,
        labels=("code",),
    ),
    Metric(
        name="pulmonode_audit_waiting_messages",
        kind="gauge",
        help="DICOM audit messages that wait for their repository on the node's host.",
        roles=NODE,
    ),
    Metric(
        name="pulmonode_audit_oldest_seconds",
        kind="gauge",
        help="How long the oldest of them has waited; 0 when none does.",
        roles=NODE,
    ),
    Metric(
        name="pulmonode_tls_certificate_not_after_seconds",
        kind="gauge",
        help="When each certificate that the node's settings name ends, in seconds since the "
        "epoch; of authorities the last one.",
        roles=NODE,
        labels=("setting",),
    ),
    Metric(
        name="pulmonode_notifications_total",
        kind="counter",
        help="Messages about alarms on each way out (webhook, email): sent or failed.",
        roles=NODE,
        labels=("channel", "outcome"),
        noted=True,
    ),
    Metric(
        name="pulmonode_workers",
        kind="gauge",
        help="Workers that were heard of within three heartbeats, by queue that they serve.",
        roles=NODE,
        labels=("queue",),
    ),
    Metric(
        name="pulmonode_gpu_memory_bytes",
        kind="gauge",
        help="GPU memory as torch saw it after the last analysis: used (by anybody) and total.",
        roles=NODE,
        labels=("host", "device", "kind"),
    ),
    Metric(
        name="pulmonode_database_up",
        kind="gauge",
        help="1 when the state database answered this scrape; the site's figures are absent else.",
        roles=NODE,
    ),
    Metric(
        name="pulmonode_site_read_seconds",
        kind="gauge",
        help="How long the site's figures took to read from the database.",
        roles=NODE,
    ),
    Metric(
        name="pulmonode_database_seconds",
        kind="histogram",
        help="Length of transactions, waiting for the lock included.",
        roles=EVERY,
        labels=("kind",),
        noted=True,
        buckets=SHORT_S,
    ),
    Metric(
        name="pulmonode_build_info",
        kind="gauge",
        help="1; which release runs, and as what.",
        roles=EVERY,
        labels=("version", "python", "role"),
    ),
    Metric(
        name="pulmonode_unknown_observations_total",
        kind="counter",
        help="Observations that were not counted: unknown, malformed or of too many label values.",
        roles=EVERY,
    ),
)
