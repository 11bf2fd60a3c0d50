"""Inbox -> index: every acknowledged file becomes part of exactly one visible job.

The database row is committed before the file is moved to its place. After a crash between
the two the file is still in the inbox, is seen as identical to its row, and is moved then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.errors import UnreadableInstance
from dicom_node.read.eligibility import is_own_header
from dicom_node.read.header import Identity, InstanceHeader, digests, read_header
from workers import clock
from workers.application import Application
from workers.state.jobs import current_job, move, note
from workers.state.schema import BEFORE_ANALYSIS, Instance, Job, JobState, ResultObject

log = structlog.get_logger()

BATCH_SIZE = 64
WITH_RESULT = frozenset(
    {JobState.ANALYSED, JobState.DELIVERING, JobState.DELIVERED, JobState.CONFIRMED}
)
FileAction = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrival:
    path: Path
    header: InstanceHeader | None
    header_sha256: str = ""
    pixels_sha256: str = ""
    problem: str = ""


def index_inbox(app: Application) -> int:
    """Index what waits in the inbox; returns how many files were dealt with."""
    paths = app.spool.inbox()
    for start in range(0, len(paths), BATCH_SIZE):
        index_files(app, paths[start : start + BATCH_SIZE])
    return len(paths)


def index_files(app: Application, paths: Sequence[Path]) -> None:
    """Index some inbox files in one transaction, then move them to their places."""
    arrivals = [_read(path) for path in paths]
    actions: list[FileAction] = []
    with app.database.write() as session:
        for arrival in arrivals:
            actions.append(_index_one(app, session, arrival))
            session.flush()
    for action in actions:
        action()


def _read(path: Path) -> _Arrival:
    try:
        header = read_header(path)
        header_sha256, pixels_sha256 = digests(path)
    except UnreadableInstance as error:
        return _Arrival(path=path, header=None, problem=error.why)
    return _Arrival(
        path=path, header=header, header_sha256=header_sha256, pixels_sha256=pixels_sha256
    )


def _index_one(app: Application, session: Session, arrival: _Arrival) -> FileAction:
    """Write one arrival's rows; returns what to do with its file after the commit."""
    header = arrival.header
    if header is None:
        return _quarantine_unreadable(app, session, arrival)
    known = session.get(Instance, header.sop_instance_uid)
    if known is not None:
        return _index_again(app, session, arrival, header, known)
    _close_unreadable(session, header)
    job = _job_for(session, header)
    conflict = _patient_conflict(session, header)
    if conflict:
        _quarantine_study(session, job, conflict)
        return lambda: app.spool.quarantine(arrival.path)
    path = app.spool.instance_path(
        header.study_instance_uid, header.series_instance_uid, header.sop_instance_uid
    )
    session.add(
        Instance(
            sop_uid=header.sop_instance_uid,
            study_uid=header.study_instance_uid,
            series_uid=header.series_instance_uid,
            path=str(path.relative_to(app.spool.root)),
            size_bytes=arrival.path.stat().st_size,
            header_sha256=arrival.header_sha256,
            pixels_sha256=arrival.pixels_sha256,
            received_at=clock.now(),
            header=header.to_json(),
        )
    )
    _add_to_job(session, job, header)
    return lambda: _file(app, arrival.path, header)


def _file(app: Application, path: Path, header: InstanceHeader) -> Path:
    return app.spool.file_instance(
        path, header.study_instance_uid, header.series_instance_uid, header.sop_instance_uid
    )


def _job_for(session: Session, header: InstanceHeader) -> Job:
    """The job that an instance belongs to, made if there is none or only a closed one."""
    now = clock.now()
    job = current_job(session, header.series_instance_uid)
    if job is None:
        return _new_job(session, header, revision=1, message="first instance received")
    state = JobState(job.state)
    if state is JobState.ANALYSING:
        message = f"an instance arrived during the analysis: revision {job.revision + 1}"
        move(session, job, JobState.SUPERSEDED, message, at=now, reason_code="late_instance")
        return _new_job(session, header, revision=job.revision + 1, message=message)
    if state in WITH_RESULT or state is JobState.SUPERSEDED:
        message = f"late instance after revision {job.revision}"
        note(session, job, "late instance: a new revision is being received", at=now)
        return _new_job(session, header, revision=job.revision + 1, message=message)
    return job


def _new_job(session: Session, header: InstanceHeader, *, revision: int, message: str) -> Job:
    now = clock.now()
    earlier = session.scalars(
        select(Instance.sop_uid).where(Instance.series_uid == header.series_instance_uid)
    ).all()
    job = Job(
        study_uid=header.study_instance_uid,
        series_uid=header.series_instance_uid,
        revision=revision,
        state=JobState.RECEIVING,
        calling_ae=header.source_ae_title or "",
        modality=header.modality or "",
        instance_count=len(earlier),
        warnings=[],
        created_at=now,
        last_instance_at=now,
        state_since=now,
    )
    session.add(job)
    session.flush()
    note(session, job, message, at=now)
    return job


