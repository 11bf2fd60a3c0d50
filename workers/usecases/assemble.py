"""receiving -> complete -> queued: which series is whole, may be analysed, and is the best."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.barriers import Barrier, reach
from dicom_node.read.eligibility import RuleSet, judge, rank_series
from dicom_node.read.geometry import check_geometry
from dicom_node.read.header import InstanceHeader
from dicom_node.receive.assembly import Assembly, AssemblyDecision, AssemblyPolicy, judge_assembly
from workers.application import Application
from workers.settings import Settings
from workers.state.database import DATABASE_AWAY
from workers.state.jobs import move, series_jobs
from workers.state.schema import WITH_RESULT, Instance, Job, JobState
from workers.usecases.arrive_again import INSTANCES_REMOVED
from workers.usecases.ask import PACS_SILENT, Question, pacs_questions
from workers.usecases.beside_ct import is_beside_pet
from workers.usecases.index import removed, unstored
from workers.usecases.quarantine import (
    CONFLICTING_PATIENT,
    CORRECTION_NOT_AGREED,
    hold_job,
    study_identity,
)
from workers.usecases.revise_for_pet import revise_for_pet
from workers.usecases.waiting import Waiting

log = structlog.get_logger()

NOT_JUDGED = "not_judged"
BETTER_SERIES = "better_series_chosen"
TOO_MANY_INSTANCES = "too_many_instances"
PERSON_DECIDES = frozenset({CONFLICTING_PATIENT, CORRECTION_NOT_AGREED})
"""What is quarantined, rather than refused or analysed all the same, when waiting is over."""


def assemble_due(
    app: Application, rules: RuleSet, *, now: float, waiting: Waiting | None = None
) -> int:
    """Judge every series that has been quiet long enough; returns how many jobs moved.

    One that raises what nobody foresaw is quarantined, so that it holds no other back.

    Parameters
    ----------
    waiting : Waiting, optional
        What is known of those that wait; all are judged without it.
    """
    settings = app.settings
    waiting = waiting or Waiting()
    with app.database.read() as session:
        quiet = session.scalars(
            select(Job).where(
                Job.state == JobState.RECEIVING,
                (Job.last_instance_at <= now - settings.quiet_time_s) | Job.forced,
            )
        ).all()
        due = waiting.due(session, quiet, settings, now=now)
    moved = 0
    for number, job_id in enumerate(due):  # a transaction each: one bad series holds no other back
        try:
            with app.database.write() as session:
                job = session.get_one(Job, job_id)
                changed = False
                if JobState(job.state) is JobState.RECEIVING:
                    changed = _assemble(session, job, settings, rules, now)
                    reach(Barrier.QUEUE_BEFORE_COMMIT)
            if changed:
                log.info(
                    "job_assembled",
                    job_id=job.id,
                    outcome=job.state,
                    reason_code=job.reason_code,
                    instances=job.instance_count,
                )
        except (*DATABASE_AWAY, OSError, MemoryError):  # these say nothing of the series
            waiting.forget(due[number:])
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must go on
            changed = _hold_unjudged(app, job_id, error, now)
        moved += changed
    return moved


def _hold_unjudged(app: Application, job_id: int, error: Exception, now: float) -> bool:
    log.exception("job_not_judged", job_id=job_id)
    message = f"it could not be judged ({type(error).__name__}): see the node's log"
    with app.database.write() as session:
        job = session.get_one(Job, job_id)
        if JobState(job.state) is not JobState.RECEIVING:
            return False
        hold_job(session, job, NOT_JUDGED, message, now=now)
    return True


def series_headers(
    session: Session, series_uid: str, *, at_most: int | None = None
) -> list[InstanceHeader]:
    """Headers of a series' indexed instances, or of its first ones, in the order of arrival."""
    headers = session.scalars(
        select(Instance.header)
        .where(Instance.series_uid == series_uid)
        .order_by(Instance.received_at)
        .limit(at_most)
    )
    return [InstanceHeader.from_json(header) for header in headers]


