"""Which job an arrival belongs to, when a new revision begins, and what it ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.read.header import InstanceHeader
from workers.patient_key import patient_day
from workers.settings import Settings
from workers.state.jobs import NEEDS_A_PERSON, current_job, is_notice, move, note
from workers.state.schema import (
    WITH_RESULT,
    Delivery,
    DeliveryState,
    Instance,
    Job,
    JobState,
    Notice,
    Priority,
    Result,
)

COLUMN_LENGTH = 16
"""Of CS and AE values (PS3.5 section 6.2); malformed ones are longer."""


def job_for_arrival(
    session: Session, header: InstanceHeader, settings: Settings, *, now: float
) -> Job:
    """The job that a new instance belongs to, made if there is none or only a closed one."""
    job = current_job(session, header.series_instance_uid)
    if job is None:
        return new_job(
            session, header, settings, revision=1, message="first instance received", now=now
        )
    state = JobState(job.state)
    if state is JobState.ANALYSING:
        message = f"an instance arrived during the analysis: revision {job.revision + 1}"
        move(session, job, JobState.SUPERSEDED, message, at=now, reason_code="late_instance")
    elif (
        state in WITH_RESULT
        or state is JobState.SUPERSEDED
        or (state in NEEDS_A_PERSON and has_result(session, job))
    ):
        message = f"late instance after revision {job.revision}"
        note(session, job, "late instance: a new revision is being received", at=now)
    else:
        return job
    return new_job(session, header, settings, revision=job.revision + 1, message=message, now=now)


def new_job(
    session: Session,
    header: InstanceHeader,
    settings: Settings,
    *,
    revision: int,
    message: str,
    now: float,
) -> Job:
    """Start a job for what a series holds now."""
    earlier = session.scalar(
        select(func.count())
        .select_from(Instance)
        .where(Instance.series_uid == header.series_instance_uid)
    )
    calling_ae = header.source_ae_title.replace("\0", "")[:COLUMN_LENGTH]
    job = Job(
        study_uid=header.study_instance_uid,
        series_uid=header.series_instance_uid,
        revision=revision,
        state=JobState.RECEIVING,
        calling_ae=calling_ae,
        modality=header.modality.replace("\0", "")[:COLUMN_LENGTH],
        patient_day=patient_day(header.identity),
        instance_count=earlier or 0,
        priority=_priority(calling_ae, settings),
        warnings=[],
        created_at=now,
        last_instance_at=now,
        state_since=now,
    )
    session.add(job)
    session.flush()
    note(session, job, message, at=now)
    return job


def _priority(calling_ae: str, settings: Settings) -> Priority:
    if calling_ae in settings.urgent_calling_ae_titles:
        return Priority.URGENT
    if calling_ae in settings.off_peak_calling_ae_titles:
        return Priority.OFF_PEAK
    return Priority.NORMAL


def has_result(session: Session, job: Job) -> bool:
    """Whether an analysis of this revision was committed, whatever became of it since."""
    return session.get(Result, job.id) is not None


def drop_deliveries(session: Session, job: Job, reason: str) -> int:
    """Let nothing of a result leave any more; returns how many deliveries were under way."""
    dropped = 0
    for delivery in session.scalars(select(Delivery).where(Delivery.job_id == job.id)):
        if delivery.state in {
            DeliveryState.QUEUED,
            DeliveryState.SENDING,
            DeliveryState.WITHHELD,
        }:
            delivery.state = DeliveryState.CANCELLED
            delivery.reason = reason
            dropped += 1
    return dropped


def supersede(session: Session, other: Job, job: Job, now: float) -> None:
    """End a result that another job's result takes the place of."""
    drop_deliveries(session, other, f"superseded by job {job.id}")
    move(
        session,
        other,
        JobState.SUPERSEDED,
        f"superseded by job {job.id} (series {job.series_uid}, revision {job.revision})",
        at=now,
        reason_code="superseded",
    )


def refute_notices(session: Session, job: Job, now: float) -> None:
    """An analysis ends whatever says that nothing of its study was analysed, wherever it stands."""
    if is_notice(session, job):
        return
    notices = select(Job).join(Notice, Notice.job_id == Job.id)
    for notice in session.scalars(notices.where(Job.study_uid == job.study_uid)).all():
        if JobState(notice.state) not in {JobState.SUPERSEDED, JobState.CANCELLED}:
            supersede(session, notice, job, now)


def identity_digest(headers: Sequence[InstanceHeader]) -> str:
    """SHA-256 over the patient and study attributes of a series."""
    identities = sorted(
        {json.dumps(header.identity.to_json(), sort_keys=True) for header in headers}
    )
    return hashlib.sha256("\n".join(identities).encode()).hexdigest()
