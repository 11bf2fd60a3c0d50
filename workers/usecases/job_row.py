"""A job as one row of a list: the same values for commands, pages and API."""

from __future__ import annotations

from typing import Any

from workers.state.schema import Job, Priority

COLUMNS = (
    Job.id,
    Job.state,
    Job.reason_code,
    Job.reason,
    Job.study_uid,
    Job.series_uid,
    Job.revision,
    Job.correction,
    Job.priority,
    Job.modality,
    Job.instance_count,
    Job.calling_ae,
    Job.attempts,
    Job.transient,
    Job.next_attempt_at,
    Job.warnings,
    Job.created_at,
    Job.state_since,
)
"""What `job_row` needs, for whoever reads many."""


def job_row(job: Any) -> dict[str, Any]:
    """Plain values of a `Job`, or of a row of `COLUMNS`; no patient data in them."""
    return {
        "id": job.id,
        "state": job.state,
        "reason_code": job.reason_code,
        "reason": job.reason,
        "study_instance_uid": job.study_uid,
        "series_instance_uid": job.series_uid,
        "revision": job.revision,
        "correction": job.correction,
        "priority": Priority(job.priority).name.lower(),
        "modality": job.modality,
        "instances": job.instance_count,
        "calling_ae": job.calling_ae,
        "attempts": job.attempts,
        "transient": job.transient,
        "next_attempt_at": job.next_attempt_at or None,
        "warnings": job.warnings,
        "created_at": job.created_at,
        "state_since": job.state_since,
    }
