"""queued -> analysing -> analysed: one worker, one job, final bytes committed once."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.barriers import Barrier, reach
from dicom_node.compose.profile import ObjectKind
from dicom_node.compose.sr_document import Predecessor
from dicom_node.errors import DicomNodeError, SeriesRejected
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.series import load_ct_series
from inference.errors import InferenceError, NotAnalysable
from inference.findings import CaseFindings
from inference.grading.table_file import table_to_bytes
from workers.application import Application
from workers.case import analyse_case
from workers.detector_choice import detector_of, grading_of, segmenter_of
from workers.earlier_reports import EarlierReport
from workers.errors import LeaseLost, StoreUnavailable, WorkersError
from workers.metrics import observe
from workers.profiles import profiles_in_use
from workers.state.database import DATABASE_AWAY
from workers.state.jobs import Lease, back_off_s, held_job, is_notice, move, take_job
from workers.state.schema import (
    PAUSES,
    Instance,
    Job,
    JobState,
    Result,
    ResultObject,
    Switch,
)
from workers.state.store import get_content, put_content
from workers.usecases.ask_fhir import ask_fhir
from workers.usecases.assemble import queue_next_best
from workers.usecases.choose import most_urgent_due
from workers.usecases.commit import commit_result, keep_object
from workers.usecases.fetch_prior import fetch_prior
from workers.usecases.find_pet import find_pet
from workers.usecases.find_prior import find_prior
from workers.usecases.heartbeat import tell_device
from workers.usecases.keep_lease import keep_lease
from workers.usecases.known_context import (
    context_warnings,
    ct_owner,
    frozen,
    known_context,
)
from workers.usecases.quarantine import hold_job
from workers.usecases.record import record_due
from workers.usecases.retract import Retraction, compose_retraction, find_retractions
from workers.usecases.revise_for_pet import PETS, pets_of
from workers.usecases.tell_not_analysed import tell_not_analysed

log = structlog.get_logger()

FAILURES = (DicomNodeError, InferenceError, WorkersError, OSError, MemoryError)
DIGEST_SHOWN = 12
SUFFICES_TO_QUARANTINE = frozenset({"truncated", "undecodable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    lease: Lease
    notice: bool
    """Nothing is to be analysed: a report shall say so of a study."""
    series_uid: str
    revision: int
    keys: tuple[str, ...]
    allow_incomplete: bool
    warnings: tuple[str, ...]
    earlier: tuple[str, str] | None
    """Key and SHA-256 of the earlier revision's findings."""
    reports: tuple[EarlierReport, ...]
    retractions: tuple[Retraction, ...]


def analyse_next(app: Application) -> int | None:
    """Take the most urgent due job and analyse it.

    Returns
    -------
    int or None
        The job's number, or `None` when nothing was due.
    """
    work = _take_next(app)
    if work is None:
        return None
    started = time.monotonic()
    outcome = "lease_lost"
    try:
        with keep_lease(app, Job, work.lease):
            outcome = _tell(app, work) if work.notice else _analyse(app, work)
    except LeaseLost:
        log.warning("analysis_discarded", job_id=work.lease.id)
    except DATABASE_AWAY as error:
        # The lease runs out and the job is taken again: nothing was committed.
        log.error("analysis_not_written", job_id=work.lease.id, error=type(error).__name__)
        outcome = "not_written"
    seconds = time.monotonic() - started
    log.info(
        "job_analysed",
        job_id=work.lease.id,
        outcome=outcome,
        duration_s=round(seconds, 2),
        instances=len(work.keys),
    )
    observe.note("pulmonode_analyses_total", outcome=outcome)
    observe.note("pulmonode_analysis_seconds", seconds)
    if outcome == JobState.QUEUED:
        observe.note("pulmonode_retries_total", queue="analyse")
    return work.lease.id


