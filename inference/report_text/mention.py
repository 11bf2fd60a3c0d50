"""How a nodule is named: one or several, known or new, certain or not."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inference.report_text.cues import Cue
from inference.report_text.facts import Certainty
from inference.report_text.scope import is_denied, nodule_doubted
from inference.report_text.segments import Segment
from inference.report_text.terms import Mention

_TYPES = {
    "ggo": "ground-glass",
    "ggn": "ground-glass",
    "psn": "part-solid",
    "ssn": "subsolid",
    "spn": None,
}
_PLURAL = Cue("mention", "plural")
_DETERMINER = Cue("mention", "determiner")
_PREPOSITION = Cue("mention", "preposition")
_KNOWN = Cue("mention", "known")
_NUMBERED = Cue("mention", "numbered")
_EXCEPT = Cue("mention", "except")
_OUTSIDE = Cue("mention", "outside")
_TODAY = Cue("mention", "today")
_NONE_AFTER = Cue("mention", "none_after")
_ANOTHER = Cue("mention", "another")
_FOCAL = Cue("mention", "focal")
_PATCHY = Cue("mention", "patchy")
_PURPOSE_BEFORE = Cue("mention", "purpose_before")
_SERVICE_AFTER = Cue("mention", "service_after")
_PLACE_NOUN = Cue("mention", "place_noun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the noun itself tells.

    Attributes
    ----------
    void : bool
        No nodule that the text reports: denied, in advice, of a rule, elsewhere.
    only_known : bool
        Counts only where it was told of before.
    from_place : int, optional
        What is told begins there ("no nodule other than ...").
    """

    void: bool = False
    group: bool = False
    count: int | str | None = None
    type: str | None = None
    certainty: Certainty = "asserted"
    definite: bool = False
    article: bool = False
    another: bool = False
    largest: bool = False
    only_known: bool = False
    all_of_them: bool = False
    from_place: int | None = None


NAMELESS = Told()
"""Words without a noun."""


def understand(segment: Segment) -> Told:
    """Read how a nodule is named."""
    head = segment.head
    if head is None:
        return NAMELESS
    text = segment.reading.sentence.text
    before, after = text[segment.start : head.start], text[head.end : segment.end]
    noun = _noun_phrase(before)
    counts = [
        term
        for term in segment.terms("count")
        if (term.end <= head.end and head.start - term.end <= 60)
        or (0 <= term.start - head.end <= 3 and not term.words.isascii())
    ]
    plural = _PLURAL.search(head.words) is not None
    count = _count(counts, plural)
    listed = any(place.label == "place" and place.start > head.end for place in segment.places)
    sized = any(size.role == "now" and size.start > head.end for size in segment.sizes)
    opens = re.match(r"\s*(?:as follows)?\s*:", after) is not None
    if opens and ((plural and not counts) or (count and listed and sized)):
        # "Nodules: RUL 4 mm": a heading of a list.
        plural, count = False, None
    group = plural or count is not None
    denied, exception = _denied(segment, head, after)
    if denied:
        return Told(void=True)
    if _void(segment, head, group, noun):
        return Told(void=True)
    certainty: Certainty = "asserted"
    if head.value == "nodular-opacity" or nodule_doubted(text, segment.reading.terms, head):
        certainty = "possible"
    if any(term.value == "not-one" for term in segment.terms("change")):
        return Told(void=True)
    determiner = _determiner(noun)
    known = _KNOWN.search(noun) is not None
    numbered = _NUMBERED.match(after) is not None and not plural
    ref = [term for term in segment.terms("ref") if term.end <= head.start] or [
        term
        for term in segment.reading.terms
        if term.label == "ref" and segment.start <= term.start < head.start
    ]
    largest = (
        any(term.value == "largest" for term in ref)
        or re.search(r"(?i)\b(?:largest|biggest|dominant|larger)\b", noun[-60:]) is not None
        or re.search(r"[最较]大", noun) is not None
    )
    definite = known or determiner in (
        "the", "this", "that", "these", "those", "both", "its", "said",
        "该", "此", "上述", "原", "这", "以上",
    )  # fmt: skip
    another = numbered or (
        _ANOTHER.search(noun[-60:]) is not None and determiner not in ("this",) and not known
    )
    if re.search(r"其余|余|\bother\b|additional", noun) and group:
        another = True
    if determiner == "both" and plural and not counts:
        count = None
    return Told(
        group=group and not (largest and not plural),
        count=count if not (largest and not plural) else None,
        type=_TYPES.get(str(head.value)),
        certainty=certainty,
        definite=definite and not another,
        article=determiner in ("a", "an", "another")
        or numbered
        or any(c.value != "several" for c in counts)
        or "见" in noun,
        another=another and not largest,
        largest=largest,
        only_known=head.start >= segment.reading.advice_from,
        all_of_them=(
            plural
            and (
                definite or determiner == "all" or segment.reading.sentence.section == "impression"
            )
            and not another
        )
        or (re.search(r"均", text) is not None and definite),
        from_place=exception,
    )


