"""Answers as plain values: the newest of each nodule, what was said before, what is unclear."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from workers.application import Application
from workers.errors import AnswerRefused
from workers.state.answer_tables import Answer, AnswerReport, ReportOutcome, Verdict
from workers.state.jobs import find_job
from workers.state.schema import Job, Result
from workers.state.store import get_content


def list_answers(
    session: Session, *, verdict: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """The newest answers, newest first."""
    query = select(Answer, Job).join(Job, Job.id == Answer.job_id)
    if verdict is not None:
        query = query.where(Answer.verdict == verdict)
    rows = session.execute(query.order_by(Answer.id.desc()).limit(limit)).all()
    return [_answer(answer, job) for answer, job in rows]


def list_unclear(session: Session, *, limit: int = 100) -> list[dict[str, Any]]:
    """Reports that could not be taken as answers, newest first, each with its reason."""
    rows = session.scalars(
        select(AnswerReport)
        .where(AnswerReport.outcome.in_([ReportOutcome.UNCLEAR, ReportOutcome.CONFLICT]))
        .order_by(AnswerReport.id.desc())
        .limit(limit)
    )
    return [_report(row) for row in rows]


def answers_of_series(session: Session, series_uid: str) -> list[dict[str, Any]]:
    """Everything that was said of the nodules of a series, in the order in which it was said."""
    rows = session.execute(
        select(Answer, Job)
        .join(Job, Job.id == Answer.job_id)
        .where(Job.series_uid == series_uid)
        .order_by(Answer.said_at, Answer.id)
    ).all()
    return [_answer(answer, job) for answer, job in rows]


def current_answers(answers: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The last clear answer to each nodule, by Tracking UID.

    Parameters
    ----------
    answers : sequence of dict
        In the order in which they were said; one that is unclear takes no other's place.
    """
    return {
        answer["tracking_uid"]: answer for answer in answers if answer["verdict"] != Verdict.UNCLEAR
    }


def show_answers(app: Application, wanted: str) -> dict[str, Any]:
    """A job's nodules, each with its answers; then what was added, and unclear reports.

    Raises
    ------
    NoSuchJob, AnswerRefused
        If there is no such job, or it has no result.
    StoreUnavailable, ObjectMissing, ObjectChanged
        If its findings cannot be read.
    """
    with app.database.read() as session:
        job = find_job(session, wanted)
        result = session.get(Result, job.id)
        said = answers_of_series(session, job.series_uid)
        unclear = [
            _report(row)
            for row in session.scalars(
                select(AnswerReport)
                .join(Job, Job.id == AnswerReport.job_id)
                .where(
                    Job.series_uid == job.series_uid,
                    AnswerReport.outcome.in_([ReportOutcome.UNCLEAR, ReportOutcome.CONFLICT]),
                )
                .order_by(AnswerReport.id)
            )
        ]
    if result is None:
        raise AnswerRefused(
            f"job {job.id}", f"is {job.state} and has no result", "choose one that was analysed"
        )
    findings = json.loads(get_content(app.store, result.findings_path, result.findings_sha256))
    newest = current_answers(said)
    ours = {str(nodule["tracking_uid"]): nodule for nodule in findings.get("nodules", ())}
    others = dict.fromkeys(one["tracking_uid"] for one in said if one["tracking_uid"] not in ours)
    return {
        "job": job.id,
        "revision": job.revision,
        "series_instance_uid": job.series_uid,
        "nodules": [
            {
                "id": nodule["id"],
                "tracking_uid": uid,
                "type": nodule["type"],
                "long_axis_mm": nodule["long_axis_mm"],
                "level": nodule["grade"].get("level"),
                "lung_rads": nodule["guidelines"]["lung_rads"]["category"],
                "answer": newest.get(uid),
                "answers": [one for one in said if one["tracking_uid"] == uid],
            }
            for uid, nodule in ours.items()
        ],
        "others": [
            {
                "tracking_uid": uid,
                "answer": newest.get(uid),
                "answers": [one for one in said if one["tracking_uid"] == uid],
            }
            for uid in others
        ],
        "unclear_reports": unclear,
    }


def _answer(answer: Answer, job: Job) -> dict[str, Any]:
    return {
        "id": answer.id,
        "job": job.id,
        "revision": job.revision,
        "series_instance_uid": job.series_uid,
        "tracking_uid": answer.tracking_uid,
        "verdict": answer.verdict,
        "said": answer.said,
        "why": answer.why,
        "author": answer.author,
        "author_id": answer.author_id,
        "role": answer.role,
        "verified": answer.verified,
        "said_at": answer.said_at,
        "recorded_at": answer.recorded_at,
        "source": "command line" if answer.sop_uid is None else "report",
        "source_sop_instance_uid": answer.sop_uid,
    }


def _report(row: AnswerReport) -> dict[str, Any]:
    return {
        "sop_instance_uid": row.sop_uid,
        "outcome": row.outcome,
        "reason": row.reason,
        "job": row.job_id,
        "received_at": row.received_at,
        "looked_at": row.looked_at,
    }
