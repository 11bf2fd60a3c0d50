"""Which reports are of the CT that is analysed, and what they say of its nodules.

A report of another examination, however near in time, never says anything of this CT's nodules:
a wrong nodule is worse than none. Our own results are no reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dicom_node.compose.words import LANGUAGES, words_of
from inference.report_text.exam import ExamText, ReportedExam, read_exam
from inference.report_text.facts import ReportedNodule
from inference.report_values import ReportUsed
from workers.context.facts import CodedNodule, ReportText

CHEST_CT = re.compile(
    r"(?is)^(?=.*(?:(?<![a-z])CA?T(?![a-z])|\bcomputed\s+tomograph|断层|斷層))"
    r"(?=.*(?:chest|thora[xc]|lung|pulmon|胸|肺))"
)
"""What a title must say where nothing names the examination. Between Latin letters, "ct" is part of
another word (atelectasis, fracture); Chinese ones stand beside CT without a space."""
HEAD_LETTERS = 200
"""Of a text, where a report often has its title."""
TWO_OF_A_DAY = "two chest CT reports of the CT's day, and neither names the examination"
OURS = "it is a result of this software"
LETTERS_AT_MOST, SENTENCE_AT_MOST = 20_000, 3_000
"""Reports are shorter; reading takes time by the square of a sentence's length."""
TOO_LONG = f"longer than {LETTERS_AT_MOST} characters, or a sentence than {SENTENCE_AT_MOST}"
SENTENCE_END = re.compile("[.\u3002!\uff01?\uff1f;\uff1b\n]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldReport:
    """A report as it is known now, and the message that it came by."""

    report: ReportText
    source: str
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenReports:
    """What is done with the reports of a patient.

    Attributes
    ----------
    exam : ReportedExam or None
        What those of the CT say of nodules; `None` where there is none.
    history : tuple of ToldReport
        All of them that are somebody else's, for the patient's history.
    left_out : tuple of str
        Which are not used, and why.
    """

    exam: ReportedExam | None
    history: tuple[ToldReport, ...]
    left_out: tuple[str, ...]


def choose_reports(
    told: Sequence[ToldReport], *, study_uid: str, accession: str, study_date: str
) -> ChosenReports:
    """Tell the reports of a CT from the others of its patient.

    By Study Instance UID where the report names one, else by accession number; where it names
    neither, or the CT has none, the only chest CT report of the CT's day is taken.

    Parameters
    ----------
    told : sequence of ToldReport
        The last word on each report, the oldest first.
    study_uid, accession, study_date : str
        Of the CT; the date as YYYY-MM-DD, empty is unknown.
    """
    usable: list[ToldReport] = []
    left_out: list[str] = []
    for item in told:
        why = OURS if is_ours(item.report.text) else ""
        why = why or (TOO_LONG if is_too_long(item.report.text) else "")
        if why:
            left_out.append(f"report (message {item.message_id}): {why}")
        else:
            usable.append(item)
    reports = [item for item in usable if item.report.kind == "report"]
    exam: list[ToldReport] = []
    undecided: list[ToldReport] = []
    for item in reports:
        named = _is_of(item.report, study_uid, accession)
        if named or (named is None and _may_be_of(item.report, study_date)):
            (exam if named else undecided).append(item)
    if not exam and undecided:
        if len(_orders(undecided)) > 1:
            left_out.append(f"reports of {study_date}: {TWO_OF_A_DAY}")
        else:
            exam = undecided
    return ChosenReports(
        exam=_read(exam) if exam else None, history=tuple(usable), left_out=tuple(left_out)
    )


def is_ours(text: str) -> bool:
    """Whether a text is, or holds, a result of this software: its warning stands in every one."""
    plain = "".join(text.split())
    return any(
        "".join(words_of(language).say("not_for_diagnosis").split()) in plain
        for language in LANGUAGES
    )


def is_too_long(text: str) -> bool:
    """Whether a text is no report by its length."""
    return len(text) > LETTERS_AT_MOST or any(
        len(sentence) > SENTENCE_AT_MOST for sentence in SENTENCE_END.split(text)
    )


def _is_of(report: ReportText, study_uid: str, accession: str) -> bool | None:
    """Whether a report is of the CT by what it names; `None` where it names nothing to compare."""
    if report.study_uid and study_uid:
        return report.study_uid == study_uid
    if accession and accession in (report.accession, *report.orders):
        return True
    if report.accession and accession:
        return False
    return None


def _may_be_of(report: ReportText, study_date: str) -> bool:
    head = f"{report.title}\n{report.text[:HEAD_LETTERS]}"
    return bool(study_date) and report.observed_on == study_date and bool(CHEST_CT.match(head))


def _orders(items: Iterable[ToldReport]) -> set[tuple[str, ...]]:
    """How many examinations some reports are of, as far as their orders tell."""
    return {
        (item.source, item.report.accession, *item.report.orders)
        if item.report.accession or item.report.orders
        else (item.report.key,)
        for item in items
    }


def _read(items: Sequence[ToldReport]) -> ReportedExam:
    return read_exam(
        [
            ExamText(
                report=ReportUsed(
                    source=item.source, message_id=item.message_id, on=item.report.observed_on
                ),
                text=item.report.text,
                nodules=tuple(map(_to_reported, item.report.nodules)),
            )
            for item in items
        ]
    )


def _to_reported(nodule: CodedNodule) -> ReportedNodule:
    axes = (nodule.size_mm, nodule.short_mm)
    return ReportedNodule(
        size_mm=nodule.size_mm,
        axes_mm=tuple(axis for axis in axes if axis is not None),
        lobe=nodule.lobe,
        laterality=nodule.side,
    )
