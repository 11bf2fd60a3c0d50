"""Lung-RADS categories as stated: not those of an earlier examination, a rule or a condition."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inference.report_text.cues import Cue
from inference.report_text.facts import Category
from inference.report_text.scope import excluded_from

_STATED = Cue("categories", "stated")
_REVERSED = Cue("categories", "reversed")
_EARLIER = Cue("categories", "earlier")
_EARLIER_AFTER = Cue("categories", "earlier_after")
_NOW = Cue("categories", "now")
_CONDITIONAL = Cue("categories", "conditional")


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
            earlier = _EARLIER.search(text[: hit.start()]) or _EARLIER_AFTER.search(
                text[hit.end() :]
            )
            # A category heads its own advice: "Lung-RADS 3: CT in 6 months".
            conditional = hit.start() > advice and _CONDITIONAL.search(text[advice : hit.start()])
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
