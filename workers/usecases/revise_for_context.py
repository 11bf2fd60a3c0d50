"""Context that comes after a result: a revision, where it changes what is known of the patient.

Only with PULMONODE_CONTEXT_REVISES. A result is analysed anew when the same CT would be given
other context now than it was; who sends a known value again starts nothing.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.read.header import Identity
from workers.application import Application
from workers.context.links import PatientId
from workers.patient_key import patient_key
from workers.settings import Settings
from workers.state.context_tables import ContextMessage, ContextPerson, MessageState, UsedContext
from workers.state.jobs import current_job
from workers.state.schema import WITH_RESULT, Job, JobState, Result
from workers.usecases.beside_ct import header_of
from workers.usecases.known_context import ids_of, resolve_again
from workers.usecases.revise_for_pet import begin_revision
from workers.usecases.take_messages import table_of

AT_ONCE = 100
"""Messages considered in one round."""


def revise_for_context(app: Application, *, now: float) -> int:
    """Look at results whose patients have new context; returns how many revisions began."""
    if not (app.settings.context_revises and app.settings.context_enabled):
        return 0
    begun = 0
    with app.database.write() as session:
        messages = session.scalars(
            select(ContextMessage)
            .where(ContextMessage.state == MessageState.TAKEN, ContextMessage.considered.is_(False))
            .order_by(ContextMessage.id)
            .limit(AT_ONCE)
        ).all()
        busy = _being_analysed(session) if messages else frozenset()
        for message in messages:
            keys = _result_keys(session, app.settings, message)
            if keys & busy:
                continue  # an analysis that has read the context already: asked again after it
            message.considered = True
            results = session.scalars(select(Result).where(Result.patient_key.in_(sorted(keys))))
            for result in results.all():
                begun += _revise(session, app.settings, result, now)
    return begun


def _result_keys(session: Session, settings: Settings, message: ContextMessage) -> frozenset[str]:
    """What results of the message's patients stand under (`Result.patient_key`)."""
    persons = session.scalars(
        select(ContextPerson).where(ContextPerson.message_id == message.id)
    ).all()
    ids = {
        item for person in persons for item in ids_of(session, (person.patient_id, person.issuer))
    }
    return frozenset(key for item in ids for key in keys_of(item, settings))


def keys_of(patient: PatientId, settings: Settings) -> tuple[str, ...]:
    """The keys under which CTs of a patient stand: with the issuer; without, where it is ours."""
    issuers = [patient[1]]
    if patient[1] == settings.context_default_issuer:
        issuers.append("")
    return tuple(
        patient_key([Identity(patient_id=patient[0], issuer_of_patient_id=issuer)])
        for issuer in dict.fromkeys(issuers)
    )


def _being_analysed(session: Session) -> frozenset[str]:
    found = set()
    jobs = session.scalars(select(Job.series_uid).where(Job.state == JobState.ANALYSING)).all()
    for series_uid in jobs:
        header = header_of(session, series_uid)
        if header is not None:
            found.add(patient_key([header.identity]))
    return frozenset(found)


def _revise(session: Session, settings: Settings, result: Result, now: float) -> int:
    used = session.get(UsedContext, result.job_id)
    job = session.get_one(Job, result.job_id)
    newest = current_job(session, job.series_uid)
    if used is None or newest is None or newest.id != job.id:
        return 0
    if JobState(job.state) not in WITH_RESULT:
        return 0
    header = header_of(session, job.series_uid)
    if header is None:
        return 0
    identity = header.identity
    owner = (
        identity.patient_id,
        identity.issuer_of_patient_id or settings.context_default_issuer,
    )
    if resolve_again(session, used, owner, table_of(settings), now).digest == used.digest:
        return 0
    what = "clinical context came or changed"
    return begin_revision(session, settings, job, header, what, now)
