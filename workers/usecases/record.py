"""Results written down beside their bytes, so that the database can be rebuilt from the store.

After an analysis is committed, a record of its rows is kept under
``records/<series>/<revision>.json``. A result that stands in the store and not in the database
(restored from an older backup, or lost) is taken up again as it was: the same bytes are
delivered, never a second version of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.read.header import InstanceHeader
from workers.application import Application
from workers.settings import Settings
from workers.state.jobs import NEEDS_A_PERSON, move, note
from workers.state.schema import WITH_RESULT, Delivery, Job, JobState, Result, ResultObject
from workers.usecases.assemble import series_headers
from workers.usecases.revise import identity_digest, supersede

RECORDS = "records"
OBJECT_KEYS = ("sop_uid", "kind", "profile", "sop_class_uid", "series_uid", "path", "sha256",
               "size_bytes")  # fmt: skip
RESULT_KEYS = ("fencing_token", "committed_at", "findings_path", "findings_sha256",
               "identity_sha256", "nodule_count")  # fmt: skip


def record_due(app: Application) -> int:
    """Keep the records of results that have none yet; returns how many."""
    with app.database.read() as session:
        jobs = session.scalars(
            select(Job).join(Result, Result.job_id == Job.id).where(Result.recorded.is_(False))
        ).all()
        records = [(job.id, _key(job), _to_record(session, job)) for job in jobs]
    for job_id, key, record in records:
        app.store.put_bytes(key, (json.dumps(record, indent=1) + "\n").encode())
        with app.database.write() as session:
            session.get_one(Result, job_id).recorded = True
    return len(records)


def _key(job: Job) -> str:
    return f"{RECORDS}/{job.series_uid}/{job.revision}.json"


def _to_record(session: Session, job: Job) -> dict[str, Any]:
    result = session.get_one(Result, job.id)
    objects = session.scalars(select(ResultObject).where(ResultObject.job_id == job.id))
    return {
        "record_version": 1,
        "study_uid": job.study_uid,
        "series_uid": job.series_uid,
        "revision": job.revision,
        "instance_count": job.instance_count,
        "warnings": job.warnings,
        "result": {key: getattr(result, key) for key in RESULT_KEYS},
        "objects": [{key: getattr(item, key) for key in OBJECT_KEYS} for item in objects],
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
    session.add(Result(job_id=job.id, recorded=True, **record["result"]))
    session.add_all(ResultObject(job_id=job.id, **item) for item in record["objects"])
    job.instance_count = record["instance_count"]
    job.warnings = record["warnings"]
    job.lease_owner = job.lease_expires_at = None
    job.fencing_token += 1  # whoever works on it meanwhile has lost it
    # Not an arrow of a job's life: its row is brought to where it was before it was lost.
    job.state, job.state_since = JobState.ANALYSED, now
    job.reason_code = job.reason = None
    note(session, job, "result taken up from its record in the object store", at=now)
    if not newest or any(number > revision for number in known):
        message = "a later revision exists"
        move(session, job, JobState.SUPERSEDED, message, at=now, reason_code="superseded")
        return True
    for number, earlier in known.items():
        if number < revision and JobState(earlier.state) in WITH_RESULT | NEEDS_A_PERSON:
            supersede(session, earlier, job, now)
    headers = series_headers(session, series_uid)
    if identity_digest(headers) != record["result"]["identity_sha256"]:
        message = "corrected since: it is not sent under the old words"
        move(session, job, JobState.SUPERSEDED, message, at=now, reason_code="corrected")
        _follow(session, job, f"corrected after revision {revision}", headers, now)
        return True
    if settings.destinations:
        move(session, job, JobState.DELIVERING, "deliveries queued again", at=now)
        session.add_all(
            Delivery(job_id=job.id, destination=item.name, created_at=now)
            for item in settings.destinations
        )
    if len(headers) > job.instance_count:
        _follow(session, job, f"late instances after revision {revision}", headers, now)
    return True


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
        instance_count=like.instance_count,
        warnings=[],
        created_at=like.created_at,
        last_instance_at=like.last_instance_at,
        state_since=like.state_since,
    )
    session.add(job)
    session.flush()
    return job
