"""What people say of patient IDs: one patient's after all, or not; and that somebody has looked.

Nothing is changed for it: each is a row that counts when the context is read, and can be taken
back by the opposite.
"""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from workers.application import Application
from workers.context.links import PatientId
from workers.errors import ContextRefused
from workers.state.alarms import CONTEXT_CONFLICT, clear_alarm
from workers.state.context_tables import ContextLink, ContextMessage, ContextPerson, LinkKind
from workers.usecases.audit import Actor, record
from workers.usecases.known_context import ids_of, subject_of


def merge_patients(
    app: Application, what: PatientId, into: PatientId, *, actor: Actor
) -> frozenset[PatientId]:
    """Let two IDs be one patient's; returns all IDs of that patient.

    Raises
    ------
    ContextRefused
        If they are one already.
    """
    with app.database.write() as session:
        if what in ids_of(session, into):
            raise ContextRefused("merge", "these IDs are one patient's already", "nothing to do")
        _link(session, LinkKind.MERGE, what, into, app.now(), actor)
        return _reconsider(session, into)


def unmerge_patients(
    app: Application, what: PatientId, into: PatientId, *, actor: Actor
) -> frozenset[PatientId]:
    """Part two IDs that a merge made one; returns the IDs that `into` keeps.

    Raises
    ------
    ContextRefused
        If no merge of the one into the other counts now.
    """
    with app.database.write() as session:
        before = ids_of(session, into)
        _link(session, LinkKind.UNMERGE, what, into, app.now(), actor)
        session.flush()
        after = ids_of(session, into)
        if before == after:
            raise ContextRefused(
                "unmerge", "no such merge counts now", "'pulmonode context show' lists the IDs"
            )
        _reconsider(session, what)
        return _reconsider(session, into)


def confirm_patient(app: Application, patient: PatientId, *, actor: Actor) -> int:
    """Say that all that is known until now is of this patient; returns how many messages.

    What comes later is compared with the CT again.

    Raises
    ------
    ContextRefused
        If nothing is known of that ID.
    """
    now = app.now()
    with app.database.write() as session:
        ids = ids_of(session, patient)
        numbers = [
            number
            for item in ids
            for number in session.scalars(
                select(ContextPerson.message_id).where(
                    ContextPerson.patient_id == item[0], ContextPerson.issuer == item[1]
                )
            )
        ]
        if not numbers:
            raise ContextRefused(
                "confirm", "nothing is known of this ID", "'pulmonode context list' shows who is"
            )
        row = _link(session, LinkKind.CONFIRM, patient, ("", ""), now, actor)
        row.message_id = max(numbers)
        for item in ids:
            clear_alarm(session, CONTEXT_CONFLICT, subject_of(session, item), at=now)
        _reconsider(session, patient)
        return len(set(numbers))


def _link(
    session: Session, kind: LinkKind, what: PatientId, into: PatientId, now: float, actor: Actor
) -> ContextLink:
    row = ContextLink(
        kind=kind,
        from_id=what[0],
        from_issuer=what[1],
        into_id=into[0],
        into_issuer=into[1],
        at=now,
        told_by=actor.name[:128],
    )
    session.add(row)
    record(session, actor, f"context.{kind}", at=now, subject=subject_of(session, what))
    return row


def _reconsider(session: Session, patient: PatientId) -> frozenset[PatientId]:
    """Let results of this patient be looked at again (usecases/revise_for_context)."""
    session.flush()
    ids = ids_of(session, patient)
    for patient_id, issuer in ids:
        newest = session.scalar(
            select(func.max(ContextPerson.message_id)).where(
                ContextPerson.patient_id == patient_id, ContextPerson.issuer == issuer
            )
        )
        session.execute(
            update(ContextMessage).where(ContextMessage.id == newest).values(considered=False)
        )
    return ids