def _take_next(app: Application) -> _Work | None:
    now = app.now()
    with app.database.write() as session:
        paused = session.get(Switch, PAUSES["analyse"])
        if paused is not None and paused.value == "on":
            return None
        job_id = most_urgent_due(session, now=now, starvation_s=app.settings.starvation_s)
        if job_id is None:
            return None
        lease = take_job(session, job_id, app.owner, now=now, lease_s=app.settings.lease_s)
    reach(Barrier.ANALYSE_TAKEN)
    with app.database.read() as session:
        job = session.get_one(Job, job_id)
        keys = session.scalars(
            select(Instance.path).where(Instance.series_uid == job.series_uid)
        ).all()
        earlier = _earlier_result(session, job)
        return _Work(
            lease=lease,
            notice=is_notice(session, job),
            series_uid=job.series_uid,
            revision=job.revision,
            keys=tuple(keys),
            allow_incomplete=job.forced or app.settings.incomplete_policy == "analyse",
            warnings=tuple(job.warnings),
            earlier=None if earlier is None else (earlier.findings_path, earlier.findings_sha256),
            reports=_earlier_reports(session, job),
            retractions=find_retractions(session, app.settings, job),
        )


def _earlier_result(session: Session, job: Job) -> Result | None:
    """The result of the newest earlier revision that has one."""
    return session.scalars(
        select(Result)
        .join(Job, Job.id == Result.job_id)
        .where(
            Job.series_uid == job.series_uid,
            Job.revision < job.revision,
            Result.removed_at.is_(None),
        )
        .order_by(Job.revision.desc())
        .limit(1)
    ).first()


def _earlier_reports(session: Session, job: Job) -> tuple[EarlierReport, ...]:
    """The reports of the newest earlier revision that has any, one for each dress."""
    reports = session.execute(
        select(ResultObject, Job.revision)
        .join(Job, Job.id == ResultObject.job_id)
        .where(
            Job.series_uid == job.series_uid,
            Job.revision < job.revision,
            ResultObject.kind == ObjectKind.SR,
        )
        .order_by(Job.revision.desc(), ResultObject.sop_uid)
    ).all()
    return tuple(
        EarlierReport(
            predecessor=Predecessor(
                sop_class_uid=report.sop_class_uid,
                sop_instance_uid=report.sop_uid,
                series_instance_uid=report.series_uid,
                study_instance_uid=job.study_uid,
            ),
            revision=revision,
            profiles=tuple(report.profiles),
        )
        for report, revision in reports
        if revision == reports[0].revision
    )


def _analyse(app: Application, work: _Work) -> str:
    created = datetime.fromtimestamp(app.now(), tz=UTC)
    try:
        series = _load(app, work)
        prior, doubts = find_prior(app, series)
        if prior is None:
            prior, others = fetch_prior(app, series)
            doubts += others
        with app.database.read() as session:
            day = session.get_one(Job, work.lease.id).patient_day  # as `revise_for_pet` asks
            pets = pets_of(session, series.study_instance_uid, day)
        pet, unused = find_pet(app, series)
        doubts += unused
        doubts += ask_fhir(app, ct_owner(series, app.settings))
        known, ct = known_context(app, series)
        result = analyse_case(
            series,
            revision=work.revision,
            created=created,
            context=known.context,
            known=known.known,
            report=known.exam,
            warnings=(*work.warnings, *doubts, *context_warnings(known)),
            prior=prior,
            pet=pet,
            previous_findings=_read_findings(app, work.earlier),
            profiles=profiles_in_use(app.settings),
            earlier=work.reports,
            detector=detector_of(app.settings),
            segmenter=segmenter_of(app.settings),
            grading=grading_of(app.settings),
            font_file=app.settings.font_file,
        )
        notes = [
            (compose_retraction(series, result, item, created=created), item.destinations)
            for item in work.retractions
        ]
        reach(Barrier.ANALYSE_COMPOSED)
        findings = put_content(app.store, result.findings_bytes(), ".json")
        features = (
            None
            if result.features is None
            else put_content(app.store, table_to_bytes(result.features), ".npz")
        )
        kept = [keep_object(app, item) for item in result.objects]
        kept += [keep_object(app, item, names) for item, names in notes]
    except SeriesRejected as error:
        return _end(
            app, work, error.code, error.why, quarantine=error.code in SUFFICES_TO_QUARANTINE
        )
    except NotAnalysable as error:
        return _end(app, work, error.code, error.why)
    except FAILURES as error:
        return fail_attempt(app, work.lease, error)
    used = (known.digest, {**frozen(known, ct), PETS: pets})
    commit_result(app, work.lease, result, findings, kept, features, used)
    _count_findings(result.findings)
    tell_device(app, os.getppid(), result.findings.device)
    reach(Barrier.ANALYSE_COMMITTED)
    _record(app, work)
    return "analysed"


