"""From all that is known of a patient to what one CT may use: the only place that decides.

Corrected and deleted results supersede; what is preliminary, stale or of another unit is left
out; what a message says is held back where its patient is not surely the CT's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from inference.findings import ClinicalContext
from inference.known import KnownContext, KnownValue
from inference.report_text.exam import ReportedExam
from inference.report_text.facts import ReportFacts
from workers.context.diagnoses import add_cancers
from workers.context.exam_report import ToldReport, choose_reports
from workers.context.facts import FINAL, GONE, Person, ReportText, Value
from workers.context.items import ItemTable
from workers.context.same_person import differences
from workers.context.text_history import history_values

RULE_INPUTS = (
    "age_years",
    "sex",
    "screening_exam",
    "emphysema",
    "family_history_lung_cancer",
    "ever_smoker",
    "extrathoracic_cancer_over_5_years",
    "known_cancer",
    "immunosuppressed",
    "high_risk",
)
"""What rules ask for (`inference/rules`); those that are not known are named."""
REPORT_TEXT = "report text"
DICOM_SR = "dicom sr"
CODED_SAYS_OTHERWISE = "a coded value says that the patient never smoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class CtPatient:
    """The patient and day of the CT that is analysed."""

    person: Person
    study_date: str
    """YYYY-MM-DD; empty where the CT does not say."""
    accession: str
    header: tuple[KnownValue, ...]
    """What the CT's own header says."""
    context: ClinicalContext
    """The same, as the rules take it."""
    study_uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one message says of the patient."""

    number: int
    """Order in which it was taken."""
    source: str
    control_id: str
    said_at: str
    person: Person
    is_identity: bool
    confirmed: bool
    """Somebody has looked and said that it is this patient."""
    values: tuple[Value, ...]
    reports: tuple[ReportText, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What an analysis uses."""

    context: ClinicalContext
    known: KnownContext
    reports: tuple[ReportText, ...]
    conflict: bool
    """Something was held back for its patient."""
    exam: ReportedExam | None = None
    """What reports of this CT say of its nodules."""

    @property
    def digest(self) -> str:
        """SHA-256 over what shapes the result; where a value came from does not."""
        said = [
            (item.item, item.number, item.flag, item.on, item.since) for item in self.known.values
        ]
        shaping: list[Any] = [asdict(self.context), said, self.known.held]
        if self.exam is not None:
            shaping.append(ReportFacts(nodules=self.exam.nodules).to_dict()["nodules"])
        return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()


def resolve(
    ct: CtPatient, statements: Sequence[Statement], table: ItemTable, *, today: str
) -> Resolved:
    """Work out what may be used.

    Parameters
    ----------
    ct : CtPatient
        Whose CT it is.
    statements : sequence of Statement
        All that was said of this patient's IDs.
    table : ItemTable
        Units and limits of age.
    today : str
        YYYY-MM-DD: what lies after it is an error of the sender.
    """
    ordered = sorted(statements, key=lambda item: (item.said_at, item.number))
    trusted, held = _trusted(ct, ordered)
    told = _current_reports(ordered, trusted)
    reports = choose_reports(
        told, study_uid=ct.study_uid, accession=ct.accession, study_date=ct.study_date
    )
    coded, unused = _usable(_current(ordered, trusted), ct, table, today)
    texts, unused_texts = _usable(_from_texts(reports.history), ct, table, today)
    added, overruled = _weaker(texts, coded)
    usable = [*coded, *added]
    left_out = (*unused, *unused_texts, *overruled, *reports.left_out)
    context, shown = _context(ct, usable, table)
    missing = tuple(name for name in RULE_INPUTS if getattr(context, name) is None)
    return Resolved(
        context=context,
        known=KnownContext(
            values=(*ct.header, *shown), missing=missing, held=held, left_out=left_out
        ),
        reports=tuple(item.report for item in told),
        conflict=bool(held),
        exam=reports.exam,
    )


def _trusted(ct: CtPatient, ordered: Sequence[Statement]) -> tuple[frozenset[int], tuple[str, ...]]:
    """Numbers of the statements that are surely of the CT's patient; why others are not."""
    identities = [item for item in ordered if item.is_identity]
    if identities and not identities[-1].confirmed:
        found = differences(ct.person, identities[-1].person)
        if found:
            why = f"all of it: {', '.join(found)} of the patient differ from the CT's"
            return frozenset(), (why,)
    trusted, reasons = set(), []
    for item in ordered:
        found = () if item.confirmed else differences(ct.person, item.person)
        if found:
            reasons.append(f"message {item.control_id}: {', '.join(found)} differ from the CT's")
        else:
            trusted.add(item.number)
    return frozenset(trusted), tuple(dict.fromkeys(reasons))


def _current(
    ordered: Iterable[Statement], trusted: frozenset[int]
) -> list[tuple[Statement, Value]]:
    """The last final word on each result; a deletion counts whoever it names."""
    last: dict[str, tuple[Statement, Value] | None] = {}
    for statement in ordered:
        for value in statement.values:
            if value.status in GONE:
                last[value.key] = None
            elif value.status in FINAL and statement.number in trusted:
                last[value.key] = (statement, value)
    return [item for item in last.values() if item is not None]


