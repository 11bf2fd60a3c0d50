"""What is known of a CT's patient when it is analysed: read, resolved, frozen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from dicom_node.read.ct_series import CtSeries
from inference.findings import ClinicalContext
from inference.known import KnownValue
from workers.application import Application
from workers.context.facts import Person, ReportText, Value
from workers.context.items import ItemTable
from workers.context.links import Link, PatientId, merged_with
from workers.context.resolve import CtPatient, Resolved, Statement, resolve
from workers.settings import Settings
from workers.state.alarms import CONTEXT_CONFLICT, clear_alarm, raise_alarm
from workers.state.context_tables import (
    ContextLink,
    ContextMessage,
    ContextPerson,
    ContextReport,
    ContextValue,
    LinkKind,
    UsedContext,
)
from workers.translate import to_ct_patient
from workers.usecases.take_messages import table_of

IN_ONE_QUERY = 500


def known_context(app: Application, series: CtSeries) -> tuple[Resolved, CtPatient]:
    """What may be used for a series, now; and the CT's side of it.

    Held back is what may be another patient's; an alarm says so, without naming anybody.
    """
    ct = to_ct_patient(series)
    owner = ct_owner(series, app.settings)
    with app.database.read() as session:
        found = statements_of(session, owner) if app.settings.context_enabled and owner[0] else []
    resolved = resolve(ct, found, table_of(app.settings), today=today_of(app.now()))
    if found:
        tell_conflict(app, owner, resolved)
    return resolved, ct


def ct_owner(series: CtSeries, settings: Settings) -> PatientId:
    """Patient ID and issuer of a CT, by (0010,0020) and (0010,0021)."""
    header = series.headers[0]
    return (
        str(header.get("PatientID") or "").strip(),
        str(header.get("IssuerOfPatientID") or "").strip() or settings.context_default_issuer,
    )


def today_of(now: float) -> str:
    """The latest day that it is anywhere on earth: a sender's clock may be ahead of ours."""
    return datetime.fromtimestamp(now + 14 * 3600, tz=UTC).date().isoformat()


def ids_of(session: Session, patient: PatientId) -> frozenset[PatientId]:
    """Every ID of a patient, by the merges until now. Links are followed, not all of them read."""
    known, asked = {patient}, set[PatientId]()
    rows: dict[int, ContextLink] = {}
    while known - asked:
        item = (known - asked).pop()
        asked.add(item)
        query = select(ContextLink).where(
            ContextLink.kind != LinkKind.CONFIRM,
            or_(
                (ContextLink.from_id == item[0]) & (ContextLink.from_issuer == item[1]),
                (ContextLink.into_id == item[0]) & (ContextLink.into_issuer == item[1]),
            ),
        )
        for row in session.scalars(query):
            rows[row.id] = row
            known |= {(row.from_id, row.from_issuer), (row.into_id, row.into_issuer)}
    links = [
        Link(
            kind="merge" if row.kind == LinkKind.MERGE else "unmerge",
            what=(row.from_id, row.from_issuer),
            into=(row.into_id, row.into_issuer),
        )
        for _, row in sorted(rows.items())
    ]
    return merged_with(patient, links)


def statements_of(session: Session, patient: PatientId) -> list[Statement]:
    """All that messages said of a patient, under every ID that is the patient's."""
    ids = ids_of(session, patient)
    confirmed = _confirmed_until(session, ids)
    persons = [
        (person, message)
        for patient_id, issuer in sorted(ids)
        for person, message in session.execute(
            select(ContextPerson, ContextMessage)
            .join(ContextMessage, ContextMessage.id == ContextPerson.message_id)
            .where(ContextPerson.patient_id == patient_id, ContextPerson.issuer == issuer)
        ).all()
    ]
    numbers = [person.id for person, _ in persons]
    values = _contents(session, ContextValue, numbers)
    reports = _contents(session, ContextReport, numbers)
    return [
        Statement(
            number=person.id,
            source=message.source,
            control_id=message.control_id,
            said_at=message.said_at,
            person=Person(names=tuple(person.names), birth_date=person.birth_date, sex=person.sex),
            is_identity=person.is_identity,
            confirmed=message.id <= confirmed,
            values=tuple(Value(**content) for content in values[person.id]),
            reports=tuple(map(ReportText.from_json, reports[person.id])),
        )
        for person, message in persons
    ]


def _confirmed_until(session: Session, ids: Iterable[PatientId]) -> int:
    """Number of the last message that somebody has confirmed to be this patient's."""
    found = 0
    for patient_id, issuer in ids:
        for number in session.scalars(
            select(ContextLink.message_id).where(
                ContextLink.kind == LinkKind.CONFIRM,
                ContextLink.from_id == patient_id,
                ContextLink.from_issuer == issuer,
            )
        ):
            found = max(found, number or 0)
    return found


def _contents(
    session: Session, table: type[ContextValue] | type[ContextReport], numbers: list[int]
) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for begin in range(0, len(numbers), IN_ONE_QUERY):
        rows = session.execute(
            select(table.person_id, table.content)
            .where(table.person_id.in_(numbers[begin : begin + IN_ONE_QUERY]))
            .order_by(table.id)
        )
        for person_id, content in rows:
            found[person_id].append(content)
    return found


def subject_of(session: Session, patient: PatientId) -> str:
    """By what an alarm names a patient: the number of what was first told of the ID.

    Alarms reach logs, mail and webhooks; a digest of the ID could be found again by trying IDs.
    """
    first = session.scalars(
        select(func.min(ContextPerson.id)).where(
            ContextPerson.patient_id == patient[0], ContextPerson.issuer == patient[1]
        )
    ).first()
    return str(first or 0)


def tell_conflict(app: Application, owner: PatientId, resolved: Resolved) -> None:
    """Raise or clear the alarm that a patient's context was held back."""
    now = app.now()
    with app.database.write() as session:
        subject = subject_of(session, owner)
        if resolved.conflict:
            message = (
                "clinical context was held back, its patient may be another one: "
                f"{'; '.join(resolved.known.held)} ('pulmonode context show')"
            )
            raise_alarm(session, CONTEXT_CONFLICT, subject, message, at=now)
        else:
            clear_alarm(session, CONTEXT_CONFLICT, subject, at=now)


def context_warnings(resolved: Resolved) -> tuple[str, ...]:
    """What a result says where something was held back."""
    return tuple(f"clinical context held back: {why}" for why in resolved.known.held)


def frozen(resolved: Resolved, ct: CtPatient) -> dict[str, Any]:
    """What `UsedContext.content` holds."""
    return {
        "ct": asdict(ct),
        "context": asdict(resolved.context),
        "known": asdict(resolved.known),
        "reports": [asdict(report) for report in resolved.reports],
    }


def ct_of(used: UsedContext) -> CtPatient:
    """The CT's side of a frozen context, to resolve it again."""
    ct = dict(used.content["ct"])
    ct["person"] = Person(**{**ct["person"], "names": tuple(ct["person"]["names"])})
    ct["header"] = tuple(KnownValue(**item) for item in ct["header"])
    ct["context"] = ClinicalContext(**ct["context"])
    return CtPatient(**ct)


def resolve_again(
    session: Session, used: UsedContext, owner: PatientId, table: ItemTable, now: float
) -> Resolved:
    """What the same CT would be analysed with now."""
    return resolve(ct_of(used), statements_of(session, owner), table, today=today_of(now))
