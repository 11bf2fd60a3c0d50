"""Figures of work: jobs and queues, deliveries, analyses and the workers that make them."""

from __future__ import annotations

from workers.metrics.metric import DAY_S, LONG_S, NODE, WORKER, Metric

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
