"""A result becomes the job's, once: final bytes, deliveries, and the end of what it replaces."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.barriers import Barrier, reach
from dicom_node.compose.content import ComposedObject
from dicom_node.read.header import InstanceHeader
from workers.application import Application
from workers.case import CaseResult
from workers.state.jobs import NEEDS_A_PERSON, Lease, held_job, move, note
from workers.state.schema import (
    WITH_RESULT,
    Delivery,
    Instance,
    Job,
    JobState,
    Result,
    ResultObject,
)
from workers.usecases.revise import identity_digest, supersede


def commit_result(
    app: Application,
    lease: Lease,
    result: CaseResult,
    findings: tuple[str, str],
    kept: Sequence[tuple[ComposedObject, str, str]],
) -> None:
    """If the lease still holds, make what was kept in the store the job's result."""
    reach(Barrier.ANALYSE_BEFORE_COMMIT)
    now = app.now()
    with app.database.write() as session:
        job = held_job(session, lease)
        rows = session.scalars(select(Instance).where(Instance.series_uid == job.series_uid)).all()
        headers = [InstanceHeader.from_json(row.header) for row in rows]
        session.add(
            Result(
                job_id=job.id,
                fencing_token=lease.token,
                committed_at=now,
                findings_path=findings[0],
                findings_sha256=findings[1],
                identity_sha256=identity_digest(headers),
                nodule_count=len(result.findings.nodules),
            )
        )
        session.add_all(_object_row(job, *item) for item in kept)
        job.warnings = list(result.findings.quality.warnings)
        message = f"{len(result.findings.nodules)} nodules, {len(kept)} objects"
        move(session, job, JobState.ANALYSED, message, at=now)
        _supersede_earlier(session, job, now)
        if app.settings.destinations:
            move(session, job, JobState.DELIVERING, "deliveries queued", at=now)
            session.add_all(
                Delivery(job_id=job.id, destination=item.name, created_at=now)
                for item in app.settings.destinations
            )
        else:
            note(session, job, "no destination is configured: the result stays here", at=now)


def _object_row(job: Job, item: ComposedObject, path: str, sha256: str) -> ResultObject:
    return ResultObject(
        sop_uid=item.sop_instance_uid,
        job_id=job.id,
        kind=item.kind,
        profile="default",
        sop_class_uid=item.sop_class_uid,
        series_uid=item.series_instance_uid,
        path=path,
        sha256=sha256,
        size_bytes=len(item.data),
    )


def _supersede_earlier(session: Session, job: Job, now: float) -> None:
    """End earlier results: of older revisions, and of series that this one was preferred to.

    Nobody needs to look any more at an older revision that stopped on its way.
    """
    for other in session.scalars(select(Job).where(Job.study_uid == job.study_uid)).all():
        older = other.series_uid == job.series_uid and other.revision < job.revision
        weaker = other.series_uid != job.series_uid and not job.forced and not other.forced
        if not (
            (older and JobState(other.state) in WITH_RESULT | NEEDS_A_PERSON)
            or (weaker and JobState(other.state) in WITH_RESULT)
        ):
            continue
        supersede(session, other, job, now)
