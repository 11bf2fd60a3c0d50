"""Accepted messages become rows: the inbox of HL7 and FHIR is emptied, oldest first.

A message is let go only after its rows are committed, so one that is seen again after a crash is
told by sender, control ID and content, and changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dicom_node.barriers import Barrier, reach
from workers.application import Application
from workers.context.facts import MessageFacts
from workers.context.fhir_facts import read_fhir
from workers.context.hl7_facts import read_facts
from workers.context.hl7_message import Hl7Message
from workers.context.inbox import MessageInbox, stamp_of
from workers.context.issuers import OwnedFacts, Unusable, find_owners
from workers.context.items import ItemTable, load_items
from workers.errors import ContextRefused, Hl7Refused
from workers.settings import Settings
from workers.state.alarms import CONTEXT_HELD, clear_alarm, raise_alarm
from workers.state.context_tables import (
    ContextLink,
    ContextMessage,
    ContextPerson,
    ContextReport,
    ContextValue,
    LinkKind,
    MessageState,
)
from workers.state.schema import printable

log = structlog.get_logger()

UNREADABLE = "unreadable"
AT_ONCE = 500
"""Messages of one round, so that the node's other work comes in between."""
ALL_HELD = "messages"


def table_of(settings: Settings) -> ItemTable:
    """The site's table of items."""
    codes = tuple(sorted(settings.context_codes.items()))
    return load_items(settings.context_items_file, codes)


