"""The patient's own cancers and lung cancer in the family.

A cancer counts as history where words say so (history of, treated, known, 术后, 病史); what is
asked, suspected, screened for or advised is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from inference.report_text.cues import Cue
from inference.report_text.facts import Certainty
from inference.report_text.terms import Mention, longest

_CA = (
    r"(?:cancers?|carcinomas?|adenocarcinomas?|ca\b\.?|malignanc(?:y|ies)"
    r"|malignant (?:tumou?rs?|neoplasms?)|neoplasms?|tumou?rs?|primary)"
)
_CA_ALONE = r"(?:cancers?|carcinomas?|adenocarcinomas?)"
_HISTORY = Cue("cancers", "history")
_QUESTION = Cue("cancers", "question")
_HEDGED_HISTORY = Cue("cancers", "hedged_history")
_DENIED = Cue("cancers", "denied")
_DENIED_AFTER = Cue("cancers", "denied_after")
_FAMILY = Cue("cancers", "family")
_OWN = Cue("cancers", "own")
_NO_CANCER_FAMILY = Cue("cancers", "no_cancer_family")
_FIELD_NO = Cue("cancers", "field_no")
_NO_HISTORY_AFTER = Cue("cancers", "no_history_after")
_HISTORY_AT_ONCE = Cue("cancers", "history_at_once")
_DENIAL_ENDS = Cue("cancers", "denial_ends")
_QUESTION_AFTER = Cue("cancers", "question_after")
_OWN_AGAIN = Cue("cancers", "own_again")
_RELATIVE_AFTER = Cue("cancers", "relative_after")
_NONE_AT_ALL = Cue("cancers", "none_at_all")
_ONLY_NONE = Cue("cancers", "only_none")
_DENIES_RETURN = Cue("cancers", "denies_return")
_PERHAPS = Cue("cancers", "perhaps")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldCancer:
    """``cancer_history`` or ``family_lung_cancer`` at a place."""

    kind: str
    value: str | None
    certainty: Certainty
    start: int
    end: int


@cache
def _kinds() -> list[tuple[str, re.Pattern[str]]]:
    table = yaml.safe_load(
        files("inference.report_text.lexicon").joinpath("cancers.yaml").read_text("utf-8")
    )
    kinds = []
    for language, terms in table.items():
        for value, patterns in terms.items():
            body = "|".join(f"(?:{pattern})" for pattern in patterns)
            noun = _CA_ALONE if value == "unspecified" else _CA
            body = re.sub(r"(?<![A-Za-z])CA(?![A-Za-z])", _always(noun), body)
            body = re.sub(r"(?<=[a-z)?])CA(?![A-Za-z])", "(?:carcinoma|ca)", body)
            if language == "english":
                body = rf"(?<![A-Za-z])(?:{body})(?![A-Za-z])"
            kinds.append((value, re.compile(body, re.IGNORECASE)))
    return kinds


def _always(words: str) -> Callable[[re.Match[str]], str]:
    return lambda _: words


def find_cancers(text: str, section: str) -> Iterator[ToldCancer]:
    """What a sentence says of cancer, the patient's and the family's.

    Parameters
    ----------
    section : str
        Kind of section; in a history a bare "breast cancer" is one.
    """
    hits = longest(
        Mention(start=hit.start(), end=hit.end(), label="cancer", value=value, words=hit.group())
        for value, pattern in _kinds()
        for hit in pattern.finditer(text)
    )
    field_no = _FIELD_NO.search(text)
    if field_no is not None or (section == "family" and _NONE_AT_ALL.match(text)):
        words = text if field_no is None else field_no.group()
        about_cancer = re.search(r"(?i)cancer|malign|tumou?r|癌|肿瘤", text) is not None
        simple = section == "family" and _ONLY_NONE.match(text)
        if about_cancer or simple or field_no is not None:
            start = 0 if field_no is None else field_no.start()
            yield ToldCancer(
                kind="family_lung_cancer",
                value=None,
                certainty="negated",
                start=start,
                end=start + len(words),
            )
            return
    whole_family = _NO_CANCER_FAMILY.search(text)
    for hit in hits:
        yield from _judge(text, section, hit, whole_family is not None)


def _judge(text: str, section: str, hit: Mention, none_in_family: bool) -> Iterator[ToldCancer]:
    before, after = _clause(text, hit)
    whole = before + hit.words + after
    family = section == "family" or _of_family(before, after)
    denied = _is_denied(before, after)
    span = {"start": hit.start, "end": hit.end}
    if family or none_in_family:
        own_too = (
            _OWN.search(before) is not None
            and re.search(r"(?i)\b(?:or|and|nor)\b", before) is not None
            and _FAMILY.search(before) is not None
        ) or re.search(r"本人及|个人及|个人或", before) is not None
        if denied and hit.value in ("lung", "unspecified"):
            yield ToldCancer(kind="family_lung_cancer", value=None, certainty="negated", **span)
            if own_too:
                yield ToldCancer(
                    kind="cancer_history", value=hit.value, certainty="negated", **span
                )
        elif not denied and hit.value == "lung":
            possible = _PERHAPS.search(whole)
            yield ToldCancer(
                kind="family_lung_cancer",
                value=None,
                certainty="possible" if possible else "asserted",
                **span,
            )
        return
    if _NO_HISTORY_AFTER.match(after):
        return
    history = _HISTORY.search(whole) is not None or section == "history"
    if denied:
        if history or re.search(r"(?i)\b(?:known|any)\b", before) or section == "request":
            yield ToldCancer(kind="cancer_history", value=hit.value, certainty="negated", **span)
        return
    if (
        hit.value == "unspecified"
        and re.match(r"(?i)tumou?r|肿瘤", hit.words)
        and not re.search(r"恶性", hit.words)
        and not re.search(r"病史|史", after[:4])
    ):
        return
    question = (
        _QUESTION.search(before[-45:]) or _QUESTION.match(after[:8]) or _QUESTION_AFTER.match(after)
    )
    hedged = _HEDGED_HISTORY.search(before)
    if hedged:
        yield ToldCancer(kind="cancer_history", value=hit.value, certainty="possible", **span)
    elif question and not _strong(before, after):
        return
    elif history or (section == "request" and hit.value != "unspecified"):
        yield ToldCancer(kind="cancer_history", value=hit.value, certainty="asserted", **span)


def _strong(before: str, after: str) -> bool:
    """Words of history nearer than the question."""
    near = _HISTORY_AT_ONCE.search(before)
    return (
        near is not None
        or re.match(r"(?:根治)?(?:术后|病史|化疗后|放疗后|综合治疗后|切除)", after) is not None
    )


def _clause(text: str, hit: Mention) -> tuple[str, str]:
    before = re.split(r"[;。]|\.\s", text[: hit.start])[-1]
    after = re.split(r"[;。]|\.\s", text[hit.end :])[0]
    return before[-120:], after[:80]


def _of_family(before: str, after: str) -> bool:
    relatives = list(_FAMILY.finditer(before))
    if relatives:
        rest = before[relatives[-1].end() :]
        return _OWN_AGAIN.search(rest) is None
    return _RELATIVE_AFTER.match(after) is not None


def _is_denied(before: str, after: str) -> bool:
    if _DENIED_AFTER.match(after):
        return True
    found = _DENIED.search(before)
    if found is None:
        return False
    reach = found.group()
    if _DENIAL_ENDS.search(reach):
        return False
    # A comma ends it unless an enumeration goes on.
    if "," in reach and not re.search(r"(?i)\b(?:or|nor|and)\b", reach + after[:20]):
        return False
    return not _DENIES_RETURN.search(reach) and not re.search(
        r"未见(?:明显|明确)?|无(?:明显)?(?:复发|转移)", reach
    )
