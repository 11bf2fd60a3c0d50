"""A result becomes the job's, once: final bytes, deliveries, and the end of what it replaces.

A revision whose record in the object store names other bytes has a result already, which the
database has lost. That one becomes the job's again: the UIDs are the same, and a PACS must never
see two versions of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.barriers import Barrier, reach
from dicom_node.compose.content import ComposedObject
from inference.findings import CaseFindings
from workers.application import Application
from workers.case import CaseResult
from workers.errors import StoreUnavailable
from workers.patient_key import whose
from workers.settings import Settings
from workers.state.context_tables import UsedContext
from workers.state.jobs import NEEDS_A_PERSON, Lease, back_off_s, held_job, is_notice, move, note
from workers.state.schema import WITH_RESULT, Job, JobState, ReportedNodule, Result, ResultObject
from workers.state.store import put_content
from workers.usecases.assemble import series_headers
from workers.usecases.begin_deliveries import begin_deliveries
from workers.usecases.notice import has_ended_unanalysed
from workers.usecases.record import (
    add_recorded,
    follow_late,
    object_digests,
    read_record,
    result_identity,
)
from workers.usecases.revise import refute_notices, supersede
from workers.usecases.revise_for_pet import revise_for_lost_pet, revise_for_pet

log = structlog.get_logger()

RECORDED_OTHERWISE = "recorded_otherwise"
"""This revision has a result under other patient or study data, which the database has lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptObject:
    """A composed object that stands in the object store.

    With `destinations`, only those get it.
    """

    item: ComposedObject
    path: str
    sha256: str
    destinations: tuple[str, ...] = ()


def keep_object(
    app: Application, item: ComposedObject, destinations: tuple[str, ...] = ()
) -> KeptObject:
    """Put a composed object into the object store.

    Raises
    ------
    StoreUnavailable
        If the store does not take it.
    """
    path, sha256 = put_content(app.store, item.data, ".dcm")
    return KeptObject(item=item, path=path, sha256=sha256, destinations=destinations)


def commit_result(
    app: Application,
    lease: Lease,
    result: CaseResult,
    findings: tuple[str, str],
    kept: Sequence[KeptObject],
    features: tuple[str, str] | None = None,
    used: tuple[str, dict[str, Any]] | None = None,
) -> None:
    """If the lease still holds, make an analysis kept in the store the job's result.

    A recorded result of other bytes is taken up in its place. When it stands under other
    patient or study data, the job fails. When the store cannot say, the job waits.
    """
    nodules, warnings = len(result.findings.nodules), result.findings.quality.warnings
    tracking_uids = [item["tracking_uid"] for item in result.findings_json.get("nodules", ())]
    _commit(
        app,
        lease,
        findings,
        kept,
        nodules=nodules,
        warnings=warnings,
        features=features,
        tracking_uids=tracking_uids,
        compared=describe_comparison(result.findings),
        used=used,
    )


def describe_comparison(findings: CaseFindings) -> str:
    """How the nodules compare with the earlier examination, for the job's history; or nothing."""
    follow_up = findings.follow_up
    if follow_up is None:
        return ""
    if not follow_up.compared:
        return f"; not compared with {follow_up.days_before:.0f} days before: {follow_up.why}"
    counts = Counter(item.change.status for item in findings.nodules if item.change is not None)
    said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return f"; since {follow_up.days_before:.0f} days before: {said or 'no nodule now'}"


def commit_notice(
    app: Application,
    lease: Lease,
    findings: tuple[str, str],
    kept: Sequence[KeptObject],
) -> None:
    """As `commit_result`, for the report that nothing of a study could be analysed.

    One that comes too late, because a series was analysed meanwhile, is superseded at once.
    """
    _commit(app, lease, findings, kept, nodules=0, warnings=())


