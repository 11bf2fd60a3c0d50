"""A sentence parted into stretches, each about one thing: a nodule, or something else.

The head of a stretch is the noun that it is about. Between two heads lies a boundary: a semicolon,
the last "and a", or the last comma.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from inference.report_text.cues import Cue
from inference.report_text.places import find_places
from inference.report_text.scope import excluded_from
from inference.report_text.sections import Sentence
from inference.report_text.sizes import Size, find_sizes
from inference.report_text.terms import Mention, find_terms

HEADS = ("nodule", "other", "organ", "ref")
_SEPARATOR = re.compile(
    r";|,|\band\b|\bwith\b|\bplus\b|\bas well as\b|\bwhile\b|\bbut\b|及|和|伴|并|另|、|\+|&"
)
_NEW_NOUN = Cue("segments", "new_noun")
_BARE = Cue("segments", "bare")
_CUES = ("negation", "hedge", "nature", "near", "count")
_STATEMENT = Cue("segments", "statement")
_SAME_NOUN = Cue("segments", "same_noun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A sentence with all its terms, sizes and places."""

    sentence: Sentence
    terms: tuple[Mention, ...]
    places: tuple[Mention, ...]
    sizes: tuple[Size, ...]
    advice_from: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch ``start`` to ``end`` of a sentence, about its head.

    Attributes
    ----------
    head : Mention, optional
        Absent where the stretch goes on about what was before.
    about : {"nodule", "other", "ref", ""}
        ``other`` is another organ or another finding.
    """

    reading: Reading
    head: Mention | None
    about: str
    start: int
    end: int

    @property
    def text(self) -> str:
        """Its words."""
        return self.reading.sentence.text[self.start : self.end]

    def terms(self, *labels: str) -> list[Mention]:
        """Its terms of some labels; what stands in advice or a condition is none."""
        return [term for term in self.reading.terms if term.label in labels and self._has(term)]

    @property
    def places(self) -> list[Mention]:
        """Its lobes, sides and levels."""
        return [place for place in self.reading.places if self._has(place)]

    @property
    def sizes(self) -> list[Size]:
        """Its lengths."""
        return [size for size in self.reading.sizes if self._has(size)]

    def _has(self, thing: Mention | Size) -> bool:
        if not self.start <= thing.start < self.end:
            return False
        if self.head is not None and self.head.start >= self.reading.advice_from:
            # "Follow-up of the 6 mm nodule": what it is, not what may become of it.
            return not (isinstance(thing, Mention) and thing.label == "change")
        return thing.start < self.reading.advice_from


def read_sentence(sentence: Sentence) -> Reading:
    """Find all that means something in a sentence."""
    return Reading(
        sentence=sentence,
        terms=tuple(find_terms(sentence.text)),
        places=tuple(find_places(sentence.text)),
        sizes=tuple(find_sizes(sentence.text)),
        advice_from=excluded_from(sentence.text),
    )


def part(reading: Reading) -> list[Segment]:
    """The stretches of a sentence in their order."""
    text = reading.sentence.text
    heads = _heads(reading)
    if not heads:
        return [Segment(reading=reading, head=None, about="", start=0, end=len(text))]
    starts = [_lead_in(reading, heads[0])]
    starts += [_boundary(reading, left, right) for left, right in pairwise(heads)]
    ends = [*starts[1:], len(text)]
    segments = []
    if starts[0] > 0:
        segments.append(Segment(reading=reading, head=None, about="", start=0, end=starts[0]))
    for head, start, end in zip(heads, starts, ends, strict=True):
        segments.append(
            Segment(reading=reading, head=head, about=_about(head), start=start, end=end)
        )
    return segments


def _about(head: Mention) -> str:
    return "other" if head.label == "organ" else head.label


def _heads(reading: Reading) -> list[Mention]:
    text, terms = reading.sentence.text, reading.terms
    heads: list[Mention] = []
    for term in terms:
        if term.label not in HEADS or _beside(text, terms, term):
            continue
        earlier_nodule = any(head.label == "nodule" for head in heads)
        if term.label != "ref" and earlier_nodule and _is_nature(text, terms, term):
            continue
        last = heads[-1] if heads else None
        if last is not None and _one_noun(reading, last, term):
            if (last.label in ("ref",) and term.label == "nodule") or (
                last.label == "nodule" and term.label in ("organ",)
            ):
                heads[-1] = term
            elif last.label == "organ" and term.label == "nodule":
                pass
            elif term.label == "nodule" and last.label == "nodule" and last.value == "ggo":
                heads[-1] = term
            continue
        heads.append(term)
    return heads


def _beside(text: str, terms: Sequence[Mention], term: Mention) -> bool:
    """Whether a thing is only named to say where something else is."""
    if term.label in ("organ", "other") and re.match(
        r"(?:旁|周围|下(?!叶|肺)|侧面|前方|后方)", text[term.end :]
    ):
        return True
    if term.label == "nodule" and not term.words.isascii():
        return False
    return any(
        cue.label == "near"
        and cue.end <= term.start <= cue.end + 34
        and not re.search(r"[,;:]|\band an?\b|\bwith\b", text[cue.end : term.start])
        and not re.search(r"见|示", text[cue.end : term.start])
        for cue in terms
    )


def _is_nature(text: str, terms: Sequence[Mention], term: Mention) -> bool:
    """Whether a noun says what a nodule may be: "likely granuloma"."""
    return any(
        cue.label in ("nature", "hedge")
        and cue.end <= term.start <= cue.end + 40
        and not re.search(r"[;]|\band an?\b", text[cue.end : term.start])
        for cue in terms
    )


def _one_noun(reading: Reading, left: Mention, right: Mention) -> bool:
    """Whether two heads name one thing: "nodule/mass", "thyroid nodule", "nodule in the liver"."""
    between = reading.sentence.text[left.end : right.start]
    labels = (left.label, right.label)
    if labels == ("ref", "nodule"):
        return (
            re.search(r"[,;。]|\bis\b|\bmeasur|\band\b|位于", between) is None and len(between) < 50
        )
    if "organ" in labels and "ref" not in labels:
        if re.search(r"[,;。]|\band\b|\bwith\b|\bplus\b|及|、|\bor\b", between):
            return False
        inside = any(
            left.end <= place.start < right.start and place.label == "place"
            for place in reading.places
        )
        return not inside
    if labels == ("nodule", "nodule"):
        return _SAME_NOUN.fullmatch(between) is not None
    return False


def _lead_in(reading: Reading, head: Mention) -> int:
    """Where the first stretch begins.

    What is said before it and another comma goes on about what was told before, where it is a
    statement of its own ("margins are smooth, and a second nodule ...") or the head is no nodule.
    """
    text = reading.sentence.text
    commas = [hit.end() for hit in re.finditer(r"[,;]", text[: head.start])]
    if not commas:
        return 0
    stretch = text[: commas[-1]]
    things = any(term.end <= commas[-1] and term.label not in _CUES for term in reading.terms)
    sizes = any(size.end <= commas[-1] for size in reading.sizes)
    if head.label == "nodule":
        return commas[-1] if (things or sizes) and _STATEMENT.search(stretch) else 0
    return commas[-1] if things or sizes else 0


def _boundary(reading: Reading, left: Mention, right: Mention) -> int:
    text = reading.sentence.text
    between = text[left.end : right.start]
    semicolon = between.rfind(";")
    if semicolon >= 0:
        between_start = left.end + semicolon + 1
        return _with_place(reading, left.end, between_start, right)
    nouns = list(_NEW_NOUN.finditer(between))
    if nouns:
        # "and a small, smooth nodule": its adjectives belong to it.
        last = nouns[-1]
        return _with_place(reading, left.end, left.end + last.end(), right)
    separators = list(_SEPARATOR.finditer(between))
    commas = [hit for hit in separators if hit.group() == ","]
    words = [hit for hit in separators if hit.group() not in (",", "、", "和")]
    chosen = (commas[-1:] or words[-1:] or separators[-1:]) if separators else []
    if (
        commas
        and words
        and words[-1].start() > commas[-1].start()
        and _between_values(reading, left.end + commas[-1].end(), left.end + words[-1].start())
    ):
        chosen = words[-1:]
    if not chosen:
        return right.start if right.label != "nodule" else _adjectives(reading, left.end, right)
    return _with_place(reading, left.end, left.end + chosen[0].end(), right)


def _between_values(reading: Reading, start: int, end: int) -> bool:
    """Whether something stands there that describes: it belongs to what was before."""
    starts = [size.start for size in reading.sizes] + [one.start for one in reading.places]
    return any(start <= place < end for place in starts) or any(
        start <= term.start < end and term.label not in ("negation", "hedge", "nature", "near")
        for term in reading.terms
    )


def _adjectives(reading: Reading, start: int, head: Mention) -> int:
    """Without a separator: from the last article on, else the head alone."""
    text = reading.sentence.text
    articles = list(re.finditer(r"(?i)\b(?:an?|another|the)\b|[;。(]", text[start : head.start]))
    return start + articles[-1].start() if articles else head.start


def _with_place(reading: Reading, least: int, boundary: int, head: Mention) -> int:
    """A bare place before the boundary belongs to what follows: "…, 左肺下叶, 可见结节"."""
    text = reading.sentence.text
    if any(boundary <= place.start < head.start for place in reading.places):
        return boundary
    part_start = max(text.rfind(",", 0, boundary - 1), text.rfind(";", 0, boundary - 1)) + 1
    if part_start <= least:
        return boundary
    stretch = text[part_start : boundary - 1]
    for place in reading.places:
        if part_start <= place.start < boundary:
            rest = stretch.replace(place.words, "", 1)
            if _BARE.fullmatch(rest):
                return part_start
    return boundary