def _assemble(session: Session, job: Job, settings: Settings, rules: RuleSet, now: float) -> bool:
    if job.instance_count > settings.maximum_series_instances:
        return _refuse_size(session, job, settings.maximum_series_instances, now)
    headers = series_headers(session, job.series_uid)
    if not headers:
        message = "no file of it is in the index: what was kept aside could not be used, or is gone"
        hold_job(session, job, "no_instances", message, now=now)
        return True
    cut = [header for header in headers if header.truncated]
    if cut:
        message = (
            f"{len(cut)} of {len(headers)} instances are cut short, first "
            f"{cut[0].sop_instance_uid}: send the series again"
        )
        hold_job(session, job, "truncated", message, now=now)
        return True
    geometry = check_geometry(headers)
    verdict = judge(headers, geometry, rules)
    job.warnings = list(dict.fromkeys((*geometry.warnings, *verdict.warnings)))
    waiting = unstored(session, job.series_uid)
    if not verdict.eligible:
        beside_pet = is_beside_pet(session, job)
        if beside_pet and waiting:
            return _await_store(job, waiting)  # its end has results of the study look at it
        move(session, job, JobState.NOT_ELIGIBLE, verdict.reason, at=now, reason_code=verdict.code)
        if beside_pet:
            revise_for_pet(session, settings, job.study_uid, now)
        return True
    final = [problem for problem in geometry.problems if not problem.may_improve]
    if final:
        move(
            session,
            job,
            JobState.NOT_ELIGIBLE,
            "; ".join(problem.why for problem in final),
            at=now,
            reason_code=final[0].code,
        )
        return True
    questions = [
        *(
            Question(code=problem.code, why=problem.why)
            for problem in geometry.problems
            if problem.may_improve
        ),
        *_patient_questions(session, job, headers),
        *pacs_questions(job, settings),
    ]
    if gone := removed(session, job.series_uid):
        return _await_again(session, job, gone, settings, now)
    if waiting:
        return _await_store(job, waiting)
    decision = judge_assembly(
        now=now,
        last_instance_at=job.last_instance_at,
        holes=tuple(question.why for question in questions),
        policy=AssemblyPolicy(
            quiet_time_s=settings.quiet_time_s,
            incomplete_wait_s=settings.incomplete_wait_s,
            analyse_incomplete=settings.incomplete_policy == "analyse",
        ),
        forced=job.forced,
    )
    changed = _apply(session, job, decision, questions, now)
    if job.state == JobState.COMPLETE and is_beside_pet(session, job):
        revise_for_pet(session, settings, job.study_uid, now)
    return changed


def _refuse_size(session: Session, job: Job, limit: int, now: float) -> bool:
    """End a series that is too large to be held at once; its headers are not even read."""
    message = (
        f"{job.instance_count} images in one series, limit {limit}: route the axial series of the "
        "chest alone, or raise PULMONODE_MAXIMUM_SERIES_INSTANCES"
    )
    move(session, job, JobState.NOT_ELIGIBLE, message, at=now, reason_code=TOO_MANY_INSTANCES)
    return True


def _await_store(job: Job, waiting: int) -> bool:
    """Wait for instances that no worker could read yet, however long this lasts."""
    job.reason = f"{waiting} instances do not stand in the object store yet"
    return False


def _await_again(session: Session, job: Job, gone: int, settings: Settings, now: float) -> bool:
    """Wait for instances that were removed by policy; tells whether waiting is over."""
    why = f"{gone} of its instances were removed by the retention policy: send the series again"
    if now < job.last_instance_at + settings.quiet_time_s + settings.incomplete_wait_s:
        job.reason = why
        return False
    move(session, job, JobState.NOT_ELIGIBLE, why, at=now, reason_code=INSTANCES_REMOVED)
    return True


def _patient_questions(
    session: Session, job: Job, headers: Sequence[InstanceHeader]
) -> list[Question]:
    """Whether everything that was received agrees on whose it is."""
    if len({header.identity.patient_key() for header in headers}) > 1:
        why = "its instances name more than one patient: a correction reached only some of them"
        return [Question(code=CONFLICTING_PATIENT, why=why)]
    theirs = study_identity(session, job.study_uid)
    differing = () if theirs is None else headers[0].identity.patient_differences(theirs)
    if not differing:
        return []
    why = f"the study's newest instance names another patient ({', '.join(differing)} differ)"
    return [Question(code=CONFLICTING_PATIENT, why=why)]