def _current_reports(
    ordered: Iterable[Statement], trusted: frozenset[int]
) -> tuple[ToldReport, ...]:
    """The last final word on each report, with the message that said it."""
    last: dict[str, ToldReport | None] = {}
    for statement in ordered:
        for report in statement.reports:
            if report.status in GONE:
                last[report.key] = None
            elif report.status in FINAL and statement.number in trusted:
                last[report.key] = ToldReport(
                    report=report,
                    source=statement.source,
                    message_id=report.reference or statement.control_id,
                )
    return tuple(item for item in last.values() if item is not None)


def _from_texts(told: Sequence[ToldReport]) -> list[tuple[Statement, Value]]:
    """What reports' texts say of the history, as statements of their own."""
    return [
        (
            Statement(
                number=0,
                source=item.source if item.source == DICOM_SR else REPORT_TEXT,
                control_id=item.message_id,
                said_at="",
                person=Person(),
                is_identity=False,
                confirmed=True,
                values=(value,),
                reports=(),
            ),
            value,
        )
        for item, value in history_values(told)
    ]


def _weaker(
    texts: Iterable[tuple[Statement, Value]], coded: Sequence[tuple[Statement, Value]]
) -> tuple[list[tuple[Statement, Value]], tuple[str, ...]]:
    """What texts add to codes, and what they say against them."""
    said = {value.item for _, value in coded}
    latest = {(value.item, value.code): (statement, value) for statement, value in texts}
    never = any(value.item == "smoking_status" and not value.flag for _, value in coded)
    kept, overruled = [], []
    for statement, value in latest.values():
        if value.item == "pack_years" and value.number and never:
            overruled.append(
                f"Cigarette pack-years (message {statement.control_id}): {CODED_SAYS_OTHERWISE}"
            )
        elif value.item not in said:
            kept.append((statement, value))
    return kept, tuple(overruled)


def _usable(
    values: Iterable[tuple[Statement, Value]], ct: CtPatient, table: ItemTable, today: str
) -> tuple[list[tuple[Statement, Value]], tuple[str, ...]]:
    """One value for each item (all of a diagnosis), and what was left out and why."""
    found: dict[str, tuple[Statement, Value]] = {}
    diagnoses: list[tuple[Statement, Value]] = []
    left_out: list[str] = []
    for statement, value in values:
        item = table.items.get(value.item)
        if item is None:
            continue
        why = value.problem or _why_not(value, ct, item.stale_after_days, today)
        if why:
            left_out.append(f"{item.name} (message {statement.control_id}): {why}")
            continue
        if item.kind == "diagnosis":
            diagnoses.append((statement, value))
            continue
        other = found.get(value.item)
        if other is None or _better(value, other[1], ct, nearest=item.nearest):
            found[value.item] = (statement, value)
    return [*found.values(), *diagnoses], tuple(left_out)


def _why_not(value: Value, ct: CtPatient, limit_days: int | None, today: str) -> str:
    if value.observed_on > today:
        return "its day lies in the future"
    if value.item == "screening_exam" and value.accession != ct.accession:
        return "it is another examination's"
    if limit_days is not None:
        if not ct.study_date:
            return "the CT does not say its day"
        if abs(_days(value.observed_on, ct.study_date)) > limit_days:
            return f"of {value.observed_on}, over {limit_days} days from the CT"
    return ""


def _better(value: Value, other: Value, ct: CtPatient, *, nearest: bool) -> bool:
    """Whether a value counts rather than another that was said before it."""
    if value.item in ("smoking_status",) and bool(value.flag) != bool(other.flag):
        return bool(value.flag)  # who ever smoked has smoked, whatever was asked later
    if nearest and ct.study_date:
        return abs(_days(value.observed_on, ct.study_date)) <= abs(
            _days(other.observed_on, ct.study_date)
        )
    return value.observed_on >= other.observed_on


def _days(one: str, other: str) -> int:
    return (date.fromisoformat(one) - date.fromisoformat(other)).days


def _context(
    ct: CtPatient, usable: Iterable[tuple[Statement, Value]], table: ItemTable
) -> tuple[ClinicalContext, tuple[KnownValue, ...]]:
    context = ct.context
    shown: list[KnownValue] = []
    cancers: list[Value] = []
    for statement, value in usable:
        if value.item == "cancer":
            cancers.append(value)
        elif value.item == "smoking_status":
            context = replace(context, ever_smoker=bool(context.ever_smoker) or value.flag)
        elif value.item == "pack_years":
            if value.comparator:
                pass  # a limit is shown, not used
            else:
                context = replace(context, pack_years=value.number)
            if value.number:
                context = replace(context, ever_smoker=True)
        elif value.item == "size":
            context = replace(context, size_m=value.number)
        elif value.item == "weight":
            context = replace(context, weight_kg=value.number)
        elif value.item == "emphysema":
            context = replace(context, emphysema=value.flag)
        elif value.item == "family_history_lung_cancer":
            context = replace(context, family_history_lung_cancer=value.flag)
        elif value.item == "immunosuppressed":
            context = replace(context, immunosuppressed=value.flag)
        elif value.item == "screening_exam":
            context = replace(context, screening_exam=True)
        shown.append(_known(statement, value, table.items[value.item].unit or ""))
    return add_cancers(context, cancers, ct.study_date), tuple(shown)


def _known(statement: Statement, value: Value, unit: str) -> KnownValue:
    return KnownValue(
        item=value.item,
        number=value.number,
        unit="" if value.number is None else unit,
        flag=value.flag,
        comparator=value.comparator,
        on=value.observed_on,
        since=value.since,
        source=statement.source,
        message_id=value.reference or statement.control_id,
        code=value.code,
        reference_range=value.reference_range,
        abnormal=value.abnormal,
    )
