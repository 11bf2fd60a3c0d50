"""What others' reports (SR) say of our nodules: looked for once in each that arrives.

A report is about a result when it names one of our objects as predecessor, or a report that
was taken before, or has groups with our Tracking UIDs. Then patient and study must be the
result's. What it says is kept beside what was said before; a report that cannot be understood
is kept with the reason. None of it starts a job or changes a grade.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.errors import UnreadableInstance
from dicom_node.read.edited_report import (
    EditedReport,
    is_report,
    place_lps_mm,
    read_edited_report,
)
from dicom_node.read.header import InstanceHeader, digests
from dicom_node.read.report_text import read_stored_report
from workers.answers.known import KnownNodule, known_nodules
from workers.answers.verdicts import Spoke, judge_report
from workers.application import Application
from workers.errors import ObjectChanged, ObjectMissing
from workers.state.answer_tables import Answer, AnswerReport, ReportOutcome, Verdict
from workers.state.jobs import current_job, note
from workers.state.schema import Instance, Job, ResultObject, printable
from workers.state.store import get_content
from workers.usecases.answered_result import AnsweredResult, find_answered_result
from workers.usecases.quarantine import hold_job
from workers.usecases.take_report import take_report

log = structlog.get_logger()

AT_ONCE = 50
ANSWER_CONFLICTS = "answer_conflicts"
"""A report names our nodules under another patient or study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What came of one report."""

    outcome: ReportOutcome
    reason: str = ""
    job_id: int | None = None
    spoken: tuple[Spoke, ...] = ()
    report: EditedReport | None = None


def await_answers(session: Session, header: InstanceHeader, sha256: str, *, at: float) -> None:
    """Remember that an arrived report is to be looked at; what is ours is none.

    Parameters
    ----------
    sha256 : str
        Of its data set: the same content is looked at once. One that said nothing of our nodules
        is looked at again when it comes back in the place of another: the last copy counts.
    """
    uid = header.sop_instance_uid
    if not is_report(header) or session.get(ResultObject, uid) is not None:
        return
    known = session.scalars(
        select(AnswerReport).where(
            AnswerReport.sop_uid == uid, AnswerReport.header_sha256 == sha256
        )
    ).first()
    if known is None:
        session.add(
            AnswerReport(
                sop_uid=uid, header_sha256=sha256, outcome=ReportOutcome.PENDING, received_at=at
            )
        )
    elif known.outcome in {ReportOutcome.NOT_OURS, ReportOutcome.UNCLEAR}:
        known.outcome, known.received_at = ReportOutcome.PENDING, at


def take_answers(app: Application) -> int:
    """Look at the reports that wait; returns how many were looked at.

    Raises
    ------
    StoreUnavailable
        If the store is away; the rest waits.
    """
    with app.database.read() as session:
        waiting = session.execute(
            select(
                AnswerReport.id, Instance.path, Instance.header_sha256 == AnswerReport.header_sha256
            )
            .join(Instance, Instance.sop_uid == AnswerReport.sop_uid)
            .where(AnswerReport.outcome == ReportOutcome.PENDING, Instance.stored)
            .order_by(AnswerReport.id)
            .limit(AT_ONCE)
        ).all()
    for report_id, key, current in waiting:
        if current:
            taken = _look_at(app, key)
        else:
            why = "a newer copy of it took its place before it was looked at"
            taken = _Taken(outcome=ReportOutcome.UNCLEAR, reason=why)
        _write(app, report_id, taken)
    return len(waiting)


def _look_at(app: Application, key: str) -> _Taken:
    try:
        with tempfile.TemporaryDirectory(prefix="pulmonode-answer-") as scratch:
            (path,) = app.store.local_files([key], Path(scratch))
            report = read_edited_report(path)
            told = read_stored_report(path)
            size_bytes, (sha256, _) = path.stat().st_size, digests(path)
    except ObjectMissing:
        return _Taken(outcome=ReportOutcome.UNCLEAR, reason="its file is gone from the store")
    except UnreadableInstance as error:
        return _Taken(outcome=ReportOutcome.UNCLEAR, reason=f"it cannot be read: {error.why}")
    with app.database.read() as session:
        subject = find_answered_result(session, report)
    if subject is None or _is_copy_of_ours(report):
        if not report.has_own_equipment:
            take_report(app, told, sha256=sha256, size_bytes=size_bytes)
        return _Taken(outcome=ReportOutcome.NOT_OURS, report=report)
    if subject.conflict:
        return _Taken(
            outcome=ReportOutcome.CONFLICT,
            reason=subject.conflict,
            job_id=subject.job_id,
            report=report,
        )
    unclear = ""
    if report.author is None:
        unclear = "no person is named as its author or observer, and nobody verified it"
    elif not report.is_measurement_report:
        unclear = "it is no TID 1500 measurement report"
    if unclear:
        return _Taken(
            outcome=ReportOutcome.UNCLEAR, reason=unclear, job_id=subject.job_id, report=report
        )
    try:
        spoken = _judge(app, report, subject)
    except (ObjectMissing, ObjectChanged, UnreadableInstance) as error:
        why = f"our own result cannot be read beside it: {error}"
        return _Taken(
            outcome=ReportOutcome.UNCLEAR, reason=why, job_id=subject.job_id, report=report
        )
    return _Taken(
        outcome=ReportOutcome.ANSWERS,
        reason="" if spoken else "it says nothing of a single nodule",
        job_id=subject.job_id,
        spoken=spoken,
        report=report,
    )


def _is_copy_of_ours(report: EditedReport) -> bool:
    """Our own report under whatever UID a PACS gave it: nobody verified it or signed it."""
    return report.has_own_equipment and not report.verified and report.author is None


def _judge(app: Application, report: EditedReport, subject: AnsweredResult) -> tuple[Spoke, ...]:
    findings = json.loads(get_content(app.store, *subject.findings))
    own = {uid: _read_own(app, *place) for uid, place in subject.reports.items()}
    nodules = (
        *known_nodules(findings, [item.findings for item in own.values()]),
        *_added_before(subject),
    )
    places = {
        uid: place_lps_mm(finding, subject.headers) for uid, finding in report.findings.items()
    }
    return judge_report(report, nodules, places, replaced=_replaced(report, subject, own, nodules))


def _read_own(app: Application, key: str, sha256: str) -> EditedReport:
    with tempfile.NamedTemporaryFile(prefix="pulmonode-own-", suffix=".dcm") as file:
        file.write(get_content(app.store, key, sha256))
        file.flush()
        return read_edited_report(Path(file.name))


def _added_before(subject: AnsweredResult) -> tuple[KnownNodule, ...]:
    """Nodules that an earlier answer added: the next report may hold them again."""
    added: dict[str, KnownNodule] = {}
    for _, uid, verdict, said in subject.said_before:
        if verdict != Verdict.ADDED or "centre_lps_mm" not in said:
            continue
        measures = said.get("measures", {})
        x, y, z = said["centre_lps_mm"]
        added[uid] = KnownNodule(
            tracking_uid=uid,
            number=None,
            centre_lps_mm=(x, y, z),
            diameter_mm=measures.get("long_axis_mm"),
            level=said.get("level"),
            lung_rads=said.get("lung_rads"),
            type=said.get("type"),
            measures={name: [value] for name, value in measures.items()},
            comments=frozenset(filter(None, [said.get("comment")])),
        )
    return tuple(added.values())


def _replaced(
    report: EditedReport,
    subject: AnsweredResult,
    own: Mapping[str, EditedReport],
    nodules: tuple[KnownNodule, ...],
) -> Set[str] | None:
    """Tracking UIDs in what a report replaces; `None` when it replaces nothing of ours."""
    earlier = {uid for uid, *_ in subject.said_before if uid is not None}
    named = report.predecessors & (own.keys() | earlier)
    held: set[str] = set()
    for uid in named & own.keys():
        held |= own[uid].findings.keys()
    for sop_uid, uid, verdict, _ in subject.said_before:
        if sop_uid in named and verdict not in {Verdict.REJECT, Verdict.UNCLEAR}:
            held.add(uid)
    if named:
        return held
    if report.has_own_equipment:  # a signed copy of ours
        return {nodule.tracking_uid for nodule in nodules if nodule.number is not None}
    return None


def _write(app: Application, report_id: int, taken: _Taken) -> None:
    now = app.now()
    with app.database.write() as session:
        row = session.get_one(AnswerReport, report_id)
        if row.outcome != ReportOutcome.PENDING:
            return
        row.outcome, row.reason = taken.outcome, printable(taken.reason) or None
        row.job_id, row.looked_at = taken.job_id, now
        if taken.report is not None and taken.job_id is not None:
            _write_answers(session, row, taken, taken.report, now)
    if taken.outcome is not ReportOutcome.NOT_OURS:
        log.info("report_looked_at", job_id=taken.job_id, outcome=str(taken.outcome))


def _write_answers(
    session: Session, row: AnswerReport, taken: _Taken, report: EditedReport, now: float
) -> None:
    job = session.get_one(Job, taken.job_id)
    theirs = current_job(session, report.series_instance_uid)
    if taken.outcome is ReportOutcome.CONFLICT and theirs is not None:
        message = f"{report.sop_instance_uid} is no answer: {taken.reason}"
        hold_job(session, theirs, ANSWER_CONFLICTS, message, now=now)
        return
    author = report.author
    for spoke in taken.spoken:
        session.add(
            Answer(
                job_id=job.id,
                report_id=row.id,
                sop_uid=report.sop_instance_uid,
                tracking_uid=spoke.tracking_uid,
                verdict=spoke.verdict,
                said=_printable(spoke.said),
                why=printable(spoke.why),
                author=printable(author.name) if author else "",
                author_id=printable(author.identifier) if author else "",
                role=author.role if author else "",
                verified=report.verified,
                # nobody says anything after it arrived, whatever a viewer's clock shows
                said_at=min(row.received_at, report.said_at or row.received_at),
                recorded_at=now,
            )
        )
    counts = ", ".join(
        f"{sum(one.verdict is verdict for one in taken.spoken)} {verdict}"
        for verdict in Verdict
        if any(one.verdict is verdict for one in taken.spoken)
    )
    words = counts or taken.reason
    note(session, job, f"a report by somebody else ({taken.outcome}): {words}", at=now)
    if theirs is not None:
        note(session, theirs, f"looked at as an answer to job {job.id}: {words}", at=now)


def _printable(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: printable(value) if isinstance(value, str) else value for key, value in said.items()
    }
