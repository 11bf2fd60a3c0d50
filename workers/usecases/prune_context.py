"""What is known of a patient goes at once, where nothing needs it any more; only by policy.

All of it or nothing: a correction that went before the value that it corrects would bring that
value back. Never what is held or may still start a revision, nor what is known of the patient of a
study that is kept or under way. Merges stay, since a later message may come under either ID; a
confirmation goes with what it confirmed.
"""

from __future__ import annotations

from datetime import date, timedelta

import structlog
from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.orm import Session

from dicom_node.read.header import InstanceHeader
from workers.application import Application
from workers.context.items import ItemTable
from workers.context.links import PatientId
from workers.patient_key import patient_key
from workers.settings import Settings
from workers.state.alarms import CONTEXT_CONFLICT, clear_alarm
from workers.state.context_tables import (
    ContextLink,
    ContextMessage,
    ContextPerson,
    ContextReport,
    ContextValue,
    LinkKind,
    MessageState,
)
from workers.state.schema import BEFORE_ANALYSIS, Instance, Job, JobState, Result
from workers.usecases.known_context import ids_of, subject_of, today_of
from workers.usecases.prune import is_held
from workers.usecases.retain import DAY_S
from workers.usecases.revise_for_context import keys_of
from workers.usecases.take_messages import table_of

log = structlog.get_logger()

AT_ONCE = 200
"""Patient IDs looked at in one transaction."""
UNDER_WAY = BEFORE_ANALYSIS | {JobState.ANALYSING, JobState.QUARANTINED, JobState.FAILED}


def prune_context(app: Application) -> int:
    """Remove what the policy lets go; returns of how many patients."""
    days = app.settings.keep_context_days
    if not days or is_held(app):
        return 0
    now, table = app.now(), table_of(app.settings)
    gone, after = 0, ("", "")
    while True:
        with app.database.write() as session:
            found = _quiet_ids(session, after, now - days * DAY_S)
            if not found:
                break
            busy = _under_way(session)
            for patient in found:
                gone += _prune(session, app.settings, table, patient, busy, now)
        after = found[-1]
    if gone:
        log.info("context_pruned", moved=gone)
    return gone


def _quiet_ids(session: Session, after: PatientId, limit: float) -> list[PatientId]:
    """Patient IDs in order, of which nothing was heard since."""
    key = tuple_(ContextPerson.patient_id, ContextPerson.issuer)
    rows = session.execute(
        select(ContextPerson.patient_id, ContextPerson.issuer)
        .join(ContextMessage, ContextMessage.id == ContextPerson.message_id)
        .where(key > after)
        .group_by(ContextPerson.patient_id, ContextPerson.issuer)
        .having(func.max(ContextMessage.received_at) <= limit)
        .order_by(ContextPerson.patient_id, ContextPerson.issuer)
        .limit(AT_ONCE)
    )
    return [(row[0], row[1]) for row in rows]


def _under_way(session: Session) -> frozenset[str]:
    """Whose studies are received, wait, are analysed or wait for a person."""
    found = set()
    series = select(Job.series_uid).where(Job.state.in_(UNDER_WAY)).distinct()
    for series_uid in session.scalars(series).all():
        row = session.scalars(
            select(Instance.header).where(Instance.series_uid == series_uid).limit(1)
        ).first()
        if row is not None:
            found.add(patient_key([InstanceHeader.from_json(row).identity]))
    return frozenset(found)


def _prune(
    session: Session,
    settings: Settings,
    table: ItemTable,
    patient: PatientId,
    busy: frozenset[str],
    now: float,
) -> int:
    limit = now - settings.keep_context_days * DAY_S
    ids = sorted(ids_of(session, patient))
    persons = list(
        session.scalars(
            select(ContextPerson).where(
                tuple_(ContextPerson.patient_id, ContextPerson.issuer).in_(ids)
            )
        )
    )
    if not persons:  # gone with another ID of the same patient
        return 0
    keys = {key for item in ids for key in keys_of(item, settings)}
    if keys & busy or _has_kept_study(session, keys):
        return 0
    numbers = [person.id for person in persons]
    messages = session.scalars(
        select(ContextMessage).where(
            ContextMessage.id.in_({person.message_id for person in persons})
        )
    ).all()
    revises = settings.context_revises and settings.context_enabled
    for message in messages:
        pending = revises and not message.considered
        if pending or message.state != MessageState.TAKEN or message.received_at > limit:
            return 0
    values = select(ContextValue).where(ContextValue.person_id.in_(numbers))
    said_at = {message.id: message.said_at for message in messages}
    message_of = {person.id: person.message_id for person in persons}
    today = date.fromisoformat(today_of(now))
    for value in session.scalars(values):
        if _may_count(table, value, said_at[message_of[value.person_id]], today):
            return 0
    for child in (ContextValue, ContextReport):
        session.execute(delete(child).where(child.person_id.in_(numbers)))
    for item in ids:  # numbers of persons may be given again
        clear_alarm(session, CONTEXT_CONFLICT, subject_of(session, item), at=now)
    session.execute(delete(ContextPerson).where(ContextPerson.id.in_(numbers)))
    _let_messages_go(session, [message.id for message in messages])
    session.execute(
        delete(ContextLink).where(
            ContextLink.kind == LinkKind.CONFIRM,
            tuple_(ContextLink.from_id, ContextLink.from_issuer).in_(ids),
        )
    )
    return 1


def _has_kept_study(session: Session, keys: set[str]) -> bool:
    """Whether a result of the patient's, or the instances that it was made of, are still here."""
    results = select(Result.job_id).where(Result.patient_key.in_(sorted(keys)))
    there = results.where(Result.removed_at.is_(None)).limit(1)
    if session.scalars(there).first() is not None:
        return True
    series = select(Job.series_uid).where(Job.id.in_(results))
    stored = select(Instance.sop_uid).where(
        Instance.series_uid.in_(series), Instance.removed_at.is_(None)
    )
    return session.scalars(stored.limit(1)).first() is not None


def _may_count(table: ItemTable, value: ContextValue, said_at: str, today: date) -> bool:
    """Whether a CT of today could still be given it, by its item's limit of age.

    What does not grow old goes by the policy's days alone; so does what has no day.
    """
    item = table.items.get(value.item)
    if item is None or item.stale_after_days is None:
        return False
    day = str(value.content.get("observed_on") or said_at)[:10]
    try:
        return date.fromisoformat(day) + timedelta(days=item.stale_after_days) >= today
    except ValueError:
        return False


def _let_messages_go(session: Session, numbers: list[int]) -> None:
    """Remove messages that speak of nobody any more; links by them stay."""
    others = select(ContextPerson.message_id).where(ContextPerson.message_id.in_(numbers))
    left = set(numbers) - set(session.scalars(others))
    session.execute(
        update(ContextLink).where(ContextLink.message_id.in_(left)).values(message_id=None)
    )
    session.execute(delete(ContextMessage).where(ContextMessage.id.in_(left)))
