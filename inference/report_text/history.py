"""The patient's history from sentences: smoking, cancers, family, emphysema, asbestos."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from inference.report_text.cancers import find_cancers
from inference.report_text.cues import Cue
from inference.report_text.facts import Certainty, HistoryFact, Source
from inference.report_text.scope import excluded_from
from inference.report_text.segments import Reading
from inference.report_text.smoking import find_smoking

_EMPHYSEMA = Cue("history", "emphysema")
_NOT_LUNG = Cue("history", "not_lung")
_NOT_LUNG_AFTER = Cue("history", "not_lung_after")
_ASBESTOS = Cue("history", "asbestos")
_DENIED = Cue("history", "denied")
_DENIED_AFTER = Cue("history", "denied_after")
_HEDGED = Cue("history", "hedged")
_HEDGED_AFTER = Cue("history", "hedged_after")
_RELATIVE = Cue("history", "relative")
_SILENT_ASBESTOS = Cue("history", "silent_asbestos")
_DENIES_CHANGE = Cue("history", "denies_change")


def find_history(
    reading: Reading, source_of: Callable[[Reading, int, int], Source]
) -> Iterator[HistoryFact]:
    """Facts of one sentence, also of a request; not of advice, rules or other people."""
    sentence = reading.sentence
    if sentence.section in ("technique", "rule"):
        return
    text = sentence.text
    lead = f"{sentence.heading}: " if sentence.heading and sentence.text else ""
    shift = len(lead)
    for item in find_smoking(lead + text if _smoking_heading(sentence.heading) else text):
        move = shift if _smoking_heading(sentence.heading) else 0
        start, end = max(0, item.start - move), max(1, item.end - move)
        yield HistoryFact(kind=item.kind, value=item.value, source=source_of(reading, start, end))
    move = shift if _cancer_heading(sentence.heading) else 0
    for told in find_cancers(lead + text if move else text, sentence.section):
        yield HistoryFact(
            kind=told.kind,
            value=told.value,
            certainty=told.certainty,
            source=source_of(
                reading, max(0, told.start - move), max(1, min(told.end - move, len(text)))
            ),
        )
    yield from _findings(reading, source_of)


def _smoking_heading(heading: str) -> bool:
    return re.search(r"(?i)smok|tobacco|吸烟|烟", heading) is not None


def _cancer_heading(heading: str) -> bool:
    return re.search(r"(?i)cancer|oncolog|malignan|tumou?r|肿瘤|癌", heading) is not None


def _findings(
    reading: Reading, source_of: Callable[[Reading, int, int], Source]
) -> Iterator[HistoryFact]:
    text, advice = reading.sentence.text, excluded_from(reading.sentence.text)
    for kind, pattern in (("emphysema", _EMPHYSEMA), ("asbestos", _ASBESTOS)):
        for hit in pattern.finditer(text):
            before, after = text[: hit.start()], text[hit.end() :]
            if reading.sentence.section == "family" or _RELATIVE.search(before):
                continue
            if kind == "emphysema" and (_NOT_LUNG.search(before) or _NOT_LUNG_AFTER.search(after)):
                continue
            if hit.group().startswith("气肿") and not re.search(r"肺|叶|间隔", before[-14:]):
                continue
            if hit.start() > advice and re.search(
                r"(?i)\b(?:if|to |guideline|criteria)\b", text[advice : hit.start()]
            ):
                continue
            if _SILENT_ASBESTOS.search(before[-16:]):
                continue
            yield HistoryFact(
                kind=kind,
                certainty=_certainty(before, after),
                source=source_of(reading, hit.start(), hit.end()),
            )


def _certainty(before: str, after: str) -> Certainty:
    if _DENIED_AFTER.match(after):
        return "negated"
    found = _DENIED.search(before)
    if (
        found
        and not (
            "," in found.group()
            and not re.search(r"(?i)\b(?:or|nor|and)\b", found.group() + after[:40])
        )
        and not _DENIES_CHANGE.search(found.group())
    ):
        return "negated"
    if _HEDGED.search(before[-70:]) or _HEDGED_AFTER.match(after):
        return "possible"
    return "asserted"


def without_repeats(facts: Iterator[HistoryFact]) -> tuple[HistoryFact, ...]:
    """Each fact once, the first time that it is told; "any cancer" gives way to a named one."""
    kept: list[HistoryFact] = []
    for fact in facts:
        if not any(
            (fact.kind, fact.value, fact.certainty) == (one.kind, one.value, one.certainty)
            for one in kept
        ):
            kept.append(fact)
    named = any(
        fact.kind == "cancer_history"
        and fact.value != "unspecified"
        and fact.certainty == "asserted"
        for fact in kept
    )
    return tuple(
        fact
        for fact in kept
        if not (
            named
            and fact.kind == "cancer_history"
            and fact.value == "unspecified"
            and fact.certainty == "asserted"
        )
    )
