"""queued -> analysing -> analysed: one worker, one job, final bytes committed once."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from dicom_node.compose.content import ComposedObject
from dicom_node.compose.sr import Predecessor
from dicom_node.errors import DicomNodeError, SeriesRejected
from dicom_node.read.header import InstanceHeader
from dicom_node.read.series import load_ct_series
from inference.errors import InferenceError, NotAnalysable
from workers import clock
from workers.application import Application
from workers.case import CaseResult, analyse_case
from workers.errors import LeaseLost
from workers.state.jobs import Lease, back_off_s, held_job, move, note, renew, take_job
from workers.state.schema import (
    PAUSES,
    Delivery,
    DeliveryState,
    Instance,
    Job,
    JobState,
    Result,
    ResultObject,
    Switch,
)
from workers.usecases.index import WITH_RESULT, move_to_quarantine

log = structlog.get_logger()

SUFFICES_TO_QUARANTINE = frozenset({"truncated", "undecodable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    lease: Lease
    series_uid: str
    revision: int
    paths: tuple[Path, ...]
    allow_incomplete: bool
    warnings: tuple[str, ...]
    previous_findings: Mapping[str, Any] | None
    predecessor: Predecessor | None


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
            outcome = _analyse(app, work)
    except LeaseLost:
        log.warning("analysis_discarded", job_id=work.lease.id)
    log.info(
        "job_analysed",
        job_id=work.lease.id,
        outcome=outcome,
        duration_s=round(time.monotonic() - started, 2),
        instances=len(work.paths),
    )
    return work.lease.id


def _take_next(app: Application) -> _Work | None:
    now = clock.now()
    with app.database.write() as session:
        paused = session.get(Switch, PAUSES["analyse"])
        if paused is not None and paused.value == "on":
            return None
        job = session.scalars(
            select(Job)
            .where(Job.state == JobState.QUEUED, Job.next_attempt_at <= now)
            .order_by(Job.priority.desc(), Job.created_at)
            .limit(1)
        ).first()
        if job is None:
            return None
        lease = take_job(session, job.id, app.owner, now=now, lease_s=app.settings.lease_s)
        paths = session.scalars(
            select(Instance.path).where(Instance.series_uid == job.series_uid)
        ).all()
        previous, predecessor = _predecessor(app, session, job)
        return _Work(
            lease=lease,
            series_uid=job.series_uid,
            revision=job.revision,
            paths=tuple(app.spool.root / path for path in paths),
            allow_incomplete=job.forced or app.settings.incomplete_policy == "analyse",
            warnings=tuple(job.warnings),
            previous_findings=previous,
            predecessor=predecessor,
        )


def _predecessor(
    app: Application, session: Session, job: Job
) -> tuple[Mapping[str, Any] | None, Predecessor | None]:
    """Findings and report of the newest earlier revision that has a result."""
    row = session.execute(
        select(Result, ResultObject)
        .join(Job, Job.id == Result.job_id)
        .join(ResultObject, ResultObject.job_id == Job.id)
        .where(
            Job.series_uid == job.series_uid,
            Job.revision < job.revision,
            ResultObject.kind == "sr",
        )
        .order_by(Job.revision.desc())
        .limit(1)
    ).first()
    if row is None:
        return None, None
    result, report = row
    findings = json.loads(app.results.get(result.findings_path, result.findings_sha256))
    return findings, Predecessor(
        sop_class_uid=report.sop_class_uid,
        sop_instance_uid=report.sop_uid,
        series_instance_uid=report.series_uid,
        study_instance_uid=job.study_uid,
    )


@contextmanager
def keep_lease(app: Application, table: type[Job] | type[Delivery], lease: Lease) -> Iterator[None]:
    """Renew a lease in the background for the length of a ``with`` block.

    A lease that is lost is noticed when the outcome is written, never here.
    """
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(app.settings.lease_s / 4):
            try:
                with app.database.write() as session:
                    renew(session, table, lease, until=clock.now() + app.settings.lease_s)
            except LeaseLost:
                return
            except OperationalError as error:
                # A busy database: three more beats come before the lease runs out.
                log.warning("lease_not_renewed", error=type(error).__name__)

    thread = threading.Thread(target=beat, name=f"lease-{lease.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _analyse(app: Application, work: _Work) -> str:
    try:
        series = load_ct_series(work.paths, allow_incomplete=work.allow_incomplete)
        result = analyse_case(
            series,
            revision=work.revision,
            created=datetime.fromtimestamp(clock.now(), tz=UTC),
            warnings=work.warnings,
            previous_findings=work.previous_findings,
            predecessor=work.predecessor,
        )
    except SeriesRejected as error:
        return _end(
            app, work, error.code, error.why, quarantine=error.code in SUFFICES_TO_QUARANTINE
        )
    except NotAnalysable as error:
        return _end(app, work, error.code, error.why)
    except (DicomNodeError, InferenceError, OSError, MemoryError) as error:
        return fail_attempt(app, work.lease, error)
    _commit(app, work, result)
    return "analysed"


def _end(app: Application, work: _Work, code: str, why: str, *, quarantine: bool = False) -> str:
    with app.database.write() as session:
        job = held_job(session, work.lease)
        if quarantine:
            move_to_quarantine(session, job, code, why)
        else:
            move(session, job, JobState.NOT_ELIGIBLE, why, at=clock.now(), reason_code=code)
        return job.state


def fail_attempt(app: Application, lease: Lease, error: BaseException) -> str:
    """Write a failed attempt: queued again with a back-off, or failed for good.

    `transient` of the error alone decides; errors of the operating system are transient.
    """
    now = clock.now()
    settings = app.settings
    transient = bool(getattr(error, "transient", isinstance(error, OSError | MemoryError)))
    why = f"{type(error).__name__}: {error}"
    with app.database.write() as session:
        job = held_job(session, lease)
        if transient and job.attempts < settings.max_attempts:
            delay = back_off_s(
                job.attempts, base_s=settings.retry_base_s, cap_s=settings.retry_cap_s
            )
            message = f"attempt {job.attempts} failed, next in {delay:.0f} s: {why}"
            move(
                session, job, JobState.QUEUED, message, at=now, reason_code="retry", transient=True
            )
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
        return job.state


def identity_digest(headers: list[InstanceHeader]) -> str:
    """SHA-256 over the patient and study attributes of a series."""
    identities = sorted(
        {json.dumps(header.identity.to_json(), sort_keys=True) for header in headers}
    )
    return hashlib.sha256("\n".join(identities).encode()).hexdigest()


def _commit(app: Application, work: _Work, result: CaseResult) -> None:
    """Store the final bytes and, if the lease still holds, make them the job's result."""
    findings_path, findings_sha256 = app.results.put(result.findings_bytes(), ".json")
    stored = [(item, *app.results.put(item.data, ".dcm")) for item in result.objects]
    now = clock.now()
    with app.database.write() as session:
        job = held_job(session, work.lease)
        rows = session.scalars(select(Instance).where(Instance.series_uid == job.series_uid)).all()
        headers = [InstanceHeader.from_json(row.header) for row in rows]
        session.add(
            Result(
                job_id=job.id,
                fencing_token=work.lease.token,
                committed_at=now,
                findings_path=findings_path,
                findings_sha256=findings_sha256,
                identity_sha256=identity_digest(headers),
                nodule_count=len(result.findings.nodules),
            )
        )
        session.add_all(_object_row(job, *item) for item in stored)
        job.warnings = list(result.findings.quality.warnings)
        message = f"{len(result.findings.nodules)} nodules, {len(stored)} objects"
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
    """End earlier results: of older revisions, and of series that this one was preferred to."""
    for other in session.scalars(select(Job).where(Job.study_uid == job.study_uid)).all():
        older = other.series_uid == job.series_uid and other.revision < job.revision
        weaker = other.series_uid != job.series_uid and not job.forced and not other.forced
        if not (older or weaker) or JobState(other.state) not in WITH_RESULT:
            continue
        for delivery in session.scalars(select(Delivery).where(Delivery.job_id == other.id)):
            if delivery.state in {DeliveryState.QUEUED, DeliveryState.SENDING}:
                delivery.state = DeliveryState.CANCELLED
                delivery.reason = f"superseded by job {job.id}"
        move(
            session,
            other,
            JobState.SUPERSEDED,
            f"superseded by job {job.id} (series {job.series_uid}, revision {job.revision})",
            at=now,
            reason_code="superseded",
        )
