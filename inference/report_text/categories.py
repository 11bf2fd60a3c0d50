"""Lung-RADS categories as stated: not those of an earlier examination, a rule or a condition."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inference.report_text.facts import Category
from inference.report_text.scope import excluded_from

_STATED = re.compile(
    r"(?i)(?<![a-z])Lung[\s-]*RADS\s*(?:®|TM)?\s*(?:\(?(?:version\s*|v\.?\s*)?(?:1\.[01]|20\d\d)\)?(?:版)?)?\s*(?:assessment|screening|final|overall|ACR)?\s*"
    r"(?:categor(?:y|ies)|cat\.?|score|classification|class|分类|分级|类别|评分|评估|grade)?\s*(?:of|is|:|=|-|as|remains?|为|:|now)?\s*(?:category|cat\.?|类)?\s*(?P<value>[0-4](?:[ABX](?![a-z]))?)\s*(?:[-/,]?\s*S\b)?(?!\.\d|\d|\s*mm)"
)
_REVERSED = re.compile(r"(?i)\bcategory\s*(?P<value>[0-4][ABX]?)\s*(?:\(|by |per |according to |on |,)\s*(?:the )?(?:ACR )?Lung[\s-]*RADS")
_EARLIER = re.compile(r"(?i)(?:prior|previous(?:ly)?|formerly|last|from|was|earlier|old|not|upgraded from|downgraded from|changed from|instead of|原|前次|上次|既往|由|从|非)\W*(?:a |as |the |assigned |categori[sz]ed |classified |category |CT |exam )*$")
_EARLIER_AFTER = re.compile(r"(?i)^\s*(?:previously|on (?:the )?(?:prior|previous|last)|before|in \d{4})")
_NOW = re.compile(r"(?i)(?:now|upgraded to|downgraded to|changed to|今为|现为|升为|升至|降为|改为)\s*(?:a |as )?(?:category\s*)?(?P<value>[0-4](?:[ABX])?)(?![\d.]|\s*(?:mm|cm))")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedCategory:
    """A category at a place; ``present`` where it is this examination's."""

    start: int
    end: int
    value: Category
    present: bool


def find_categories(text: str) -> list[StatedCategory]:
    """All categories of a sentence."""
    advice = excluded_from(text)
    found: list[StatedCategory] = []
    for pattern in (_STATED, _REVERSED):
        for hit in pattern.finditer(text):
            earlier = _EARLIER.search(text[: hit.start()]) or _EARLIER_AFTER.search(text[hit.end() :])
            # A category heads its own advice: "Lung-RADS 3: CT in 6 months".
            conditional = hit.start() > advice and re.search(
                r"(?i)\b(?:if|would|should|unless|criteria|guideline)|如|若|指南", text[advice : hit.start()]
            )
            found.append(_stated(hit, present=not (earlier or conditional)))
    if found:
        for hit in _NOW.finditer(text):
            if not any(one.start <= hit.start("value") < one.end for one in found):
                found.append(_stated(hit, present=True))
    return sorted(found, key=lambda one: one.start)


def _stated(hit: re.Match[str], *, present: bool) -> StatedCategory:
    return StatedCategory(
        start=hit.start(),
        end=hit.end(),
        value=Category(system="Lung-RADS", value=hit["value"].upper()),
        present=present,
    )
