"""What an HL7 v2 message means: segments become facts.

docs/context.md lists the segments and fields that are read; nothing else is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from workers.context.facts import (
    TITLE_LENGTH,
    Identifier,
    MessageFacts,
    PatientFacts,
    Person,
    ReportText,
    Value,
    iso_date,
    iso_moment,
    iso_onset,
)
from workers.context.hl7_message import Components, Hl7Message, Segment, pick
from workers.context.hl7_order import Order, accession_of, observed_of, result_key
from workers.context.hl7_report import read_reports
from workers.context.items import Code, ItemTable
from workers.context.quantities import read_flag, read_number

CODED_TYPES = frozenset({"CE", "CWE", "CNE", "IS", "ID", "CF"})
MEDICAL_RECORD = frozenset({"", "MR", "PI", "PT", "MRN", "PN"})
"""PID-3.5: identifiers of a person in a system, not a passport or an insurance."""
ORDERS = frozenset({"ORM", "OMI", "OMG"})
CANCELLED_ORDERS = frozenset({"CA", "OC", "DC", "OD", "CR"})
"""ORC-1 (HL7 table 0119)."""
FINAL_DIAGNOSIS = "F"
REFUTED = frozenset({"R", "REFUTED", "RULED-OUT"})


@dataclass(slots=True, kw_only=True)
class _Patient:
    pid: Segment
    orders: list[Order] = field(default_factory=list)
    diagnoses: list[Segment] = field(default_factory=list)
    merges: list[Segment] = field(default_factory=list)


def read_facts(message: Hl7Message, table: ItemTable, screening: Sequence[str]) -> MessageFacts:
    """What a message says of its patients.

    Parameters
    ----------
    message : Hl7Message
        Accepted.
    table : ItemTable
        Which codes say what.
    screening : sequence of str
        Procedure codes (OBR-4) of lung cancer screening.
    """
    header = message.header
    event = message.first("EVN")
    moment = iso_moment(event.text(2)) if event else ""
    moment = moment or iso_moment(header.at)
    return MessageFacts(
        source="hl7",
        sender=header.sender,
        control_id=header.control_id,
        kind=header.kind,
        at=moment,
        patients=tuple(
            _patient(item, message, table, frozenset(screening), moment[:10])
            for item in _patients(message)
        ),
    )


def _patients(message: Hl7Message) -> list[_Patient]:
    found: list[_Patient] = []
    pending: Segment | None = None
    for segment in message.segments:
        if segment.name == "PID":
            found.append(_Patient(pid=segment))
            pending = None
        elif not found:
            continue
        elif segment.name == "ORC":
            pending = segment
        elif segment.name == "OBR":
            found[-1].orders.append(Order(orc=pending, obr=segment))
            pending = None
        elif segment.name == "OBX":
            if not found[-1].orders:
                found[-1].orders.append(Order())
            found[-1].orders[-1].results.append(segment)
        elif segment.name == "ZDS" and found[-1].orders:
            found[-1].orders[-1].study_uid = segment.text(1)
        elif segment.name == "SPM" and found[-1].orders:
            found[-1].orders[-1].collected = iso_date(segment.text(17))
        elif segment.name in ("DG1", "PRB"):
            found[-1].diagnoses.append(segment)
        elif segment.name == "MRG":
            found[-1].merges.append(segment)
    return found


def _patient(
    found: _Patient, message: Hl7Message, table: ItemTable, screening: frozenset[str], day: str
) -> PatientFacts:
    header = message.header
    values: list[Value] = []
    reports: list[ReportText] = []
    for order in found.orders:
        if header.code in ORDERS:
            indication, exam = _indication(order, header.sender, screening, day)
            reports += indication
            values += exam
        values += _results(order, header.sender, table, day)
        reports += read_reports(order, header.sender, day)
    values += _diagnoses(found.diagnoses, header.sender, table, day)
    merged = header.trigger == "A40" and header.code == "ADT"
    return PatientFacts(
        identifiers=_identifiers(found.pid.repetitions(3)),
        person=_person(found.pid),
        is_identity=header.code == "ADT",
        values=tuple(values),
        reports=tuple(reports),
        merged=tuple(
            item for mrg in found.merges if merged for item in _identifiers(mrg.repetitions(1))
        ),
    )


def _identifiers(repetitions: Iterable[Components]) -> tuple[Identifier, ...]:
    """CX: the assigning authority by its name, else by its universal ID."""
    found = [
        Identifier(
            patient_id=pick(item, 1),
            authority=pick(item, 4, 1) or pick(item, 4, 2),
            kind=pick(item, 5).upper(),
        )
        for item in repetitions
        if pick(item, 1)
    ]
    return tuple(item for item in found if item.kind in MEDICAL_RECORD)


def _person(pid: Segment) -> Person:
    names = (f"{pick(item, 1)}^{pick(item, 2)}".strip("^") for item in pid.repetitions(5))
    sex = pid.text(8).upper()
    return Person(
        names=tuple(name for name in names if name),
        birth_date=iso_date(pid.text(7)).replace("-", ""),
        sex=sex if sex in ("F", "M", "O") else "",
    )


def _results(order: Order, sender: str, table: ItemTable, day: str) -> list[Value]:
    found = []
    for obx in order.results:
        code = _first_known(obx.repetitions(3), table)
        name = table.find(code) if code else None
        if code is None or name is None:
            continue
        observed = iso_date(obx.text(14)) or observed_of(order) or day
        number, comparator, flag, problem = None, "", None, ""
        written = obx.whole(5)
        kind = table.items[name].kind
        if kind == "number":
            number, comparator, problem = read_number(
                table, name, _numeric_text(obx), obx.text(6, 1) or obx.text(6, 2)
            )
            written = f"{_numeric_text(obx)} {obx.text(6)}".strip()
        elif kind == "smoking":
            answers = [_code(item) for item in obx.repetitions(5)]
            flag = next(
                (said for item in answers if (said := table.ever_smoked(item)) is not None), None
            )
            problem = "" if flag is not None else "the answer's code says nothing of this"
        else:
            answer = obx.repetitions(5)
            flag = read_flag(pick(answer[0], 1), pick(answer[0], 2)) if answer else None
            problem = "" if flag is not None else "neither yes nor no"
        found.append(
            Value(
                item=name,
                code=f"{code.system}^{code.code}",
                key=result_key(sender, order, f"{code.code}/{obx.text(4)}", observed),
                status=obx.text(11).upper() or (order.obr.text(25).upper() if order.obr else ""),
                observed_on=observed,
                number=number,
                comparator=comparator,
                flag=flag,
                written=written[:TITLE_LENGTH],
                reference_range=obx.text(7)[:64],
                abnormal=obx.text(8)[:16],
                accession=accession_of(order),
                problem=problem if observed else "there is no day",
            )
        )
    return found


def _numeric_text(obx: Segment) -> str:
    """OBX-5 of a number; SN has comparator and number apart."""
    found = obx.repetitions(5)
    if not found:
        return ""
    if obx.text(2).upper() == "SN":
        return pick(found[0], 1) + pick(found[0], 2)
    return pick(found[0], 1)


def _indication(
    order: Order, sender: str, screening: frozenset[str], day: str
) -> tuple[list[ReportText], list[Value]]:
    obr = order.obr
    if obr is None:
        return [], []
    cancelled = order.orc is not None and order.orc.text(1).upper() in CANCELLED_ORDERS
    status = "W" if cancelled else "F"
    observed = observed_of(order) or day
    reasons = [obr.text(13)]
    reasons += [pick(item, 2) or pick(item, 1) for item in obr.repetitions(31)]
    text = "\n".join(reason for reason in reasons if reason)
    texts = [
        ReportText(
            kind="indication",
            key=result_key(sender, order, "indication", observed),
            status=status,
            observed_on=observed,
            title=(obr.text(4, 2) or obr.text(4, 1))[:TITLE_LENGTH],
            text=text,
            accession=accession_of(order),
        )
    ]
    exam = [
        Value(
            item="screening_exam",
            code=f"{obr.text(4, 3)}^{obr.text(4, 1)}",
            key=result_key(sender, order, "screening", observed),
            status=status,
            observed_on=observed,
            flag=True,
            written=obr.text(4, 1),
            accession=accession_of(order),
            problem="" if accession_of(order) else "the order has no accession number",
        )
        for _ in (1,)
        if obr.text(4, 1) in screening
    ]
    return (texts if text else []), exam


def _diagnoses(segments: Iterable[Segment], sender: str, table: ItemTable, day: str) -> list[Value]:
    found = []
    for segment in segments:
        for item in segment.repetitions(3)[:1]:
            codes = [_code(item), _code(item[3:])]
            code = next((each for each in codes if table.find_diagnosis(each)), None)
            name = table.find_diagnosis(code) if code else None
            if code is None or name is None or table.items[name].kind == "number":
                continue
            problem = segment.name
            if segment.name == "DG1":
                confirmed = segment.text(6).upper() == FINAL_DIAGNOSIS
                since, problem = (
                    segment.text(5),
                    "" if confirmed else "not a final diagnosis (DG1-6)",
                )
                flag = True
            else:
                since, problem = segment.text(16) or segment.text(7), ""
                flag = segment.text(13).upper() not in REFUTED
            found.append(
                Value(
                    item=name,
                    code=f"{code.system}^{code.code}",
                    key=f"{sender}/{segment.name}/{code.code}",
                    status="F",
                    observed_on=day,
                    flag=flag,
                    since=iso_onset(since),
                    written=code.code,
                    problem=problem if day else "there is no day",
                )
            )
    return found


def _code(item: Components) -> Code:
    return Code(code=pick(item, 1), text=pick(item, 2), system=pick(item, 3))


def _first_known(repetitions: Sequence[Components], table: ItemTable) -> Code | None:
    """The first of code and alternate code (CWE) that an item knows."""
    for item in repetitions:
        for code in (_code(item), _code(item[3:])):
            if code.code and table.find(code) is not None:
                return code
    return None
