"""Results written down beside their bytes, so that the database can be rebuilt from the store.

After an analysis is committed, a record of its rows is kept under
``records/<series>/<revision>.json``. A result that stands in the store and not in the database
(restored from an older backup, or lost) is taken up again as it was: the same bytes are
delivered, never a second version of them. For the same reason a record is never replaced by
one of other bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.read.header import InstanceHeader
from workers.application import Application
from workers.errors import ObjectMissing
from workers.patient_key import whose
from workers.settings import Settings
from workers.state.alarms import JOB_STOPPED, clear_alarm
from workers.state.jobs import NEEDS_A_PERSON, current_job, is_notice, move, note
from workers.state.schema import WITH_RESULT, Job, JobState, ReportedNodule, Result, ResultObject
from workers.usecases.assemble import series_headers
from workers.usecases.begin_deliveries import begin_deliveries
from workers.usecases.quarantine import study_identity
from workers.usecases.revise import identity_digest, refute_notices, supersede

log = structlog.get_logger()

RECORDS = "records"
RECORD_VERSION = 2
"""1 had one profile per object, always ``default``."""
OBJECT_KEYS = ("sop_uid", "kind", "profiles", "destinations", "sop_class_uid", "series_uid",
               "path", "sha256", "size_bytes")  # fmt: skip
RESULT_KEYS = ("fencing_token", "committed_at", "findings_path", "findings_sha256",
               "features_path", "features_sha256", "identity_sha256", "nodule_count")  # fmt: skip


def record_due(app: Application) -> int:
    """Keep the records of results that have none yet; returns how many.

    Raises
    ------
    StoreUnavailable
        If the store is away; call it again then.
    """
    with app.database.read() as session:
        jobs = session.scalars(
            select(Job).join(Result, Result.job_id == Job.id).where(Result.recorded.is_(False))
        ).all()
        records = [(job.id, _to_record(session, job)) for job in jobs]
    kept = 0
    for job_id, record in records:
        series_uid, revision = record["series_uid"], record["revision"]
        found = read_record(app, series_uid, revision)
        differs = found is not None and object_digests(found) != object_digests(record)
        if not differs:
            data = (json.dumps(record, indent=1) + "\n").encode()
            app.store.put_bytes(record_key(series_uid, revision), data)
            kept += 1
        with app.database.write() as session:
            session.get_one(Result, job_id).recorded = True
            if differs:
                message = "not recorded: the object store has a record of other bytes, which stays"
                note(session, session.get_one(Job, job_id), message, at=app.now())
                log.error("record_differs", job_id=job_id)
    return kept


def record_key(series_uid: str, revision: int) -> str:
    """Where the record of one revision of a series stands in the object store."""
    return f"{RECORDS}/{series_uid}/{revision}.json"


def read_record(app: Application, series_uid: str, revision: int) -> dict[str, Any] | None:
    """The record of one revision of a series, or `None`.

    Raises
    ------
    StoreUnavailable
        If the store cannot say.
    """
    try:
        data = app.store.get_bytes(record_key(series_uid, revision))
    except ObjectMissing:
        return None
    record: dict[str, Any] = json.loads(data)
    return record


def object_digests(record: Mapping[str, Any]) -> dict[str, str]:
    """SOP Instance UID -> SHA-256 of each object that a record names."""
    return {item["sop_uid"]: item["sha256"] for item in record["objects"]}


def _to_record(session: Session, job: Job) -> dict[str, Any]:
    result = session.get_one(Result, job.id)
    objects = session.scalars(select(ResultObject).where(ResultObject.job_id == job.id))
    return {
        "record_version": RECORD_VERSION,
        "study_uid": job.study_uid,
        "series_uid": job.series_uid,
        "revision": job.revision,
        "instance_count": job.instance_count,
        "warnings": job.warnings,
        "result": {key: getattr(result, key) for key in RESULT_KEYS},
        "objects": [{key: getattr(item, key) for key in OBJECT_KEYS} for item in objects],
        "tracking_uids": list(
            session.scalars(
                select(ReportedNodule.tracking_uid).where(ReportedNodule.job_id == job.id)
            )
        ),
    }


def read_records(app: Application) -> list[dict[str, Any]]:
    """Every record in the store, by series and revision."""
    records = [json.loads(app.store.get_bytes(key)) for key in app.store.keys(RECORDS)]
    return sorted(records, key=lambda record: (record["series_uid"], record["revision"]))


def take_up(
    session: Session, settings: Settings, record: dict[str, Any], *, newest: bool, now: float
) -> bool:
    """Make a recorded result the result of its series again.

    Parameters
    ----------
    newest : bool
        Whether the series has no later record; an earlier one is taken up as superseded, as is
        one under words that were corrected since.

    Returns
    -------
    bool
        False when the database knows it already, or knows nothing of the series.
    """
    series_uid, revision = record["series_uid"], record["revision"]
    known = {
        job.revision: job
        for job in session.scalars(select(Job).where(Job.series_uid == series_uid))
    }
    found = known.get(revision)
    if not known or (found is not None and session.get(Result, found.id) is not None):
        return False
    job = found or _copy_job(session, known[max(known)], revision)
    add_recorded(session, job, record)
    job.lease_owner = job.lease_expires_at = None
    job.fencing_token += 1  # whoever works on it meanwhile has lost it
    # Not an arrow of a job's life: its row is brought to where it was before it was lost.
    job.state, job.state_since = JobState.ANALYSED, now
    job.reason_code = job.reason = None
    clear_alarm(session, JOB_STOPPED, str(job.id), at=now)
    note(session, job, "result taken up from its record in the object store", at=now)
    if not newest or any(number > revision for number in known):
        message = "a later revision exists"
        move(session, job, JobState.SUPERSEDED, message, at=now, reason_code="superseded")
        return True
    for number, earlier in known.items():
        if number < revision and JobState(earlier.state) in WITH_RESULT | NEEDS_A_PERSON:
            supersede(session, earlier, job, now)
    refute_notices(session, job, now)
    headers = series_headers(session, series_uid)
    if result_identity(session, job) != record["result"]["identity_sha256"]:
        message = "corrected since: it is not sent under the old words"
        move(session, job, JobState.SUPERSEDED, message, at=now, reason_code="corrected")
        if not is_notice(session, job):  # a notice follows its study (usecases/notice.py)
            _follow(session, job, f"corrected after revision {revision}", headers, now)
        return True
    begin_deliveries(session, settings, job, now, message="deliveries queued again")
    follow_late(session, job, headers, now)
    return True


def result_identity(session: Session, job: Job) -> str:
    """SHA-256 over whose result a job's is, as far as is known now.

    Of a series: patient and study of its instances. Of a notice: patient and accession number of
    the study's newest instance.
    """
    if not is_notice(session, job):
        return identity_digest(series_headers(session, job.series_uid))
    newest = study_identity(session, job.study_uid)
    known = () if newest is None else (*newest.patient_key(), newest.accession_number)
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def add_recorded(session: Session, job: Job, record: Mapping[str, Any]) -> None:
    """Give a job the rows of a recorded result."""
    headers = series_headers(session, job.series_uid)
    session.add(Result(job_id=job.id, recorded=True, **record["result"], **whose(headers)))
    session.add_all(ResultObject(job_id=job.id, **_object(item)) for item in record["objects"])
    session.add_all(  # records of an earlier release name none
        ReportedNodule(job_id=job.id, tracking_uid=uid) for uid in record.get("tracking_uids", ())
    )
    job.instance_count = record["instance_count"]
    job.warnings = record["warnings"]


def _object(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded object as columns of today, whichever version its record has."""
    values = dict(recorded)
    if "profiles" not in values:
        values["profiles"], values["destinations"] = [values.pop("profile")], []
    return values


def follow_late(session: Session, job: Job, headers: Sequence[InstanceHeader], now: float) -> None:
    """Begin the next revision when more instances came than the recorded result covers."""
    newest = current_job(session, job.series_uid)
    if newest is not None and newest.id == job.id and len(headers) > job.instance_count:
        _follow(session, job, f"late instances after revision {job.revision}", headers, now)


def _follow(
    session: Session, job: Job, message: str, headers: Sequence[InstanceHeader], now: float
) -> None:
    """Begin the next revision, for what came after the record was made."""
    more = _copy_job(session, job, job.revision + 1)
    more.instance_count, more.last_instance_at = len(headers), now
    more.correction = job.correction
    note(session, more, message, at=now)


def _copy_job(session: Session, like: Job, revision: int) -> Job:
    job = Job(
        study_uid=like.study_uid,
        series_uid=like.series_uid,
        revision=revision,
        state=JobState.RECEIVING,
        calling_ae=like.calling_ae,
        modality=like.modality,
        patient_day=like.patient_day,
        instance_count=like.instance_count,
        warnings=[],
        created_at=like.created_at,
        last_instance_at=like.last_instance_at,
        state_since=like.state_since,
    )
    session.add(job)
    session.flush()
    return job
