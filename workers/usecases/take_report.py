"""A report of somebody else that came by DICOM becomes what is known of its patient.

It is kept like a message of HL7: by patient ID and issuer, compared with the CT's patient when it
is used, replaced by the report that names it as predecessor. One that comes again for another
patient is taken back from the first; the last copy that came counts, also one that came before.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.read.report_text import MeasuredNodule, StoredReport
from inference.report_text.facts import LOBE_NAMES
from workers.application import Application
from workers.context.facts import (
    TITLE_LENGTH,
    CodedNodule,
    Identifier,
    MessageFacts,
    PatientFacts,
    Person,
    ReportText,
)
from workers.context.issuers import OwnedFacts
from workers.context.links import PatientId
from workers.state.answer_tables import AnswerReport
from workers.state.context_tables import ContextMessage, ContextPerson
from workers.state.schema import printable
from workers.usecases.take_messages import keep_facts

LOBES = {name: short for short, name in LOBE_NAMES.items()}
SOURCE: Final = "dicom sr"
SENDER_LENGTH = 16
FINAL, PRELIMINARY, WITHDRAWN = "F", "P", "W"
"""HL7 table 0085."""


def take_report(app: Application, told: StoredReport, *, sha256: str, size_bytes: int) -> None:
    """Keep what a report says; nothing where it names no patient or says nothing.

    Parameters
    ----------
    sha256 : str
        Of its data set: the same content counts once, unless another took its place meanwhile.
    """
    identity = told.header.identity
    if not identity.patient_id or not (told.text or told.nodules):
        return
    uid = told.header.sop_instance_uid
    person = Person(
        names=told.patient.names, birth_date=told.patient.birth_date, sex=told.patient.sex
    )
    replaced = tuple(
        _report(told, key, WITHDRAWN) for key in told.predecessors if told.final and key != uid
    )
    facts = PatientFacts(
        identifiers=(
            Identifier(patient_id=identity.patient_id, authority=identity.issuer_of_patient_id),
        ),
        person=person,
        is_identity=False,
        reports=(*replaced, _report(told, uid, FINAL if told.final else PRELIMINARY)),
    )
    patient = (
        identity.patient_id,
        identity.issuer_of_patient_id or app.settings.context_default_issuer,
    )
    with app.database.read() as session:
        others = _earlier_patients(session, uid) - {patient}
        sha256 = _digest_to_keep(session, uid, sha256)
    gone = replace(facts, person=Person(), reports=(_report(told, uid, WITHDRAWN),))
    owned = [
        # the patient's own last: where two IDs are one patient's, the last word counts
        *(OwnedFacts(patients=(other,), merged=(), facts=gone) for other in sorted(others)),
        OwnedFacts(patients=(patient,), merged=(), facts=facts),
    ]
    keep_facts(
        app,
        MessageFacts(
            source=SOURCE,
            sender=told.header.source_ae_title[:SENDER_LENGTH],
            control_id=uid,
            kind="SR",
            at=told.said_at,
            patients=(facts,),
        ),
        owned,
        sha256=sha256,
        size_bytes=size_bytes,
    )


def _came_otherwise(session: Session, uid: str) -> bool:
    """Whether there are two contents of a report: messages have no index by which to find it."""
    copies = select(func.count()).where(AnswerReport.sop_uid == uid)
    return (session.scalar(copies) or 0) > 1


def _digest_to_keep(session: Session, uid: str, sha256: str) -> str:
    """Under which digest a content is kept: its own, and another one each time it comes back.

    A message is kept once by its digest; what comes back after another content was the last word
    is a new word, whose digest follows from its own and from that of the word before.
    """
    if not _came_otherwise(session, uid):
        return sha256
    words = session.scalars(
        select(ContextMessage.sha256)
        .where(ContextMessage.control_id == uid, ContextMessage.source == SOURCE)
        .order_by(ContextMessage.id)
    ).all()
    if sha256 not in words:
        return sha256
    *_, before, last = ("", *words)
    if last in (sha256, _after(before, sha256)):
        return last
    return _after(last, sha256)


def _after(before: str, sha256: str) -> str:
    return hashlib.sha256(f"{before} {sha256}".encode()).hexdigest()


def _earlier_patients(session: Session, uid: str) -> frozenset[PatientId]:
    """Whose a report with this UID was when it came before."""
    if not _came_otherwise(session, uid):
        return frozenset()
    rows = session.execute(
        select(ContextPerson.patient_id, ContextPerson.issuer)
        .join(ContextMessage, ContextMessage.id == ContextPerson.message_id)
        .where(ContextMessage.control_id == uid, ContextMessage.source == SOURCE)
    )
    return frozenset((row[0], row[1]) for row in rows)


def _report(told: StoredReport, key: str, status: str) -> ReportText:
    gone = status == WITHDRAWN
    return ReportText(
        kind="report",
        key=f"sr/{key}",
        status=status,
        observed_on=told.on,
        title=printable(told.title)[:TITLE_LENGTH],
        text="" if gone else printable(told.text),
        accession=told.header.identity.accession_number,
        study_uid=told.header.study_instance_uid,
        nodules=() if gone else tuple(map(_coded, told.nodules)),
    )


def _coded(nodule: MeasuredNodule) -> CodedNodule:
    return CodedNodule(
        size_mm=nodule.long_axis_mm,
        short_mm=nodule.short_axis_mm,
        lobe=LOBES.get(nodule.lobe or ""),
        side=nodule.side,
    )
