"""Which of our results a report by somebody else is about, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from dicom_node.read.edited_report import REPORT_CLASSES, EditedReport, images_of
from dicom_node.read.header import Identity, InstanceHeader
from workers.state.answer_tables import Answer, AnswerReport, Verdict
from workers.state.schema import Instance, Job, ReportedNodule, Result, ResultObject


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredResult:
    """The result that a report is about.

    `conflict` says in what patient or study of the report differ from it.
    """

    job_id: int
    series_uid: str
    findings: tuple[str, str]
    reports: Mapping[str, tuple[str, str]]
    """Key and SHA-256 of our reports of the series, by SOP Instance UID."""
    said_before: tuple[tuple[str | None, str, str, dict[str, Any]], ...]
    """SOP Instance UID of the report, Tracking UID, verdict, what was said."""
    headers: Mapping[str, InstanceHeader]
    conflict: str


def find_answered_result(session: Session, report: EditedReport) -> AnsweredResult | None:
    """The result of ours that a report is about; `None` when it is about none."""
    job = _find_job(session, report)
    if job is None:
        return None
    result = session.get_one(Result, job.id)
    objects = session.scalars(
        select(ResultObject)
        .join(Job, Job.id == ResultObject.job_id)
        .where(
            Job.series_uid == job.series_uid,
            Job.revision <= job.revision,
            ResultObject.sop_class_uid.in_(REPORT_CLASSES),
        )
    )
    before = session.scalars(
        select(Answer)
        .join(Job, Job.id == Answer.job_id)
        .where(Job.series_uid == job.series_uid)
        .order_by(Answer.said_at, Answer.id)
    )
    images = images_of(report)
    rows = session.scalars(
        select(Instance).where(Instance.sop_uid.in_(images), Instance.series_uid == job.series_uid)
    )
    return AnsweredResult(
        job_id=job.id,
        series_uid=job.series_uid,
        findings=(result.findings_path, result.findings_sha256),
        reports={item.sop_uid: (item.path, item.sha256) for item in objects},
        said_before=tuple(
            (item.sop_uid, item.tracking_uid, item.verdict, item.said) for item in before
        ),
        headers={row.sop_uid: InstanceHeader.from_json(row.header) for row in rows},
        conflict=_conflict(session, report, job),
    )


def _find_job(session: Session, report: EditedReport) -> Job | None:
    """The newest job with a result that a report is about, of its own study where there is one."""
    uids = set(report.findings)
    of_predecessor = select(ResultObject.job_id).where(
        ResultObject.sop_uid.in_(report.predecessors)
    )
    of_earlier = select(AnswerReport.job_id).where(
        AnswerReport.sop_uid.in_(report.predecessors), AnswerReport.job_id.is_not(None)
    )
    of_nodules = select(ReportedNodule.job_id).where(ReportedNodule.tracking_uid.in_(uids))
    of_added = select(Answer.job_id).where(
        Answer.tracking_uid.in_(uids), Answer.verdict == Verdict.ADDED
    )
    for ids in (or_(Job.id.in_(of_predecessor), Job.id.in_(of_earlier)),
                or_(Job.id.in_(of_nodules), Job.id.in_(of_added))):  # fmt: skip
        jobs = session.scalars(
            select(Job).join(Result, Result.job_id == Job.id).where(ids).order_by(Job.id.desc())
        ).all()
        same_study = [job for job in jobs if job.study_uid == report.identity.study_instance_uid]
        if jobs:
            return (same_study or jobs)[0]
    return None


def _conflict(session: Session, report: EditedReport, job: Job) -> str:
    """In what patient or study of a report differ from the result's; empty when in nothing.

    Viewers leave the issuer of the Patient ID out when they save, so an absent one is no other.
    """
    theirs = report.identity
    if theirs.study_instance_uid != job.study_uid:
        return f"it names nodules of job {job.id}, and another study"
    header = session.scalars(
        select(Instance.header)
        .where(Instance.series_uid == job.series_uid)
        .order_by(Instance.received_at.desc())
        .limit(1)
    ).first()
    if header is None:
        return f"it names nodules of job {job.id}, of whose series nothing is left to compare with"
    ours = Identity.from_json(header["identity"])
    differing = [
        name
        for name in ("patient_id", "issuer_of_patient_id")
        if getattr(ours, name) != getattr(theirs, name)
        and not (name == "issuer_of_patient_id" and not theirs.issuer_of_patient_id)
    ]
    if differing:
        return f"it names nodules of job {job.id}, and another patient ({', '.join(differing)})"
    return ""
