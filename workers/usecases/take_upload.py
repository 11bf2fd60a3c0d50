"""Context that somebody uploads, by command or to the console: the same inbox, the same answers.

HL7 messages are judged one by one as at the MLLP port, a FHIR resource or Bundle as a whole. What
is accepted is on disk before anything else happens, then read at once.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from workers.application import Application
from workers.context.fhir_facts import read_fhir
from workers.context.hl7_accept import AcceptPolicy, read_frame
from workers.context.hl7_receive import Receiver
from workers.context.inbox import MessageInbox
from workers.context.items import ItemTable
from workers.errors import ContextRefused, Hl7Refused
from workers.settings import Settings
from workers.usecases.audit import Actor, record_alone
from workers.usecases.take_messages import open_inbox, table_of, try_to_take

WAITS = "waits"
"""Accepted, and not read by us: the node does it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadAnswer:
    """What became of one message or resource."""

    message_id: str
    """MSH-10, or the resource's ID; empty where it has none."""
    answer: str
    """AA, AE or AR (HL7 table 0008)."""
    error: int | None = None
    """HL7 table 0357."""
    why: str = ""
    outcome: str = ""
    """Of what was accepted: taken, repeated, held or waits."""


def take_upload(app: Application, data: bytes, *, name: str, by: Actor) -> tuple[UploadAnswer, ...]:
    """Take FHIR JSON, or HL7 messages.

    Parameters
    ----------
    data : bytes
        One FHIR resource or Bundle, one HL7 message, several, or a batch.
    name : str
        Of file or request, for what is said of it.

    Raises
    ------
    ContextRefused
        If nothing of it can be read.
    MessageNotKept
        If the disk does not take FHIR; of HL7 the answers say so.
    """
    inbox, table = open_inbox(app.settings), table_of(app.settings)
    if data.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"{":
        answers = [_take_fhir(app, inbox, table, data, name)]
    else:
        answers = _take_hl7(app, inbox, table, data, name)
    record_alone(app, by, "context.import")
    return tuple(answers)


def _take_fhir(
    app: Application, inbox: MessageInbox, table: ItemTable, data: bytes, name: str
) -> UploadAnswer:
    try:
        facts = read_fhir(data, table)  # once now, so that what is wrong is said to the sender
    except ContextRefused as error:
        raise ContextRefused(name, error.why, error.remedy) from None
    path = inbox.accept(data, ".json")
    return UploadAnswer(
        message_id=facts.control_id, answer="AA", outcome=_read(app, inbox, table, path)
    )


def _take_hl7(
    app: Application, inbox: MessageInbox, table: ItemTable, data: bytes, name: str
) -> list[UploadAnswer]:
    receiver = Receiver(inbox=inbox, policy=accept_policy(app.settings))
    try:
        _, messages = read_frame(data, receiver.policy)
    except Hl7Refused as error:
        raise ContextRefused(name, error.why, "give FHIR JSON or HL7 v2 messages") from None
    answers = []
    for text in messages:
        taken = receiver.take(text)
        refusal = taken.refusal
        answers.append(
            UploadAnswer(
                message_id=taken.header.control_id if taken.header else "",
                answer="AA" if refusal is None else refusal.code,
                error=None if refusal is None else refusal.error_code,
                why="" if refusal is None else refusal.why,
                outcome="" if taken.kept is None else _read(app, inbox, table, taken.kept),
            )
        )
    return answers


def _read(app: Application, inbox: MessageInbox, table: ItemTable, path: Path) -> str:
    return try_to_take(app, inbox, path, table) or WAITS


def accept_policy(settings: Settings) -> AcceptPolicy:
    """Whose messages are accepted, by the settings."""
    return AcceptPolicy(
        default_charset=settings.hl7_default_charset,
        senders=settings.hl7_senders,
        processing_ids=settings.hl7_processing_ids,
    )