def _count_findings(findings: CaseFindings) -> None:
    for stage, seconds in findings.timings_s.items():
        observe.note("pulmonode_analysis_stage_seconds", seconds, stage=stage)
    for name, digest in findings.weights.items():
        observe.note("pulmonode_model_info", 1, model=name, sha256=digest[:DIGEST_SHOWN])
    for nodule in findings.nodules:
        observe.note("pulmonode_nodules_total", level=nodule.grade.level or "withheld")


def _tell(app: Application, work: _Work) -> str:
    created = datetime.fromtimestamp(app.now(), tz=UTC)
    try:
        tell_not_analysed(
            app,
            work.lease,
            profiles=profiles_in_use(app.settings),
            created=created,
            earlier=work.reports,
        )
    except LeaseLost:
        raise
    except FAILURES as error:
        return fail_attempt(app, work.lease, error)
    _record(app, work)
    return "told"


def _record(app: Application, work: _Work) -> None:
    try:
        record_due(app)
    except StoreUnavailable:
        log.warning("record_delayed", job_id=work.lease.id)  # maintenance keeps it later


def _load(app: Application, work: _Work) -> CtSeries:
    with tempfile.TemporaryDirectory(prefix="pulmonode-series-") as scratch:
        paths = app.store.local_files(work.keys, Path(scratch))
        return load_ct_series(paths, allow_incomplete=work.allow_incomplete)


def _read_findings(app: Application, earlier: tuple[str, str] | None) -> Mapping[str, Any] | None:
    if earlier is None:
        return None
    findings: Mapping[str, Any] = json.loads(get_content(app.store, *earlier))
    return findings


def _end(app: Application, work: _Work, code: str, why: str, *, quarantine: bool = False) -> str:
    now = app.now()
    with app.database.write() as session:
        job = held_job(session, work.lease)
        if quarantine:
            hold_job(session, job, code, why, now=now)
        else:
            move(session, job, JobState.NOT_ELIGIBLE, why, at=now, reason_code=code)
        queue_next_best(session, job, now=now)
        return job.state


def fail_attempt(app: Application, lease: Lease, error: BaseException) -> str:
    """Write a failed attempt: queued again with a back-off, or failed for good.

    `transient` of the error alone decides; errors of the operating system are transient. An
    outage that says nothing of the job does not count as one of its attempts.
    """
    now = app.now()
    settings = app.settings
    transient = bool(getattr(error, "transient", isinstance(error, OSError | MemoryError)))
    why = f"{type(error).__name__}: {error}"
    with app.database.write() as session:
        job = held_job(session, lease)
        outage = isinstance(error, StoreUnavailable)
        if transient and (outage or job.attempts < settings.max_attempts):
            delay = back_off_s(
                job.attempts, base_s=settings.retry_base_s, cap_s=settings.retry_cap_s
            )
            message = f"attempt {job.attempts} failed, next in {delay:.0f} s: {why}"
            move(
                session, job, JobState.QUEUED, message, at=now, reason_code="retry", transient=True
            )
            job.attempts -= outage
            job.next_attempt_at = now + delay
            job.hinted_at = 0.0
        else:
            move(
                session,
                job,
                JobState.FAILED,
                why,
                at=now,
                reason_code=type(error).__name__,
                transient=transient,
            )
            if not transient:  # else it is the system's fault, and others would meet it too
                queue_next_best(session, job, now=now)
        return job.state