def _add_to_job(session: Session, job: Job, header: InstanceHeader) -> None:
    now = clock.now()
    job.instance_count += 1
    job.last_instance_at = now
    if is_own_header(header):
        move(
            session,
            job,
            JobState.NOT_ELIGIBLE,
            "our own result came back: kept, never analysed (loop guard)",
            at=now,
            reason_code="own_object",
        )
        return
    state = JobState(job.state)
    if state in BEFORE_ANALYSIS - {JobState.RECEIVING}:
        move(session, job, JobState.RECEIVING, "late instance: the series waits again", at=now)
    elif state in {JobState.NOT_ELIGIBLE, JobState.FAILED}:
        move(session, job, JobState.RECEIVING, "late instance: the series is judged again", at=now)
    elif state in {JobState.QUARANTINED, JobState.CANCELLED}:
        note(session, job, f"an instance arrived while {state}", at=now)


def _index_again(
    app: Application,
    session: Session,
    arrival: _Arrival,
    header: InstanceHeader,
    known: Instance,
) -> FileAction:
    """An instance whose UID is known: identical, corrected, or another image altogether."""
    known.times_received += 1
    if known.header.get("truncated") and not header.truncated:
        return _replace_cut_copy(app, session, arrival, header, known)
    same_pixels = known.pixels_sha256 == arrival.pixels_sha256
    if same_pixels and known.header_sha256 == arrival.header_sha256:
        if app.spool.root.joinpath(known.path).exists():
            return arrival.path.unlink
        return lambda: _file(app, arrival.path, header)
    if same_pixels:
        code = "header_changed"
        message = f"{known.sop_uid} came again with another header, same pixels"
    else:
        code = "pixels_changed"
        message = f"{known.sop_uid} came again with other pixels under the same UID"
    message += ": the new file is kept aside, nothing is sent until somebody decides"
    job = current_job(session, known.series_uid) or _job_for(session, header)
    if JobState(job.state) in WITH_RESULT:
        job = _new_job(session, header, revision=job.revision + 1, message=message)
    move_to_quarantine(session, job, code, message)
    return lambda: app.spool.quarantine(arrival.path)


def _replace_cut_copy(
    app: Application,
    session: Session,
    arrival: _Arrival,
    header: InstanceHeader,
    known: Instance,
) -> FileAction:
    """A whole copy of an instance that had arrived cut short: the sender's repair."""
    now = clock.now()
    known.header = header.to_json()
    known.header_sha256 = arrival.header_sha256
    known.pixels_sha256 = arrival.pixels_sha256
    known.size_bytes = arrival.path.stat().st_size
    known.received_at = now
    job = _job_for(session, header)
    job.last_instance_at = now
    message = f"a whole copy of {known.sop_uid} replaced one that was cut short"
    if JobState(job.state) is JobState.QUARANTINED and job.reason_code == "truncated":
        move(session, job, JobState.RECEIVING, message, at=now)
    else:
        note(session, job, message, at=now)
    return lambda: _file(app, arrival.path, header)


def _close_unreadable(session: Session, header: InstanceHeader) -> None:
    """End the job that an unreadable copy of this instance had been given."""
    job = current_job(session, header.sop_instance_uid)
    if job is not None and job.reason_code == "unreadable":
        move(
            session,
            job,
            JobState.SUPERSEDED,
            "a readable copy arrived",
            at=clock.now(),
            reason_code="superseded",
        )


def move_to_quarantine(session: Session, job: Job, code: str, message: str) -> None:
    """Hold a job until a person decides; a job that is superseded stays so."""
    now = clock.now()
    if JobState(job.state) in {JobState.SUPERSEDED, JobState.QUARANTINED, JobState.CANCELLED}:
        note(session, job, message, at=now)
        return
    move(session, job, JobState.QUARANTINED, message, at=now, reason_code=code)
    log.warning("job_quarantined", job_id=job.id, reason_code=code)


def _patient_conflict(session: Session, header: InstanceHeader) -> str:
    """Say in which attributes this patient differs from the study's; empty when in none."""
    other = session.scalars(
        select(Instance).where(Instance.study_uid == header.study_instance_uid).limit(1)
    ).first()
    if other is None:
        return ""
    theirs = Identity.from_json(other.header["identity"])
    differing = header.identity.patient_differences(theirs)
    if not differing:
        return ""
    return (
        f"{header.sop_instance_uid} names another patient than its study does "
        f"({', '.join(differing)} differ): the file is kept aside"
    )


def _quarantine_study(session: Session, job: Job, conflict: str) -> None:
    """Hold this job and every job of the study that has no result yet."""
    move_to_quarantine(session, job, "conflicting_patient", conflict)
    siblings = session.scalars(
        select(Job).where(Job.study_uid == job.study_uid, Job.id != job.id)
    ).all()
    for sibling in siblings:
        if JobState(sibling.state) in BEFORE_ANALYSIS | {JobState.ANALYSING}:
            move_to_quarantine(session, sibling, "conflicting_patient", conflict)


def _quarantine_unreadable(app: Application, session: Session, arrival: _Arrival) -> FileAction:
    """Make a file that cannot be read visible as a job of its own."""
    now = clock.now()
    sop_uid = arrival.path.stem.split("-", 2)[2]
    if session.get(ResultObject, sop_uid) is None:
        job = current_job(session, sop_uid)
        if job is None:
            job = Job(
                study_uid="",
                series_uid=sop_uid,
                state=JobState.RECEIVING,
                instance_count=1,
                warnings=[],
                created_at=now,
                last_instance_at=now,
                state_since=now,
            )
            session.add(job)
            session.flush()
        move_to_quarantine(session, job, "unreadable", f"{sop_uid}: {arrival.problem}")
    return lambda: app.spool.quarantine(arrival.path)
