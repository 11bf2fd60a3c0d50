"""The words that mean something, found in a sentence: the lexicons' tables, the longest first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

LANGUAGES = ("english", "chinese")
_CALCIFICATION_PATTERNS = {
    "central": r"central(?:ly)?|中心(?:性)?|中央(?:性)?",
    "diffuse": r"diffuse(?:ly)?|dense(?:ly)? and diffuse|弥漫(?:性)?",
    "laminated": r"laminat(?:ed|ion)|layered|concentric|层状|分层(?:状)?|同心圆(?:状)?",
    "popcorn": r"popcorn|爆米花",
    "eccentric": r"eccentric(?:ally)?|偏心(?:性)?",
    "punctate": r"punctate|点状|斑点状|点样|小点状|stippled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A term at a place of a sentence, characters ``start`` to ``end``."""

    start: int
    end: int
    label: str
    value: Any
    words: str


@cache
def _table(language: str) -> list[tuple[str, str, re.Pattern[str]]]:
    folder = files("inference.report_text.lexicon")
    table = yaml.safe_load(folder.joinpath(f"{language}.yaml").read_text("utf-8"))
    whole = language == "english"
    return [
        (label, value, _compile(patterns, whole=whole))
        for label, values in table.items()
        for value, patterns in values.items()
    ]


def _compile(patterns: Iterable[str], *, whole: bool) -> re.Pattern[str]:
    """Terms of one meaning; English ones end where a word ends."""
    body = "|".join(f"(?:{pattern})" for pattern in sorted(patterns, key=len, reverse=True))
    if whole:
        body = body.replace("~", r"[-\s]?").replace(" ", r"\s+").replace(r"[-\s+]", r"[- ]")
        body = rf"(?<![A-Za-z])(?:{body})(?![A-Za-z])"
    return re.compile(body, re.IGNORECASE)


def find_terms(text: str) -> list[Mention]:
    """All terms of both languages; of two in the same place the longer one, negation apart."""
    found = [
        Mention(start=hit.start(), end=hit.end(), label=label, value=value, words=hit.group())
        for language in LANGUAGES
        for label, value, pattern in _table(language)
        for hit in pattern.finditer(text)
        if hit.end() > hit.start()
    ]
    free = {"negation", "hedge", "nature", "near"}
    cues = [mention for mention in found if mention.label in free]
    terms = longest([mention for mention in found if mention.label not in free])
    return sorted([*terms, *longest(cues, by_label=True)], key=lambda one: (one.start, one.end))


def longest(mentions: Iterable[Mention], *, by_label: bool = False) -> list[Mention]:
    """Those that no longer one overlaps (of the same label, if asked)."""
    kept: list[Mention] = []
    for mention in sorted(mentions, key=lambda one: (one.start - one.end, one.start)):
        if not any(
            mention.start < other.end
            and other.start < mention.end
            and (not by_label or other.label == mention.label)
            for other in kept
        ):
            kept.append(mention)
    return sorted(kept, key=lambda one: one.start)


def calcification_pattern(text: str, mention: Mention) -> str | None:
    """Which pattern the words around a calcification name."""
    before = text[max(0, mention.start - 24) : mention.start]
    after = text[mention.end : mention.end + 24]
    before = re.split(r"[,;。]", before)[-1]
    for value, words in _CALCIFICATION_PATTERNS.items():
        if re.search(
            rf"(?i)(?:{words})[\s-]*(?:type|pattern(?: of)?|样|of|,? ?(?:and|or) \w+)?[\s-]*$",
            before,
        ):
            return value
        if re.search(rf"(?i)(?:{words})", mention.words):
            return value
        if re.match(rf"(?i)\s*(?:\(|:|in an?|with an?|呈|is|are)\s*(?:{words})", after):
            return value
    return None
