"""Holding what a person must decide about, and keeping the files aside."""

from __future__ import annotations

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.read.edited_report import is_report
from dicom_node.read.eligibility import is_own_header
from dicom_node.read.header import Identity, InstanceHeader
from dicom_node.receive.spool import sop_uid_of
from workers.state.jobs import current_job, move, note
from workers.state.schema import (
    BEFORE_ANALYSIS,
    Instance,
    Job,
    JobState,
    KeptAside,
    ResultObject,
)

log = structlog.get_logger()
CONFLICTING_PATIENT = "conflicting_patient"
PIXELS_CHANGED = "pixels_changed"
CORRECTION_NOT_AGREED = "correction_not_agreed"
OLDER_COPY = "older_copy"
FEW = 8
"""Rows read at once where mostly the first one is wanted."""


def hold_job(session: Session, job: Job, code: str, message: str, *, now: float) -> None:
    """Hold a job until a person decides; one that has been ended stays so."""
    if JobState(job.state) in {JobState.SUPERSEDED, JobState.QUARANTINED, JobState.CANCELLED}:
        note(session, job, message, at=now)
        return
    move(session, job, JobState.QUARANTINED, message, at=now, reason_code=code)
    log.warning("job_quarantined", job_id=job.id, reason_code=code)


def keep_aside(session: Session, job: Job, name: str, code: str, *, now: float) -> None:
    """Write down that a file is in quarantine, and for which job."""
    session.merge(KeptAside(name=name, job_id=job.id, reason_code=code, at=now))


def arrived_ns(name: str) -> int:
    """Nanoseconds since the epoch at which a file arrived, by its inbox name or its key."""
    return int(name.rsplit("/", 1)[-1].split("-", 1)[0])


def is_outdated(session: Session, name: str) -> bool:
    """Whether the index knows a later copy of the instance that is kept aside under this name."""
    known = session.get(Instance, sop_uid_of(name))
    return known is not None and arrived_ns(name) <= arrived_ns(known.path)


def study_identity(session: Session, study_uid: str) -> Identity | None:
    """Whose study it is by the instance that arrived last; `None` for an unknown study.

    Our own results that came back say what was known when they were made, and do not count; nor
    do reports without the issuer of the Patient ID, which viewers leave out when they save.
    """
    newest_first = (
        select(Instance.header)
        .where(Instance.study_uid == study_uid)
        .order_by(Instance.received_at.desc(), Instance.path.desc())
        .execution_options(yield_per=FEW)
    )
    with session.scalars(newest_first) as headers:
        for header in headers:
            read = InstanceHeader.from_json(header)
            if not (is_own_header(read) or _lacks_issuer(read)):
                return read.identity
    return None


def _lacks_issuer(header: InstanceHeader) -> bool:
    """Whether it is a report that does not say who issued its Patient ID (a type 3 attribute)."""
    return is_report(header) and not header.identity.issuer_of_patient_id


def patient_conflict(session: Session, header: InstanceHeader) -> str:
    """Say in which attributes this patient differs from the study's; empty when in none."""
    theirs = study_identity(session, header.study_instance_uid)
    differing = () if theirs is None else header.identity.patient_differences(theirs)
    if _lacks_issuer(header):
        differing = tuple(name for name in differing if name != "issuer_of_patient_id")
    if not differing:
        return ""
    return (
        f"{header.sop_instance_uid} names another patient than its study does "
        f"({', '.join(differing)} differ): the file is kept aside"
    )


def hold_study(session: Session, job: Job, conflict: str, *, now: float) -> None:
    """Hold this job and every job of the study that has no result yet."""
    hold_job(session, job, CONFLICTING_PATIENT, conflict, now=now)
    siblings = session.scalars(
        select(Job).where(Job.study_uid == job.study_uid, Job.id != job.id)
    ).all()
    for sibling in siblings:
        if JobState(sibling.state) in BEFORE_ANALYSIS | {JobState.ANALYSING}:
            hold_job(session, sibling, CONFLICTING_PATIENT, conflict, now=now)


def hold_unreadable(session: Session, name: str, problem: str, *, now: float) -> None:
    """Make a file that cannot be read visible as a job of its own."""
    sop_uid = sop_uid_of(name)
    if session.get(ResultObject, sop_uid) is not None:
        return
    job = current_job(session, sop_uid)
    if job is None:
        job = Job(
            study_uid="",
            series_uid=sop_uid,
            state=JobState.RECEIVING,
            instance_count=1,
            warnings=[],
            created_at=now,
            last_instance_at=now,
            state_since=now,
        )
        session.add(job)
        session.flush()
    hold_job(session, job, "unreadable", f"{sop_uid}: {problem}", now=now)
    keep_aside(session, job, name, "unreadable", now=now)


def close_unreadable(session: Session, header: InstanceHeader, *, now: float) -> None:
    """End the job that an unreadable copy of this instance had been given."""
    job = current_job(session, header.sop_instance_uid)
    if job is not None and job.reason_code == "unreadable":
        move(
            session,
            job,
            JobState.SUPERSEDED,
            "a readable copy arrived",
            at=now,
            reason_code="superseded",
        )
