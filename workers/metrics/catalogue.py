"""Every figure that a process offers to Prometheus: name, kind, labels, meaning.

Labels take few values: states, queues, codes, names of configured destinations, hosts. None is a
UID, a job or anything of a patient. ``docs/metrics.md`` is written from this table
(``python -m workers.metrics.catalogue``); tests compare it, and what is exposed, with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from workers.metrics.metric import DAY_S, EVERY, LONG_S, NODE, SHORT_S, WORKER, Metric, Role

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
JOBS = (
    Metric(
        name="pulmonode_jobs",
        kind="gauge",
        help="Jobs that stand in each state.",
        roles=NODE,
        labels=("state",),
    ),
    Metric(
        name="pulmonode_job_transitions_total",
        kind="counter",
        help="Jobs that came into each state since the node started.",
        roles=NODE,
        labels=("state",),
    ),
    Metric(
        name="pulmonode_series_assembled_total",
        kind="counter",
        help="Series that were found complete since the node started.",
        roles=NODE,
    ),
    Metric(
        name="pulmonode_job_state_seconds",
        kind="histogram",
        help="How long jobs stood in the state that they left.",
        roles=NODE,
        labels=("state",),
        buckets=DAY_S,
    ),
    Metric(
        name="pulmonode_queue_jobs",
        kind="gauge",
        help="Due and waiting in each queue: jobs to analyse, deliveries to make.",
        roles=NODE,
        labels=("queue",),
    ),
    Metric(
        name="pulmonode_queue_oldest_seconds",
        kind="gauge",
        help="How long the oldest of them has waited since it was due; 0 when none does.",
        roles=NODE,
        labels=("queue",),
    ),
    Metric(
        name="pulmonode_queue_paused",
        kind="gauge",
        help="1 while an administrator holds the queue back.",
        roles=NODE,
        labels=("queue",),
    ),
)
DELIVERIES = (
    Metric(
        name="pulmonode_deliveries",
        kind="gauge",
        help="Results on their way to each destination, by state.",
        roles=NODE,
        labels=("destination", "state"),
    ),
    Metric(
        name="pulmonode_deliveries_retrying",
        kind="gauge",
        help="Deliveries that failed at least once and wait for their next attempt.",
        roles=NODE,
        labels=("destination",),
    ),
    Metric(
        name="pulmonode_destination_waiting_seconds",
        kind="gauge",
        help="How long the oldest result has waited for each destination; 0 when none does.",
        roles=NODE,
        labels=("destination",),
    ),
    Metric(
        name="pulmonode_destination_last_success_timestamp_seconds",
        kind="gauge",
        help="When each destination last acknowledged a whole result; absent before the first.",
        roles=NODE,
        labels=("destination",),
    ),
    Metric(
        name="pulmonode_delivery_attempts_total",
        kind="counter",
        help="Attempts to deliver, by the delivery's state after it (queued: to be tried again).",
        roles=WORKER,
        labels=("destination", "outcome"),
        noted=True,
    ),
    Metric(
        name="pulmonode_delivery_seconds",
        kind="histogram",
        help="Length of attempts to deliver.",
        roles=WORKER,
        labels=("destination",),
        noted=True,
        buckets=LONG_S,
    ),
    Metric(
        name="pulmonode_commitments_total",
        kind="counter",
        help="Storage commitment results: confirmed, refused (in part or whole), missing (none in "
        "time).",
        roles=("node", "worker"),
        labels=("destination", "outcome"),
        noted=True,
    ),
)
ANALYSES = (
    Metric(
        name="pulmonode_analyses_total",
        kind="counter",
        help="Attempts to analyse, by outcome: the job's state after it, told (a report that "
        "nothing could be analysed), lease_lost or not_written.",
        roles=WORKER,
        labels=("outcome",),
        noted=True,
    ),
    Metric(
        name="pulmonode_analysis_seconds",
        kind="histogram",
        help="Length of attempts to analyse, reading and composing included.",
        roles=WORKER,
        noted=True,
        buckets=LONG_S,
    ),
    Metric(
        name="pulmonode_analysis_stage_seconds",
        kind="histogram",
        help="Length of each stage of an analysis, as in findings.json.",
        roles=WORKER,
        labels=("stage",),
        noted=True,
        buckets=LONG_S,
    ),
    Metric(
        name="pulmonode_nodules_total",
        kind="counter",
        help="Nodules in results, by model level (withheld: without one).",
        roles=WORKER,
        labels=("level",),
        noted=True,
    ),
    Metric(
        name="pulmonode_retries_total",
        kind="counter",
        help="Attempts that failed and are to be repeated, by queue.",
        roles=WORKER,
        labels=("queue",),
        noted=True,
    ),
    Metric(
        name="pulmonode_model_info",
        kind="gauge",
        help="1; which trained weights the last analysis used (first digits of their SHA-256).",
        roles=WORKER,
        labels=("model", "sha256"),
        noted=True,
    ),
    Metric(
        name="pulmonode_worker_processes",
        kind="gauge",
        help="Processes of this worker, its own included.",
        roles=WORKER,
    ),
    Metric(
        name="pulmonode_worker_resident_memory_bytes",
        kind="gauge",
        help="Resident memory of all of them.",
        roles=WORKER,
    ),
)
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
GROUPS: dict[str, tuple[Metric, ...]] = {
    "Receiving": RECEIVED,
    "Disk": DISK,
    "Jobs and queues": JOBS,
    "Deliveries": DELIVERIES,
    "Analyses and workers": ANALYSES,
    "Drift per scanner": DRIFT,
    "Site and processes": SITE,
}
METRICS: dict[str, Metric] = {metric.name: metric for group in GROUPS.values() for metric in group}


def of_role(role: Role) -> list[Metric]:
    """What a process of this role offers."""
    return [metric for metric in METRICS.values() if role in metric.roles]


def table(metrics: Sequence[Metric]) -> str:
    """A Markdown table of some figures."""
    lines = ["| metric | kind | labels | from | meaning |", "|---|---|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        roles = "all" if metric.roles == EVERY else ", ".join(metric.roles)
        cells = (f"`{metric.name}`", metric.kind, labels, roles, metric.help)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def tables() -> str:
    """All tables, as docs/metrics.md holds them."""
    return "\n\n".join(f"### {title}\n\n{table(group)}" for title, group in GROUPS.items())


if __name__ == "__main__":
    print(tables())  # noqa: T201 - for docs/metrics.md
