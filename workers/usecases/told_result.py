"""A job's committed result as values, for messages and resources about it."""

from __future__ import annotations

import io
import json
from typing import Any

from pydicom import dcmread
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.compose.profile import ObjectKind
from workers.application import Application
from workers.errors import NoResult, ResultNotTold
from workers.outbound.told import ToldResult, tell
from workers.state.jobs import find_job
from workers.state.schema import Result, ResultObject
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


def told_job(app: Application, wanted: str) -> tuple[int, ToldResult]:
    """Number and result of a job, by number or Series Instance UID.

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
    return job.id, told_result(app, job.revision, row, report)
