"""What the PACS says of a series that is being received: how many instances, and whose.

Asked outside any transaction, in a loop of its own, so that a slow PACS delays nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy import select

from dicom_node.deliver.peer import Peer
from dicom_node.errors import DeliveryError
from dicom_node.query.series import find_series_instance_count
from dicom_node.query.study import find_study_identity
from dicom_node.read.header import Identity
from workers.application import Application
from workers.audit_trail.trail import tell_asked
from workers.peer_settings import PacsQuerySettings
from workers.settings import Settings
from workers.state.jobs import note
from workers.state.schema import Instance, Job, JobState
from workers.usecases.quarantine import CORRECTION_NOT_AGREED

log = structlog.get_logger()

PACS_SILENT = "pacs_silent"
FEWER_THAN_PACS = "fewer_than_pacs"
ASKED_MODALITIES = frozenset({"CT", "PT"})
"""Others are never analysed, so nobody needs to know whether they are whole."""
ANSWERS_ALIKE = 2
"""Equal answers in a row, one quiet time apart, before a count is believed."""
JOBS_AT_ONCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Something that may still settle itself while a series waits."""

    code: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    count: int | None
    agrees: bool | None
    silent: bool


def ask_due(app: Application) -> int:
    """Ask the PACS about every quiet series that is due; returns how many were asked about."""
    query = app.settings.pacs_query
    if query is None:
        return 0
    now = app.now()
    quiet = now - app.settings.quiet_time_s
    with app.database.read() as session:
        jobs = session.scalars(
            select(Job)
            .where(
                Job.state == JobState.RECEIVING,
                Job.last_instance_at <= quiet,
                Job.pacs_asked_at <= quiet,
                Job.forced.is_(False),
                Job.modality.in_(ASKED_MODALITIES),
            )
            .order_by(Job.pacs_asked_at)
            .limit(JOBS_AT_ONCE)
        ).all()
        session.expunge_all()
    for job in jobs:
        _write(app, job.id, _ask(app, query, job))
    return len(jobs)


def _ask(app: Application, query: PacsQuerySettings, job: Job) -> _Answer:
    peer = Peer(
        ae_title=query.ae_title,
        host=query.host,
        port=query.port,
        connect_timeout_s=query.timeout_s,
        response_timeout_s=query.timeout_s,
        tls=app.settings.tls_to(query),
    )
    calling = app.settings.ae_title
    on_asked = partial(tell_asked, app.settings)
    try:
        count = find_series_instance_count(
            peer,
            calling,
            study_uid=job.study_uid,
            series_uid=job.series_uid,
            on_asked=on_asked,
        )
        agrees = None
        if job.correction is not None:
            found = find_study_identity(peer, calling, study_uid=job.study_uid, on_asked=on_asked)
            if found is not None:
                ours = _identity(app, job.series_uid)
                differing = set(ours.patient_differences(found.identity)) & set(found.answered)
                agrees = not differing
    except DeliveryError as error:
        log.warning("pacs_not_asked", job_id=job.id, error=type(error).__name__)
        return _Answer(count=None, agrees=None, silent=True)
    return _Answer(count=count, agrees=agrees, silent=False)


def _identity(app: Application, series_uid: str) -> Identity:
    with app.database.read() as session:
        header = session.scalars(
            select(Instance.header)
            .where(Instance.series_uid == series_uid)
            .order_by(Instance.received_at.desc())
            .limit(1)
        ).one()
    return Identity.from_json(header["identity"])


def _write(app: Application, job_id: int, answer: _Answer) -> None:
    now = app.now()
    with app.database.write() as session:
        job = session.get_one(Job, job_id)
        alike = job.pacs_asked_at > 0 and job.pacs_answer == answer.count
        job.pacs_answers_alike = 0 if answer.silent else (job.pacs_answers_alike + 1) * alike or 1
        if answer.count != job.pacs_answer and answer.count is not None:
            note(session, job, f"the PACS holds {answer.count} instances of it", at=now)
        job.pacs_answer = answer.count
        job.pacs_agrees = answer.agrees
        job.pacs_asked_at = now


def pacs_questions(job: Job, settings: Settings) -> list[Question]:
    """What the PACS's answers leave open, for the judgement whether a series is complete."""
    if settings.pacs_query is None or job.modality not in ASKED_MODALITIES:
        return []
    questions = []
    if job.pacs_answers_alike < ANSWERS_ALIKE:
        why = "the PACS has not said twice alike how many instances it holds"
        questions.append(Question(code=PACS_SILENT, why=why))
    if job.pacs_answer is not None and job.pacs_answer > job.instance_count:
        why = f"the PACS holds {job.pacs_answer} instances of it, {job.instance_count} came"
        questions.append(Question(code=FEWER_THAN_PACS, why=why))
    if job.correction is not None and job.pacs_agrees is not True:
        said = "says otherwise" if job.pacs_agrees is False else "did not say whose study it is"
        questions.append(
            Question(
                code=CORRECTION_NOT_AGREED,
                why=f"corrected in {job.correction}, but the PACS {said}",
            )
        )
    return questions