def _apply(
    session: Session,
    job: Job,
    decision: AssemblyDecision,
    questions: Sequence[Question],
    now: float,
) -> bool:
    verdict, reason = decision.verdict, decision.reason
    if verdict is Assembly.WAIT:
        job.reason = reason
        return False
    for question in questions:  # waiting is over, or somebody forces the series
        forgiven = job.forced and question.code == CORRECTION_NOT_AGREED
        if question.code in PERSON_DECIDES and not forgiven:
            hold_job(session, job, question.code, question.why, now=now)
            return True
    if verdict is Assembly.REFUSE and all(item.code == PACS_SILENT for item in questions):
        verdict = Assembly.COMPLETE_WITH_WARNING  # what came is whole, as far as can be known
    if verdict is Assembly.REFUSE:
        code = next(item.code for item in questions if item.code != PACS_SILENT)
        move(session, job, JobState.NOT_ELIGIBLE, reason, at=now, reason_code=code)
        return True
    message = f"{job.instance_count} instances"
    if verdict is Assembly.COMPLETE_WITH_WARNING:
        job.warnings = [*job.warnings, f"analysed although incomplete: {reason}"]
        message = f"{message}, taken as complete although {reason}"
    move(session, job, JobState.COMPLETE, message, at=now)
    return True


def queue_due(app: Application, *, now: float) -> int:
    """Queue the best complete series of every study that has been held long enough.

    The others of the study end as not eligible, with the chosen one named. A better series
    that comes later is queued too, and its result supersedes the earlier one's.

    Returns
    -------
    int
        How many jobs were queued.
    """
    complete = select(Job).where(Job.state == JobState.COMPLETE)
    with app.database.read() as session:  # nothing is locked when there is nothing to do
        if session.scalars(complete.limit(1)).first() is None:
            return 0
    with app.database.write() as session:
        waiting: dict[str, list[Job]] = defaultdict(list)
        for job in session.scalars(complete):
            waiting[job.study_uid].append(job)
        return sum(
            _queue_study(session, study_uid, jobs, app.settings.study_hold_s, now)
            for study_uid, jobs in waiting.items()
        )


def _queue_study(
    session: Session, study_uid: str, complete: Sequence[Job], hold_s: float, now: float
) -> int:
    queued = 0
    for job in complete:
        if job.forced:
            move(session, job, JobState.QUEUED, "queued: forced by an administrator", at=now)
            queued += 1
    candidates = [job for job in complete if not job.forced]
    if not candidates or now - max(job.state_since for job in candidates) < hold_s:
        return queued
    study_jobs = session.scalars(series_jobs(study_uid)).all()
    if any(job.state == JobState.RECEIVING for job in study_jobs):
        return queued  # a series of the study is still coming in; its own limits end the wait
    under_way = WITH_RESULT | {JobState.QUEUED, JobState.ANALYSING}
    rivals = [job for job in study_jobs if JobState(job.state) in under_way]
    best = max(candidates, key=lambda job: _rank(session, job))
    stronger = [
        rival
        for rival in rivals
        if rival.series_uid != best.series_uid and _rank(session, rival) >= _rank(session, best)
    ]
    chosen = stronger[0] if stronger else best
    for job in candidates:
        if job is chosen:
            move(session, job, JobState.QUEUED, "queued: best series of its study", at=now)
            queued += 1
        else:
            move(
                session,
                job,
                JobState.NOT_ELIGIBLE,
                f"better series chosen: {chosen.series_uid}",
                at=now,
                reason_code=BETTER_SERIES,
            )
    return queued


def queue_next_best(session: Session, ended: Job, *, now: float) -> bool:
    """Queue the best of the series that stood back for one that could not be analysed.

    Only where nothing else of the study is under way or has a result. What the failed one would
    have shown is still told: it keeps its own end and reason.

    Returns
    -------
    bool
        Whether there was one.
    """
    session.flush()
    jobs = session.scalars(series_jobs(ended.study_uid)).all()
    under_way = WITH_RESULT | {
        JobState.RECEIVING, JobState.COMPLETE, JobState.QUEUED, JobState.ANALYSING
    }  # fmt: skip
    if any(JobState(job.state) in under_way for job in jobs):
        return False
    stood_back = [
        job
        for job in jobs
        if job.state == JobState.NOT_ELIGIBLE
        and job.reason_code == BETTER_SERIES
        and _is_still_here(session, job)
    ]
    if not stood_back:
        return False
    best = max(stood_back, key=lambda job: _rank(session, job))
    message = f"queued: the better series {ended.series_uid} ended as {ended.reason_code}"
    move(session, best, JobState.QUEUED, message, at=now)
    return True


def _is_still_here(session: Session, job: Job) -> bool:
    """Whether the series' instances are kept; the retention policy may have let them go."""
    kept = select(Instance.sop_uid).where(Instance.series_uid == job.series_uid, Instance.stored)
    return session.scalars(kept.limit(1)).first() is not None


def _rank(session: Session, job: Job) -> tuple[float, ...]:
    headers = series_headers(session, job.series_uid)
    return rank_series(headers, check_geometry(headers))