def open_inbox(settings: Settings) -> MessageInbox:
    """The inbox of messages, made where there is none."""
    return MessageInbox(settings.context_dir, reserve_bytes=settings.disk_reserve_bytes // 2)


def take_messages(app: Application) -> int:
    """Read what waits in the inbox; returns how many messages there were."""
    if not app.settings.context_dir.is_dir():
        return 0
    inbox = open_inbox(app.settings)
    table = table_of(app.settings)
    waiting = inbox.waiting()[:AT_ONCE]
    for path in waiting:
        try_to_take(app, inbox, path, table)
    return len(waiting)


def try_to_take(app: Application, inbox: MessageInbox, path: Path, table: ItemTable) -> str | None:
    """As `take_message`; `None` where another process (node, console, command) reads it too."""
    try:
        return take_message(app, inbox, path, table)
    except (FileNotFoundError, IntegrityError):
        return None


def take_message(app: Application, inbox: MessageInbox, path: Path, table: ItemTable) -> str:
    """Read one message; returns ``taken``, ``held`` or ``repeated``.

    What is held stays as a file, and an alarm says so.
    """
    outcome = take_data(
        app,
        path.read_bytes(),
        path.suffix,
        table,
        name=path.name,
        received_at=stamp_of(path) / 1e9,
    )
    if outcome == MessageState.HELD:
        inbox.hold(path)
    else:
        inbox.release(path)
    return outcome


def take_data(
    app: Application,
    data: bytes,
    kind: str,
    table: ItemTable,
    *,
    name: str = "",
    received_at: float | None = None,
) -> str:
    """Read a message that stands in no file, or is left where it is; as `take_message`."""
    sha256 = hashlib.sha256(data).hexdigest()
    facts, owned, problem = _understand(app.settings, name or sha256, kind, data, table)
    return keep_facts(
        app,
        facts,
        owned,
        problem,
        sha256=sha256,
        size_bytes=len(data),
        name=name,
        received_at=received_at,
    )


def keep_facts(
    app: Application,
    facts: MessageFacts,
    owned: Iterable[OwnedFacts],
    problem: Unusable | None = None,
    *,
    sha256: str,
    size_bytes: int,
    name: str = "",
    received_at: float | None = None,
) -> str:
    """Write what a message says, or why it is held; as `take_message`."""
    now = app.now()
    reach(Barrier.CONTEXT_BEFORE_COMMIT)
    with app.database.write() as session:
        row = session.scalars(
            select(ContextMessage).where(
                ContextMessage.sender == facts.sender,
                ContextMessage.control_id == facts.control_id,
                ContextMessage.sha256 == sha256,
            )
        ).first()
        if row is not None and row.state == MessageState.TAKEN:
            outcome = "repeated"
        else:
            if row is None:
                row = ContextMessage(
                    source=facts.source,
                    sender=facts.sender,
                    control_id=facts.control_id,
                    sha256=sha256,
                    received_at=now if received_at is None else received_at,
                )
                session.add(row)
            row.kind = facts.kind[:64]
            row.said_at = facts.at or moment_of(row.received_at)
            row.taken_at = now
            row.state = MessageState.TAKEN if problem is None else MessageState.HELD
            row.reason_code = "" if problem is None else problem.code
            row.reason = "" if problem is None else problem.why
            row.file = "" if problem is None else name
            row.considered = not app.settings.context_revises
            session.flush()
            for patient in owned:
                _add(session, row, patient, now)
            outcome = str(row.state)
        _tell_held(session, now)
    reach(Barrier.CONTEXT_COMMITTED)
    log.info(
        "context_message_taken",
        outcome=outcome,
        reason_code="" if problem is None else problem.code,
        size_bytes=size_bytes,
    )
    return outcome


def moment_of(seconds: float) -> str:
    """A moment as senders write it, where one does not; UTC."""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _understand(
    settings: Settings, name: str, kind: str, data: bytes, table: ItemTable
) -> tuple[MessageFacts, tuple[OwnedFacts, ...], Unusable | None]:
    """Facts and whose they are; or why not, with whatever names the message."""
    nameless = MessageFacts(
        source="fhir" if kind == ".json" else "hl7",
        sender="",
        control_id=name,
        kind="",
        at="",
        patients=(),
    )
    facts = nameless
    try:
        facts = _scrubbed(_read(settings, kind, data, table))
        owned = find_owners(facts, settings.context_issuers, settings.context_default_issuer)
    except Unusable as problem:
        return facts, (), problem
    except (Hl7Refused, ContextRefused) as error:
        return nameless, (), Unusable(UNREADABLE, error.why)
    # One message that nobody foresaw must not hold up those behind it.
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        log.error("context_message_unreadable", error=type(error).__name__)
        return nameless, (), Unusable(UNREADABLE, f"cannot be read ({type(error).__name__})")
    return facts, owned, None


def _read(settings: Settings, kind: str, data: bytes, table: ItemTable) -> MessageFacts:
    if kind == ".json":
        return read_fhir(data, table)
    return read_facts(Hl7Message(data.decode()), table, settings.context_screening_codes)


def _scrubbed(facts: MessageFacts) -> MessageFacts:
    """Without NUL, which PostgreSQL does not store."""
    text = json.dumps(asdict(facts))
    if "\\u0000" not in text:
        return facts
    raise Unusable(UNREADABLE, "it contains NUL")


def _add(session: Session, message: ContextMessage, owned: OwnedFacts, now: float) -> None:
    facts = owned.facts
    for patient_id, issuer in owned.patients:
        person = ContextPerson(
            message_id=message.id,
            patient_id=patient_id,
            issuer=issuer,
            names=list(facts.person.names),
            birth_date=facts.person.birth_date,
            sex=facts.person.sex,
            is_identity=facts.is_identity,
        )
        session.add(person)
        session.flush()
        session.add_all(
            ContextValue(person_id=person.id, item=value.item, content=asdict(value))
            for value in facts.values
        )
        session.add_all(
            ContextReport(person_id=person.id, kind=report.kind, content=asdict(report))
            for report in facts.reports
        )
    for what, into in owned.merged:
        session.add(
            ContextLink(
                kind=LinkKind.MERGE,
                from_id=what[0],
                from_issuer=what[1],
                into_id=into[0],
                into_issuer=into[1],
                at=now,
                message_id=message.id,
            )
        )


def _tell_held(session: Session, now: float) -> None:
    """Keep the alarm on held messages; no patient data in it."""
    rows = session.execute(
        select(ContextMessage.reason_code, func.count())
        .where(ContextMessage.state == MessageState.HELD)
        .group_by(ContextMessage.reason_code)
    ).all()
    if not rows:
        clear_alarm(session, CONTEXT_HELD, ALL_HELD, at=now)
        return
    said = ", ".join(f"{count} {code}" for code, count in sorted(tuple(row) for row in rows))
    raise_alarm(
        session,
        CONTEXT_HELD,
        ALL_HELD,
        printable(f"messages that cannot be used as they are: {said} ('pulmonode context held')"),
        at=now,
    )


def retry_held(app: Application) -> int:
    """Bring every held message back into the inbox, after settings changed; returns how many."""
    inbox = open_inbox(app.settings)
    held = inbox.held()
    for path in held:
        inbox.take_up(path)
    return len(held)
