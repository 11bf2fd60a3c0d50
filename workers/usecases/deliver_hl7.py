"""A result to a RIS: its HL7 messages, made of what was committed, and the answers to them.

Mostly one. Where the study turned out to be another patient's, one before it takes back what was
told of the first.

No message is kept: it follows from findings and report, which are final, so every attempt sends the
same bytes under the same control ID. What it names is kept, without the values: a later message
corrects it also when retention has removed what it was made of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from dicom_node.read.header import Identity
from dicom_node.tls import requestor_context
from workers.application import Application
from workers.outbound.acknowledged import check_acknowledged
from workers.outbound.mllp_client import MllpPeer, exchange
from workers.outbound.oru import (
    Addresses,
    OruMessage,
    compose_oru,
    compose_withdrawal,
    names_told,
)
from workers.outbound.told import ToldResult
from workers.patient_key import patient_key
from workers.peer_settings import Hl7DestinationSettings
from workers.settings import Settings
from workers.state.jobs import note
from workers.state.schema import Delivery, Job, Result
from workers.usecases.told_result import report_of, told_result

NOT_WITHDRAWN = (
    "a result that retention removed was told of another patient: it cannot be taken back by a "
    "message any more, have it taken back there"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """What a delivery sends."""

    all: tuple[OruMessage, ...]
    """In the order in which they are sent."""
    names: dict[str, list[str]]
    """What they name of the result (`names_told`)."""
    not_withdrawn: bool
    """Something was told of another patient that no message can take back."""


def earlier_results(
    session: Session, delivery: Delivery, job: Job
) -> list[tuple[Result, dict[str, Any]]]:
    """Earlier results of the study of which the same destination may have a message, newest first.

    None before the newest that it acknowledged: that message took back what they had told. A job
    that somebody forced has its result after those of later jobs. Beside each what its message
    names; nothing where an earlier release sent it.
    """
    committed_at = session.get_one(Result, job.id).committed_at
    rows = session.execute(
        select(Result, Delivery.delivered_at, Delivery.told)
        .join(Delivery, Delivery.job_id == Result.job_id)
        .join(Job, Job.id == Result.job_id)
        .where(
            Job.study_uid == job.study_uid,
            Result.job_id != job.id,
            or_(Result.job_id < job.id, Result.committed_at < committed_at),
            Delivery.destination == delivery.destination,
            or_(Delivery.attempts > 0, Delivery.fencing_token > 0),
        )
        .order_by(Result.committed_at.desc(), Result.job_id.desc())
    )
    found = []
    for result, delivered_at, names in rows:
        found.append((result, names or {}))
        if delivered_at is not None:
            break
    return found


def messages_for(
    app: Application, delivery_id: int, destination: Hl7DestinationSettings
) -> Messages:
    """The messages of a delivery.

    Raises
    ------
    ResultNotTold
        If it cannot be written.
    StoreUnavailable, ObjectMissing, ObjectChanged
        If findings or report are not there as they were kept.
    """
    with app.database.read() as session:
        delivery = session.get_one(Delivery, delivery_id)
        job = session.get_one(Job, delivery.job_id)
        earlier = earlier_results(session, delivery, job)
        kept = [row for row, _ in earlier if row.removed_at is None]
        removed = [(row.patient_key, names) for row, names in earlier if row.removed_at is not None]
        told = [
            (
                session.get_one(Job, row.job_id).revision,
                row,
                report_of(session, row.job_id, delivery.profile),
            )
            for row in (session.get_one(Result, job.id), *kept)
        ]
    # The store may be slow: nothing of it is read inside a transaction.
    now, *before = (told_result(app, *item) for item in told)
    addresses = Addresses(
        receiving_application=destination.receiving_application,
        receiving_facility=destination.receiving_facility,
        sending_application=destination.sending_application,
        sending_facility=destination.sending_facility,
        processing_id=destination.processing_id,
        charset=destination.charset,
        procedure=destination.procedure,
        authorities=authorities_of(app.settings),
    )
    others: dict[tuple[str, str], list[ToldResult]] = {}
    for item in before:
        if item.patient != now.patient:
            others.setdefault(item.patient, []).append(item)
    patient_id, issuer = now.patient
    ours = patient_key([Identity(patient_id=patient_id, issuer_of_patient_id=issuer)])
    # A key that was removed, too, says nothing: it is taken for the same patient's.
    gone = [names for key, names in removed if key in ("", ours)]
    same = [item for item in before if item.patient == now.patient]
    return Messages(
        all=(
            *(compose_withdrawal(told_of, addresses, because=now) for told_of in others.values()),
            compose_oru(now, addresses, same, gone=gone),
        ),
        names=names_told(now),
        not_withdrawn=len(gone) < len(removed),
    )


def _remember(app: Application, delivery_id: int, messages: Messages) -> None:
    """Write down what is told before it is: the process may die with the message on its way."""
    now = app.now()
    with app.database.write() as session:
        delivery = session.get_one(Delivery, delivery_id)
        if messages.not_withdrawn and delivery.told is None:
            job = session.get_one(Job, delivery.job_id)
            note(session, job, f"{delivery.destination}: {NOT_WITHDRAWN}", at=now)
        delivery.told = messages.names


def authorities_of(settings: Settings) -> dict[str, str]:
    """Issuers of which the settings say another assigning authority (PID-3.4); URIs are FHIR's."""
    found: dict[str, str] = {}
    for authority, issuer in sorted(settings.context_issuers.items()):
        if ":" not in authority:
            found.setdefault(issuer, authority)
    return {
        issuer: name for issuer, name in found.items() if issuer not in settings.context_issuers
    }


def send_messages(
    app: Application,
    delivery_id: int,
    destination: Hl7DestinationSettings,
    still_held: Callable[[], None],
) -> None:
    """Send a delivery's messages; returns when all were taken.

    Parameters
    ----------
    still_held : callable
        Raises `LeaseLost` when somebody stopped the delivery meanwhile.

    Raises
    ------
    ResultNotTold
        If one was not taken; `transient` decides about the next attempt.
    """
    messages = messages_for(app, delivery_id, destination)
    still_held()
    _remember(app, delivery_id, messages)
    for message in messages.all:
        still_held()
        answer = exchange(peer_of(app.settings, destination), message.data)
        check_acknowledged(answer, message.control_id)


def peer_of(settings: Settings, destination: Hl7DestinationSettings) -> MllpPeer:
    """Who listens.

    Raises
    ------
    dicom_node.errors.TlsUnusable
        If it is to be called over TLS and our files do not serve.
    """
    tls = settings.tls_to(destination)
    return MllpPeer(
        host=destination.host,
        port=destination.port,
        connect_timeout_s=destination.connect_timeout_s,
        response_timeout_s=destination.response_timeout_s,
        tls=None if tls is None else requestor_context(tls),
    )
