"""A text in sentences, each with the kind of section that it stands in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from inference.report_text.cues import Cue
from inference.report_text.text import NormalText

CHINESE = re.compile(r"[\u4e00-\u9fff]")
_ABBREVIATIONS = Cue("sections", "abbreviations")
_END = re.compile(r"[。!?;]|\.(?=\s|$|[A-Z\u4e00-\u9fff])|\n")
_ITEM = re.compile(
    r"^\s*(?:[-*•·>–]+\s*|\(?\d{1,2}\s*[.)、](?!\d)\s*|[(]\d{1,2}[)]\s*|[a-h][.)]\s+|[①-⑩]\s*|#\s*\d+[.:)]?\s*)"
)
_INLINE_ITEM = re.compile(r"\s*(?:\(?\d{1,2}[)、]|\d{1,2}\.(?!\d))\s*(?=\S)")
_FIELD = re.compile(
    r"^\s*[A-Za-z][A-Za-z /()#-]{0,34}\d{0,2}\s*[:=]|^\s*[\u4e00-\u9fff]{1,8}\s*\d{0,2}\s*[:=]"
    r"|^\s*\[|^\s*\||^\s*#|^\s*[A-Z]{2,4}\b"
)
_WRAPPED = 55
"""Characters from which a line without an end may go on in the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A stretch of the normal text.

    Attributes
    ----------
    start : int
        Of ``text`` in the whole normal text.
    section : str
        Kind of the heading above it; ``findings`` where there is none.
    heading : str
        Its words, lower case.
    item : bool
        Whether it begins a line or item of a list.
    line : int
        Counted up at each line.
    """

    text: str
    start: int
    section: str
    heading: str
    item: bool
    line: int

    @property
    def end(self) -> int:
        """In the whole normal text."""
        return self.start + len(self.text)


@cache
def _headings() -> re.Pattern[str]:
    table = yaml.safe_load(
        files("inference.report_text.lexicon").joinpath("headings.yaml").read_text("utf-8")
    )
    kinds = "|".join(f"(?P<{kind}>(?:{'|'.join(terms)}))" for kind, terms in table.items())
    return re.compile(rf"(?i)\s*\[?\s*(?:{kinds})\s*(?:\]\s*:?|:|(?=\n)|\s-\s|\s*$)")


def split(normal: NormalText) -> list[Sentence]:
    """All sentences in their order; headings themselves are none."""
    sentences: list[Sentence] = []
    section, heading = "findings", ""
    for number, (start, line) in enumerate(_lines(normal.text)):
        item, place = bool(_ITEM.match(line)), 0
        marker = _ITEM.match(line)
        if marker:
            place = marker.end()
        while place < len(line):
            found = _headings().match(line, place)
            if found and found.end() > place and _is_heading(line, found):
                section = str(found.lastgroup)
                heading = found.group().strip(" []:-\n").lower()
                place = found.end()
                item = True
                continue
            end = _sentence_end(line, place)
            body = line[place:end]
            stripped = body.strip()
            if stripped:
                offset = len(body) - len(body.lstrip())
                sentences.append(
                    Sentence(
                        text=body.strip(),
                        start=start + place + offset,
                        section=section,
                        heading=heading,
                        item=item,
                        line=number,
                    )
                )
            item, place = False, end
            marker = _INLINE_ITEM.match(line, place)
            if marker:
                item, place = True, marker.end()
    return sentences


def _is_heading(line: str, found: re.Match[str]) -> bool:
    """Words without a colon are a heading only where they stand alone."""
    words = found.group()
    if ":" in words or "]" in words:
        return True
    rest = line[found.end() :].strip()
    return not rest and (len(words.strip()) > 2)


def _sentence_end(line: str, place: int) -> int:
    for found in _END.finditer(line, place):
        if found.group() == ".":
            before = line[place : found.end()]
            if _ABBREVIATIONS.search(before[-12:]) and found.end() < len(line.rstrip()):
                after = line[found.end() :].lstrip()
                if not re.match(
                    r"[A-Z][a-z]+ (?:is|are|has|the|of|in|lung|nodul)", after
                ) or re.search(r"(?i)\b(?:dr|mr|mrs|ms|prof)\.$", before):
                    continue
        # "? nodule" asks about what follows.
        asks = found.group() == "?" and line[found.end() :].strip()
        if asks and (found.start() == place or line[found.start() - 1] in " ("):
            continue
        return found.end()
    return len(line)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their start; one that was only wrapped is put together with the next."""
    pieces: list[tuple[int, str]] = []
    place = 0
    for line in text.split("\n"):
        pieces.append((place, line))
        place += len(line) + 1
    start, held, last = -1, "", ""
    for place, line in pieces:
        if held and _goes_on(last, line):
            held, last = f"{held} {line}", line
            continue
        if held.strip():
            yield start, held
        start, held, last = place, line, line
    if held.strip():
        yield start, held


def _goes_on(line: str, following: str) -> bool:
    stripped = line.rstrip()
    if not following.strip() or not stripped or stripped[-1] in ".。;!?:|":
        return False
    if (
        _ITEM.match(following)
        or _FIELD.match(following)
        or (_headings().match(following) and ":" in following[:40])
    ):
        return False
    if stripped[-1] in ",、":
        return True
    if CHINESE.search(stripped):
        return len(stripped) >= _WRAPPED // 2
    return following.lstrip()[:1].islower() or len(stripped) >= _WRAPPED
