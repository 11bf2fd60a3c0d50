"""What is known of patients, for people: lists, one patient whole, held messages."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import func, select

from workers.application import Application
from workers.context.links import PatientId
from workers.state.context_tables import (
    ContextLink,
    ContextMessage,
    ContextPerson,
    ContextValue,
    MessageState,
)
from workers.usecases.known_context import ids_of, statements_of


def list_patients(app: Application, *, limit: int) -> list[dict[str, Any]]:
    """Patient IDs of which anything is known, the last heard of first."""
    newest = func.max(ContextPerson.message_id)
    with app.database.read() as session:
        rows = session.execute(
            select(
                ContextPerson.patient_id,
                ContextPerson.issuer,
                func.count(func.distinct(ContextPerson.message_id)),
                func.count(ContextValue.id),
                func.max(ContextMessage.received_at),
            )
            .join(ContextMessage, ContextMessage.id == ContextPerson.message_id)
            .join(ContextValue, ContextValue.person_id == ContextPerson.id, isouter=True)
            .group_by(ContextPerson.patient_id, ContextPerson.issuer)
            .order_by(newest.desc())
            .limit(limit)
        ).all()
    names = ("patient_id", "issuer", "messages", "values", "last_received_at")
    return [dict(zip(names, row, strict=True)) for row in rows]


def show_patient(app: Application, patient: PatientId) -> dict[str, Any]:
    """All that is known of a patient: IDs, links, statements with their values and reports."""
    with app.database.read() as session:
        ids = ids_of(session, patient)
        statements = statements_of(session, patient)
        links = [
            {
                "kind": row.kind,
                "from": [row.from_id, row.from_issuer],
                "into": [row.into_id, row.into_issuer],
                "at": row.at,
                "message": row.message_id,
                "told_by": row.told_by,
            }
            for row in session.scalars(select(ContextLink).order_by(ContextLink.id))
            if {(row.from_id, row.from_issuer), (row.into_id, row.into_issuer)} & {*ids, patient}
        ]
    return {
        "ids": [list(item) for item in sorted(ids)],
        "links": links,
        "statements": [
            asdict(item)
            for item in sorted(statements, key=lambda item: (item.said_at, item.number))
        ],
    }


def list_held(app: Application) -> list[dict[str, Any]]:
    """Messages that cannot be used as they are, and why."""
    with app.database.read() as session:
        rows = session.scalars(
            select(ContextMessage)
            .where(ContextMessage.state == MessageState.HELD)
            .order_by(ContextMessage.id)
        ).all()
    return [
        {
            "id": row.id,
            "kind": row.kind,
            "sender": row.sender,
            "control_id": row.control_id,
            "received_at": row.received_at,
            "reason_code": row.reason_code,
            "reason": row.reason,
            "file": row.file,
        }
        for row in rows
    ]
