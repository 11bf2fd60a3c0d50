"""How a nodule is named: one or several, known or new, certain or not."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inference.report_text.facts import Certainty
from inference.report_text.scope import is_denied, nodule_doubted
from inference.report_text.segments import Segment
from inference.report_text.terms import Mention

CORRECTED = re.compile(r"(?i)\bcorrect(?:ion|ed)\b|should (?:read|be)|amend|erratum|\bnot (?:the )?(?:right|left)\b|更正|应为|而非|并非|误")
_TYPES = {"ggo": "ground-glass", "ggn": "ground-glass", "psn": "part-solid", "ssn": "subsolid", "spn": None}
_PLURAL = re.compile(r"(?i)(?:nodules|masses|granulomas|granulomata|opacities|densities|lesions|foci|GGOs|GGNs|PSNs|SSNs|mGGNs|mGGOs|tumou?rs|shadows|areas)$")
_DETERMINER = re.compile(
    r"(?i)\b(an?|another|the|this|that|these|those|both|its|all|known|aforementioned|above|index|said)\b|(该|此|上述|原|这|以上|两者)"
)
_PREPOSITION = re.compile(r"(?i)\b(?:in|within|of|at|involving|throughout|from|on|for)\s+$")
_KNOWN = re.compile(r"(?i)\b(?:known|previous(?:ly)? (?:seen|noted|described|identified|reported|mentioned|demonstrated|visuali[sz]ed)|aforementioned|above[- ]mentioned|(?:as )?described|index)\b|上述|原有|前述|该|此(?!次)|原(?=[左右两双]|有|片)")
_NUMBERED = re.compile(r"(?i)^\s*(?:#|no\.?|number)?\s*\d{1,2}\s*(?=[:).(,;-]|\s[A-Z])")
_EXCEPT = re.compile(r"(?i)\b(?:other than|except(?: for)?|besides|apart from|aside from|beyond)\b")
_OUTSIDE = re.compile(
    r"(?i)\b(?:outside (?:CT|hospital|imaging|report|facility|film|institution|radiograph)|(?:chest )?(?:x-?ray|radiograph)s?|CXR|referred (?:for|with|because|due)|incidentally (?:found|seen|detected) (?:on|at) (?:an? )?(?:outside|abdominal|cardiac))\b|外院|胸片|外地医院|院外|体检发现|当地医院"
)
_TODAY = re.compile(r"(?i)\b(?:today|now|current(?:ly)?|unchanged|stable|this (?:exam|study|CT|scan)|is (?:again|seen|confirmed)|confirm(?:s|ed)|corresponds)\b|本次|现|此次|今")
_NONE_AFTER = re.compile(r"(?i)^\s*(?::|=|-)\s*(?:none|no\b|nil|absent|negative|not (?:seen|present|identified)|无|未见)|^\s*(?:征象)?未见(?!.{0,3}(?:变化|改变|增大|增长))|^\s*(?:are|is|were|was)\s+(?:absent|excluded|ruled out|not (?:identified|seen|present|demonstrated|evident)\b(?!.*(?:today|prior|previous)))")
_ANOTHER = re.compile(r"(?i)\b(?:another|a second|a third|second|third|other|additional|further|separate)\b|另|其余|其他|余")
_FOCAL = re.compile(r"(?i)\b(?:focal|focus|round(?:ed)?|nodular|single|solitary|an?|discrete)\b|局灶|类圆形|圆形|结节|一枚|单发|小灶|小片")
_PATCHY = re.compile(r"(?i)\b(?:patchy|diffuse|multifocal|geographic|scattered|extensive|bilateral|widespread|dependent|hazy|mosaic)\b|斑片|弥漫|散在|大片|片状|片絮|云絮")


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


def understand(segment: Segment) -> Told:
    """Read how a nodule is named."""
    head = segment.head
    if head is None:
        return nameless(segment)
    text = segment.reading.sentence.text
    before, after = text[segment.start : head.start], text[head.end : segment.end]
    noun = _noun_phrase(before)
    counts = [
        term for term in segment.terms("count") if term.end <= head.end and head.start - term.end <= 60
    ]
    plural = _PLURAL.search(head.words) is not None
    count = _count(counts, plural)
    if plural and re.match(r"\s*(?:as follows)?\s*:", after) and not counts:
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
    largest = any(term.value == "largest" for term in ref) or re.search(
        r"(?i)\b(?:largest|biggest|dominant|larger)\b", noun[-60:]
    ) is not None or re.search(r"[最较]大", noun) is not None
    definite = known or determiner in (
        "the", "this", "that", "these", "those", "both", "its", "said", "该", "此", "上述", "原", "这", "以上",
    )  # fmt: skip
    another = numbered or (_ANOTHER.search(noun[-60:]) is not None and determiner not in ("this",) and not known)
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
        article=determiner in ("a", "an", "another") or numbered or any(c.value != "several" for c in counts) or "见" in noun,
        another=another and not largest,
        largest=largest,
        only_known=head.start >= segment.reading.advice_from,
        all_of_them=plural and (definite or determiner == "all" or segment.reading.sentence.section == "impression") and not another or re.search(r"均", text) is not None and definite,
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


def nameless(segment: Segment) -> Told:
    """Words without a noun."""
    return Told(group=False, article=False)


def _noun_phrase(before: str) -> str:
    """The words of the noun's own phrase, from the last comma or bracket on, as far as it can be told."""
    parts = re.split(r"[;:]|,(?=\s*(?:there|an?|the|with|and)\b)", before)
    return parts[-1]


def _determiner(noun: str) -> str | None:
    for found in reversed(list(_DETERMINER.finditer(noun))):
        word = found.group().lower()
        rest = noun[found.end() :]
        if word in ("the", "both", "this", "its", "that") and _PREPOSITION.search(noun[: found.start()]) and re.search(
            r"(?i)\b(?:lobe|lung|lungs|apex|base|lingula|right|left|segment|zone|hilum|chest|exam|study|scan|CT|pleura|fissure|prior|size)\b", rest
        ):
            continue
        return word
    return None


def _count(counts: list[Mention], plural: bool) -> int | str | None:
    numbers = [int(term.value) for term in counts if term.value != "several" and term.words.lower() != "both"]
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
    if denied and exception and exception.end() < segment.end and (
        any(place.start >= exception.end() for place in segment.places)
        or any(size.start >= exception.end() for size in segment.sizes)
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
        return group or reading.advice_from == 0 and re.search(r"(?i)\b(?:if|should)\b|[如若]", text[:6]) is not None or re.search(r"(?i)\b(?:if|should (?:it|the|a))\b|[如若倘]", before_advice) is not None
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
    if re.search(r"(?i)\b(?:screening|evaluat\w+|assess\w*|look\w*|search\w*|surveillance|detection|work-?up|risk|history|h/o|question(?:able)? of|rule out|r/o|eval|\bfor) (?:of|for|for a|a|of a)?\s*(?:known |a |suspicious )?(?:pulmonary |lung )?$", text[: head.start]) and not has_size:
        return True
    return bool(re.match(r"(?i)\s*(?:clinic|program|protocol|service|board|conference|management|risk|calculator|门诊|随访指南)", text[head.end :]))