def _commit(
    app: Application,
    lease: Lease,
    findings: tuple[str, str],
    kept: Sequence[KeptObject],
    *,
    nodules: int,
    warnings: Sequence[str],
    features: tuple[str, str] | None = None,
    tracking_uids: Sequence[str] = (),
    compared: str = "",
    used: tuple[str, dict[str, Any]] | None = None,
) -> None:
    try:
        recorded = _recorded_otherwise(app, lease, kept)
    except StoreUnavailable as error:
        _postpone(app, lease, error)
        return
    reach(Barrier.ANALYSE_BEFORE_COMMIT)
    now = app.now()
    with app.database.write() as session:
        job = held_job(session, lease)
        identity = result_identity(session, job)
        notice = is_notice(session, job)
        if notice and not has_ended_unanalysed(session, job.study_uid):
            message = "a series of the study is under way again, or was analysed meanwhile"
            move(session, job, JobState.SUPERSEDED, message, at=now, reason_code="superseded")
            return
        if recorded is not None and recorded["result"]["identity_sha256"] != identity:
            _fail_recorded(session, job, now)
            return
        if recorded is None:
            session.add(
                Result(
                    job_id=job.id,
                    fencing_token=lease.token,
                    committed_at=now,
                    findings_path=findings[0],
                    findings_sha256=findings[1],
                    features_path=None if features is None else features[0],
                    features_sha256=None if features is None else features[1],
                    identity_sha256=identity,
                    nodule_count=nodules,
                    **whose(series_headers(session, job.series_uid)),
                )
            )
            session.add_all(_object_row(job, item) for item in kept)
            if used is not None:
                session.add(UsedContext(job_id=job.id, digest=used[0], content=used[1]))
            session.add_all(
                ReportedNodule(job_id=job.id, tracking_uid=uid) for uid in tracking_uids
            )
            job.warnings = list(warnings)
            message = f"{nodules} nodules, {len(kept)} objects{compared}"
            if notice:
                message = f"nothing of the study was analysed, {len(kept)} objects"
        else:
            add_recorded(session, job, recorded)
            message = (
                "this revision has a result already: taken up from its record in the object "
                "store, the new one is dropped"
            )
            log.warning("recorded_result_taken_up", job_id=job.id)
        move(session, job, JobState.ANALYSED, message, at=now)
        _supersede_earlier(session, job, now)
        _queue_deliveries(session, app.settings, job, now)
        session.flush()
        revise_for_pet(session, app.settings, job.study_uid, now)  # one that came meanwhile
        revise_for_lost_pet(session, app.settings, job.patient_day, now)  # corrected meanwhile
        if recorded is not None:
            follow_late(session, job, series_headers(session, job.series_uid), now)


def _recorded_otherwise(
    app: Application, lease: Lease, kept: Sequence[KeptObject]
) -> Mapping[str, Any] | None:
    """The record of this revision, if it names other bytes than were kept now."""
    with app.database.read() as session:
        job = session.get_one(Job, lease.id)
        series_uid, revision = job.series_uid, job.revision
    record = read_record(app, series_uid, revision)
    mine = {each.item.sop_instance_uid: each.sha256 for each in kept}
    return None if record is None or object_digests(record) == mine else record


def _fail_recorded(session: Session, job: Job, now: float) -> None:
    message = (
        f"revision {job.revision} has a result in the object store already, under other patient "
        "or study data: stop the node and run 'pulmonode reindex'"
    )
    move(
        session,
        job,
        JobState.FAILED,
        message,
        at=now,
        reason_code=RECORDED_OTHERWISE,
        transient=False,
    )


def _postpone(app: Application, lease: Lease, error: StoreUnavailable) -> None:
    """Queue the job again; an outage of the store does not count as an attempt."""
    now = app.now()
    settings = app.settings
    with app.database.write() as session:
        job = held_job(session, lease)
        delay = back_off_s(job.attempts, base_s=settings.retry_base_s, cap_s=settings.retry_cap_s)
        message = f"not committed, next attempt in {delay:.0f} s: {error}"
        move(session, job, JobState.QUEUED, message, at=now, reason_code="retry", transient=True)
        job.attempts -= 1
        job.next_attempt_at = now + delay
        job.hinted_at = 0.0


def _queue_deliveries(session: Session, settings: Settings, job: Job, now: float) -> None:
    if not settings.destinations:
        note(session, job, "no destination is configured: the result stays here", at=now)
        return
    begin_deliveries(session, settings, job, now, message="deliveries queued")


def _object_row(job: Job, kept: KeptObject) -> ResultObject:
    item = kept.item
    return ResultObject(
        sop_uid=item.sop_instance_uid,
        job_id=job.id,
        kind=item.kind,
        profiles=list(item.profiles),
        destinations=list(kept.destinations),
        sop_class_uid=item.sop_class_uid,
        series_uid=item.series_instance_uid,
        path=kept.path,
        sha256=kept.sha256,
        size_bytes=len(item.data),
    )


def _supersede_earlier(session: Session, job: Job, now: float) -> None:
    """End earlier results: of older revisions, and of series that this one was preferred to.

    Nobody needs to look any more at an older revision that stopped on its way. A notice is
    preferred to nothing: it is committed only where nothing of the study has a result.
    """
    refute_notices(session, job, now)
    for other in session.scalars(select(Job).where(Job.study_uid == job.study_uid)).all():
        older = other.series_uid == job.series_uid and other.revision < job.revision
        weaker = other.series_uid != job.series_uid and not job.forced and not other.forced
        if not (
            (older and JobState(other.state) in WITH_RESULT | NEEDS_A_PERSON)
            or (weaker and JobState(other.state) in WITH_RESULT)
        ):
            continue
        supersede(session, other, job, now)
