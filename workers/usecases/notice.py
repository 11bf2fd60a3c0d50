"""Which studies need a report that nothing of them could be analysed: one job for each study.

Only where somebody waits for a result: of a chest CT that was refused, or whose analysis failed.
A localizer, a reformat or another region alone says nothing to anybody, and neither does a study
of which any series was ever analysed. Told is when nothing of the study is under way any more and
nothing new came for a while. While a person must decide whose study it is, nothing is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.compose.identity import notice_uid
from dicom_node.read.eligibility import RuleSet, is_of_its_kind, judge, names_chest
from dicom_node.read.geometry import check_geometry
from workers.application import Application
from workers.settings import Settings
from workers.state.jobs import current_job, note, series_jobs
from workers.state.schema import ENDS, Job, JobState, Notice, Result
from workers.usecases.assemble import BETTER_SERIES, NOT_JUDGED, series_headers
from workers.usecases.record import result_identity

log = structlog.get_logger()

STUDIES_AT_ONCE = 20
HELD_BUT_TOLD = frozenset({"truncated", "undecodable", NOT_JUDGED})
"""Reasons of a quarantine that leave no doubt whose study it is."""
SAYS_NO_CHEST = "no_lungs"
"""Where a header names no region, these pixels do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unanalysed:
    job: Job
    code: str
    why: str


def give_notice_due(app: Application, rules: RuleSet, *, now: float) -> int:
    """Look at studies that ended a while ago; returns how many reports were queued."""
    settled = now - app.settings.not_analysed_wait_s
    with app.database.read() as session:
        studies = session.scalars(
            select(Job.study_uid)
            .where(Job.end_considered.is_(False), Job.state.in_(ENDS), Job.state_since <= settled)
            .distinct()
            .limit(STUDIES_AT_ONCE)
        ).all()
    given = 0
    for study_uid in studies:
        with app.database.write() as session:
            given += _consider(session, app.settings, study_uid, rules, settled, now)
    return given


def _consider(
    session: Session,
    settings: Settings,
    study_uid: str,
    rules: RuleSet,
    settled: float,
    now: float,
) -> bool:
    for job in session.scalars(select(Job).where(Job.study_uid == study_uid)):
        if JobState(job.state) in ENDS and job.state_since <= settled:
            job.end_considered = True
    if not (settings.not_analysed_report and settings.destinations and study_uid):
        return False
    newest = _newest_jobs(session, study_uid)
    if not has_ended_unanalysed(session, study_uid):
        return False
    if any(job.state_since > settled for job in newest):
        return False  # its own end brings the study back here
    if any(
        JobState(job.state) is JobState.QUARANTINED and job.reason_code not in HELD_BUT_TOLD
        for job in newest
    ):
        return False
    at_most = settings.maximum_series_instances
    missed = [
        found for job in newest if (found := _missed(session, job, rules, at_most)) is not None
    ]
    if not missed or not _is_news(session, study_uid):
        return False
    _queue(session, study_uid, missed, now)
    return True


def has_ended_unanalysed(session: Session, study_uid: str) -> bool:
    """Whether nothing of a study is under way and no series of it ever had a result."""
    if any(JobState(job.state) not in ENDS for job in _newest_jobs(session, study_uid)):
        return False
    jobs = series_jobs(study_uid).with_only_columns(Job.id)
    return session.scalars(select(Result.job_id).where(Result.job_id.in_(jobs))).first() is None


def _newest_jobs(session: Session, study_uid: str) -> list[Job]:
    """The newest revision's job of each series of a study."""
    newest: dict[str, Job] = {}
    for job in session.scalars(series_jobs(study_uid).order_by(Job.revision)):
        newest[job.series_uid] = job
    return list(newest.values())


def _missed(session: Session, job: Job, rules: RuleSet, at_most: int) -> _Unanalysed | None:
    """Why a series has no result, if somebody waits for one; by so many of its headers."""
    state = JobState(job.state)
    if state in {JobState.CANCELLED, JobState.SUPERSEDED} or job.reason_code in {
        None,
        BETTER_SERIES,
    }:
        return None
    headers = series_headers(session, job.series_uid, at_most=at_most)
    if not headers or headers[0].modality != "CT":
        return None
    geometry = check_geometry(headers)
    if not is_of_its_kind(headers, judge(headers, geometry, rules), rules):
        return None
    chest = names_chest(headers, geometry, rules)
    if chest is False or (chest is None and job.reason_code == SAYS_NO_CHEST):
        return None
    why = job.reason or str(job.reason_code)
    if state is JobState.FAILED:  # the reason is for administrators, and may name hosts and paths
        why = f"the analysis failed ({job.reason_code})"
    return _Unanalysed(job=job, code=str(job.reason_code), why=why)


def _is_news(session: Session, study_uid: str) -> bool:
    """Whether the study has no notice yet, or one that was ended or names another patient."""
    existing = current_job(session, notice_uid(study_uid))
    if existing is None or JobState(existing.state) is JobState.SUPERSEDED:
        return True
    result = session.get(Result, existing.id)
    return result is not None and result.identity_sha256 != result_identity(session, existing)


def _queue(session: Session, study_uid: str, missed: Sequence[_Unanalysed], now: float) -> None:
    missed = sorted(missed, key=lambda item: (-item.job.instance_count, item.job.id))
    earlier = current_job(session, notice_uid(study_uid))
    job = Job(
        study_uid=study_uid,
        series_uid=notice_uid(study_uid),
        revision=1 if earlier is None else earlier.revision + 1,
        state=JobState.QUEUED,
        modality="SR",
        calling_ae=missed[0].job.calling_ae,
        priority=missed[0].job.priority,
        warnings=[],
        created_at=now,
        last_instance_at=now,
        state_since=now,
    )
    session.add(job)
    session.flush()
    about = [
        {"series_uid": item.job.series_uid, "code": item.code, "why": item.why} for item in missed
    ]
    session.add(Notice(job_id=job.id, about=about))
    note(session, job, "nothing of the study could be analysed: a report will say so", at=now)
    for item in missed:
        note(session, item.job, f"nothing of its study was analysed: told by job {job.id}", at=now)
    log.info("notice_queued", job_id=job.id)
