"""A job's committed result as values, for messages and resources about it."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from pydicom import dcmread
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.compose.profile import ObjectKind
from workers.application import Application
from workers.errors import NoResult, ResultNotTold
from workers.outbound.told import Standing, ToldResult, tell
from workers.state.jobs import find_job
from workers.state.schema import Job, JobState, Result, ResultObject
from workers.state.store import get_content


def report_of(session: Session, job_id: int, profile: str = "") -> ResultObject:
    """The structured report that is told of: the profile's, else another of the result.

    Raises
    ------
    ResultNotTold
        If the result has none.
    """
    rows = session.scalars(
        select(ResultObject)
        .where(ResultObject.job_id == job_id, ResultObject.kind == ObjectKind.SR)
        .order_by(ResultObject.sop_uid)
    ).all()
    if not rows:
        raise ResultNotTold("the result has no structured report (SR) that could be told of")
    return next((row for row in rows if profile in row.profiles), rows[0])


def told_result(app: Application, revision: int, row: Result, report: ResultObject) -> ToldResult:
    """A result as values.

    Raises
    ------
    StoreUnavailable, ObjectMissing, ObjectChanged
        If findings or report are not there as they were kept.
    ResultNotTold
        If the findings are of a release that did not say what is told.
    """
    findings: dict[str, Any] = json.loads(
        get_content(app.store, row.findings_path, row.findings_sha256)
    )
    ds = dcmread(io.BytesIO(get_content(app.store, report.path, report.sha256)))
    try:
        return tell(findings, ds, revision=revision, committed_at=row.committed_at)
    except KeyError as error:
        raise ResultNotTold(
            f"its findings lack {error}: an earlier release made them; have the series analysed "
            "again ('pulmonode jobs force')"
        ) from error


def told_job(app: Application, wanted: str) -> tuple[int, ToldResult, Standing]:
    """Number and result of a job, by number or Series Instance UID, and where it stands.

    Raises
    ------
    NoSuchJob, NoResult, ResultNotTold
        If there is no such job, or nothing to tell of it.
    """
    with app.database.read() as session:
        job = find_job(session, wanted)
        row = session.get(Result, job.id)
        if row is None or row.removed_at is not None:
            raise NoResult(job.id, job.state)
        report = report_of(session, job.id)
        standing = _standing(session, job)
    return job.id, told_result(app, job.revision, row, report), standing


def _standing(session: Session, job: Job) -> Standing:
    """Where a job's result stands: what took its place, or whose place it took."""
    others = session.scalars(
        select(Job)
        .join(Result, Result.job_id == Job.id)
        .where(Job.study_uid == job.study_uid, Job.id != job.id)
        .order_by(Result.committed_at, Job.id)
    ).all()
    if not _counts(session, job):
        newer = _successor(session, job, others)
        return Standing(
            withdrawn=_why_withdrawn(job, newer),
            newer_uid="" if newer is None else _report_uid(session, newer.id),
        )
    replaced = [
        other
        for other in others
        if not _counts(session, other) and _successor(session, other, [*others, job]) is job
    ]
    uids = (_report_uid(session, other.id) for other in replaced)
    return Standing(replaces=tuple(uid for uid in uids if uid))


def _counts(session: Session, job: Job) -> bool:
    """Whether no other result took its place, and its patient and study were not corrected."""
    corrected = select(Job.id).where(
        Job.series_uid == job.series_uid, Job.revision > job.revision, Job.correction.is_not(None)
    )
    return job.state != JobState.SUPERSEDED and session.scalars(corrected).first() is None


def _successor(session: Session, job: Job, others: Sequence[Job]) -> Job | None:
    """The result that counts in a job's place: of its series, else the study's newest."""
    counting = [other for other in others if other is not job and _counts(session, other)]
    of_series = [other for other in counting if other.series_uid == job.series_uid]
    chosen = of_series or counting
    return chosen[-1] if chosen else None


def _why_withdrawn(job: Job, newer: Job | None) -> str:
    what = f"Withdrawn: this result (job {job.id}, revision {job.revision}) counts no more."
    if newer is None:
        return f"{what} There is no result in its place yet."
    return f"{what} That of job {newer.id}, revision {newer.revision}, took its place."


def _report_uid(session: Session, job_id: int) -> str:
    """SOP Instance UID of the report that is told of; empty where retention removed it."""
    try:
        return report_of(session, job_id).sop_uid
    except ResultNotTold:
        return ""
