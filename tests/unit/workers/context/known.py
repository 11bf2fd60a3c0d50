"""A CT's patient and a store of messages, as tests of the clinical context need them."""

from __future__ import annotations

from typing import Any

from inference.findings import ClinicalContext
from workers.application import Application
from workers.context.facts import Person
from workers.context.links import PatientId
from workers.context.resolve import CtPatient, Resolved, resolve
from workers.usecases.known_context import statements_of
from workers.usecases.take_messages import open_inbox, table_of, take_messages

TODAY = "2026-03-20"


def give(app: Application, *messages: str | bytes) -> None:
    """Accept messages as the port does, and read them as the node does."""
    inbox = open_inbox(app.settings)
    for item in messages:
        data = item.encode() if isinstance(item, str) else item
        inbox.accept(data, ".json" if data[:1] == b"{" else ".hl7")
    take_messages(app)


def ct(**others: Any) -> CtPatient:
    """The CT of Jane Roe, 2026-03-02."""
    values: dict[str, Any] = {
        "person": Person(names=("Roe^Jane",), birth_date="19600402", sex="F"),
        "study_date": "2026-03-02",
        "accession": "A1",
        "header": (),
        "context": ClinicalContext(age_years=65, sex="F"),
        **others,
    }
    return CtPatient(**values)


def known(
    app: Application, patient: PatientId = ("4711", "HOSP"), of: CtPatient | None = None
) -> Resolved:
    """What an analysis of that CT would use now."""
    with app.database.read() as session:
        statements = statements_of(session, patient)
    return resolve(of or ct(), statements, table_of(app.settings), today=TODAY)


def numbers(resolved: Resolved) -> dict[str, float | None]:
    """Item to number of what is used."""
    return {item.item: item.number for item in resolved.known.values if item.number is not None}