def understand_reference(segment: Segment) -> Told:
    """Read "the largest", "another one", "the others"."""
    head = segment.head
    kind = head.value if head is not None else "one"
    return Told(
        group=kind == "others",
        count="several" if kind == "others" else None,
        another=kind != "largest",
        largest=kind == "largest",
    )


def _noun_phrase(before: str) -> str:
    """The words of the noun's own phrase, as far as it can be told."""
    parts = re.split(r"[;:]|,(?=\s*(?:there|an?|the|with|and)\b)", before)
    return parts[-1]


def _determiner(noun: str) -> str | None:
    for found in reversed(list(_DETERMINER.finditer(noun))):
        word = found.group().lower()
        rest = noun[found.end() :]
        if (
            word in ("the", "both", "this", "its", "that")
            and _PREPOSITION.search(noun[: found.start()])
            and _PLACE_NOUN.search(rest)
        ):
            continue
        return word
    return None


def _count(counts: list[Mention], plural: bool) -> int | str | None:
    numbers = [
        int(term.value)
        for term in counts
        if term.value != "several" and term.words.lower() != "both"
    ]
    if numbers:
        return numbers[-1] if numbers[-1] > 1 else None
    several = [term for term in counts if term.value == "several"]
    if several and (plural or not several[-1].words.isascii()):
        return "several"
    return "several" if plural else None


def _denied(segment: Segment, head: Mention, after: str) -> tuple[bool, int | None]:
    """Whether there is no such nodule; where an exception begins."""
    text, terms = segment.reading.sentence.text, segment.reading.terms
    exception = _EXCEPT.search(text, head.end)
    denied = is_denied(text, terms, head)
    if (
        denied
        and exception
        and exception.end() < segment.end
        and (
            any(place.start >= exception.end() for place in segment.places)
            or any(size.start >= exception.end() for size in segment.sizes)
        )
    ):
        return False, exception.end()
    if _NONE_AFTER.search(after):
        return True, None
    return denied, None


def _void(segment: Segment, head: Mention, group: bool, noun: str) -> bool:
    """Whether a noun names no nodule that is reported as a finding."""
    reading = segment.reading
    text = reading.sentence.text
    has_size = any(size.role in ("now", "below", "mean", "prior") for size in segment.sizes)
    lobes = any(place.label == "place" for place in segment.places)
    if head.start >= reading.advice_from:
        before_advice = text[reading.advice_from : head.start]
        return (
            group
            or (
                reading.advice_from == 0
                and re.search(r"(?i)\b(?:if|should)\b|[如若]", text[:6]) is not None
            )
            or re.search(r"(?i)\b(?:if|should (?:it|the|a))\b|[如若倘]", before_advice) is not None
        )
    if head.value == "ggo":
        patchy = _PATCHY.search(noun) is not None or _PATCHY.search(head.words) is not None
        if patchy or (group and not has_size):
            return True
        if not has_size and _FOCAL.search(noun) is None:
            return True
    if head.value == "lesion" and not (has_size and (lobes or segment.places)):
        return True
    if head.value == "nodular-opacity" and not has_size:
        return _FOCAL.search(noun) is None and not lobes
    if re.search(r"(?i)\b(?:tumou?rs?)$", head.words):
        return not (has_size and lobes)
    if _OUTSIDE.search(text[: head.end]) and not _TODAY.search(text):
        return True
    if _PURPOSE_BEFORE.search(text[: head.start]) and not has_size:
        return True
    if re.match(r"(?i)\s*(?:follow[- ]?up|surveillance|evaluation|work-?up)\b", text[head.end :]):
        return not has_size and not lobes
    return bool(_SERVICE_AFTER.match(text[head.end :]))
