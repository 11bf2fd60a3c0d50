"""Lengths in a sentence, in mm, and what each is the length of.

A number counts only with its unit. Roles: ``now``, ``prior``, ``solid`` (part), ``mean``,
``below`` (a strict bound), ``volume``, ``other`` (distances, slices, thresholds, growth).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_N = r"(\d{1,3}(?:\.\d+)?|\.\d+)"
_U = r"(mm|millimet(?:er|re)s?|cm|centimet(?:er|re)s?|毫米|厘米|公分)"
_UNIT = rf"(?:\s*-?\s*{_U}(?![A-WYZa-wyz]))"
_BY = r"\s*(?:x|X|by|\*)\s*"
_TO = r"\s*(?:-|~|to|至|到)\s*"
_AXES = re.compile(rf"(?i){_N}{_UNIT}?{_BY}{_N}{_UNIT}?(?:{_BY}{_N}{_UNIT}?)?")
_ARROW = re.compile(rf"(?i){_N}{_UNIT}?(?:{_BY}{_N}{_UNIT}?)?\s*-*\s*>\s*{_N}(?:{_UNIT}?{_BY}{_N})?{_UNIT}")
_FROM_TO = re.compile(
    rf"(?i)(?:from|由|从|自)\s*(?:原来?的?|前次的?|约|about|approximately|a)?\s*{_N}{_UNIT}?(?:{_BY}{_N}{_UNIT}?)?(?:[^,.;\d]{{0,24}})?\s*(?:-|~|to|(?:增大|缩小|增长|减小|增|缩|变|长|减)?(?:至|到|为))\s*(?:约|现在?的?|about|approximately|a)?\s*{_N}(?:{_UNIT}?{_BY}{_N})?{_UNIT}"
)
_RANGE = re.compile(rf"(?i)(?:between\s+)?{_N}{_UNIT}?(?:{_TO}|\s+and\s+){_N}{_UNIT}")
_LIST = re.compile(rf"(?i){_N}(?:\s*(?:,|、|,?\s*and|&|和|及|/)\s*{_N}){{1,4}}{_UNIT}")
_SINGLE = re.compile(rf"(?i){_N}{_UNIT}")
_VOLUME = re.compile(rf"(?i){_N}\s*(?:cubic\s+(?:mm|millimet(?:er|re)s?)|mm\s?(?:\^?3|³)|立方毫米)")

_BELOW = re.compile(r"(?i)(?:<|(?:less|smaller) than|under|below|sub-?|小于|不足|不到|低于|not exceeding(?= \bz))\s*(?:about\s*|约\s*)?$")
_ABOVE = re.compile(r"(?i)(?:>=?|≥|(?:greater|larger|more|bigger) than|over|above|exceed(?:s|ing)?|at least|大于|超过|≧|reach(?:es)?|达到)\s*(?:or equal to\s*)?$")
_BELOW_AFTER = re.compile(r"(?i)^\s*(?:以下|or less|or smaller|and (?:below|smaller)|以内|左右以下)")
_ABOVE_AFTER = re.compile(r"(?i)^\s*(?:以上|or (?:more|greater|larger|above)|\+)")
_SOLID_BEFORE = re.compile(
    r"(?i)(?:solid[\s-]+(?:component|part|portion|core|nucleus|element|centre|center|nidus)|实性(?:成分|部分|组分|区|核心)|内实性)(?:s|大小|长径|直径|最大径|较大|范围)?(?:[^,.;()\d]{0,32}|\s*\(?[^,.;\d]{0,14})$"
    r"|\bsolid\s*(?::|=|about|approximately|~)?\s*$"
)
_SOLID_AFTER = re.compile(
    r"(?i)^\s*(?:diameter\s*)?(?:in (?:size|diameter)\s*)?(?:internal|inner|central|eccentric|peripheral|nodular|small|new)?\s*(?:solid[\s-]+(?:component|part|portion|core|nucleus|element|centre|center|nidus)|(?:大小)?的?实性(?:成分|部分|组分)|is solid|of which is solid)"
)
_OTHER_BEFORE = re.compile(
    r"(?i)(?:距(?:离)?[^,;]{0,12}|层厚|层距|层间距|间隔|厚度?|thick(?:ness)?(?: of)?|slices?(?: of| at)?|sections?(?: of)?|reconstruct(?:ed|ions?)(?: at)?|collimation|interval(?:s)?(?: of)?|increment|within|threshold|cut-?off|"
    r"(?:increas|decreas|enlarg|grown?|grew|growth|chang|shrunk|differ)[a-z]*(?: in size)? (?:of|by)(?: (?:about|approximately|only|less than|over|more than|<))*|by|增大了?约?|增长了?约?|缩小了?约?|差(?:异|值)?约?|减小了?约?|distance(?: of)?|depth(?: of)?|pitch|FOV|间距)\s*(?:about |approximately |约|about)?$"
)
_OTHER_AFTER = re.compile(
    r"(?i)^\s*(?:-?\s*(?:thick|slices?|sections?|collimation|increments?|intervals?|axial (?:images|slices|reconstruct)|reconstruct|contiguous|images|cuts|intervals|层厚|薄层|重建|间隔)"
    r"|(?:away )?(?:from|deep to|below|above|beneath|caudal|cranial|proximal|distal|lateral to|medial to|anterior to|posterior to|off) |(?:increase|growth|decrease|change|enlargement|difference|interval (?:increase|growth|change)|larger than|smaller than|in thickness|thickness|threshold|cut-?off|margin)\b|厚)"
)
_PRIOR_BEFORE = re.compile(
    r"(?i)(?:previous(?:ly)?|prior(?:ly)?|formerly|earlier|before(?: it)?|last (?:time|CT|scan|year)|baseline(?: CT| scan)?|old|compared (?:to|with)(?: the)?(?: prior| previous)?|versus|vs\.?|\bv\b|up from|down from|from|on (?:the )?(?:prior|previous|last|earlier|old)(?: [a-z]+){0,3}|had (?:been|measured)|used to (?:be|measure)|(?:in|on) (?:[A-Z][a-z]+ )?\d{4}|\d{4}-\d{1,2}(?:-\d{1,2})?|\d{1,2}/\d{1,2}/\d{2,4}|\d{1,2}/\d{4}|previously measured|ago"
    r"|原(?:来|先|为|约|大小|片|发现时)?|前次|上次|前片|旧片|既往|之前|以前|此前|先前|前CT|首次|基线|较前片?|与前(?:片|次)|前者时|前期|\d{4}年(?:\d{1,2}月)?(?:\d{1,2}日)?|去年|半年前|年前|月前)"
    r"(?:[^,.;\d]{0,26}|\s*\(?[\d/.年月日 -]{4,11}\)?(?:[^,.;\d]{0,12}))$"
)
_PRIOR_AFTER = re.compile(
    r"(?i)^(?:\s*(?:in (?:size|diameter|length)|axial|大小))?\s*(?:[,(]?\s*(?:previously|before|prior(?!ity)|on (?:the )?(?:prior|previous|last|earlier|old|comparison)|at (?:baseline|the (?:last|previous|prior))|(?:on|in|at) (?:[A-Z][a-z]+\.? )?(?:\d{1,2},? )?(?:19|20)\d\d|(?:one|two|three|\d+) (?:years?|months?|weeks?) ago|last (?:year|time|CT|scan)|ago|earlier|then|\((?:19|20)\d\d|\(\d{1,2}/\d{2,4})"
    r"|\(?(?:前次|上次|原|前片|旧片|\d{4}年|\d{4}[-/.]\d))"
)
_WAS = re.compile(r"(?i)\b(?:was|were|measured|had)\s*(?:about |approximately |around |only |~\s*)?$|(?:当时|曾)[^,.;\d]{0,6}$")
_NOW_BEFORE = re.compile(
    r"(?i)(?:\bnow|current(?:ly)?|today|present(?:ly)?|this (?:time|exam|study|scan)|at present|to(?! \d{4})|now measuring|\bis|现|现为|目前|本次|此次|今次|增至|增大至|缩至|缩小至|至|到)[^,.;\d]{0,18}$"
)
_NOW_AFTER = re.compile(r"(?i)^\s*\(?(?:now|today|currently|on (?:the )?(?:current|present|today))")
_MEAN = re.compile(r"(?i)(?:mean|average|avg\.?)(?: (?:diameter|size|axial diameter|dimension|of))*\s*(?:of|is|:|=|about)?\s*$|平均(?:直)?径?(?:约|为|:)?\s*$")
_MEAN_AFTER = re.compile(r"(?i)^\s*\(?(?:(?:in )?(?:mean|average)(?: (?:diameter|size))?)")
_TOTAL = re.compile(r"(?i)(?:total|overall|whole|整体|总)[^,.;\d]{0,18}$|^\s*(?:total|overall)")
_NEXT_SIZE = re.compile(rf"(?i)[^,;)]{{0,34}}?{_N}(?:{_BY}{_N})?{_UNIT}")
_YEAR = re.compile(r"(?:19|20)\d\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A length, or the axes of one thing.

    Attributes
    ----------
    axes_mm : tuple of float
        As stated; for a volume its mm3.
    range_mm : tuple of float, optional
        Where a range is stated; `axes_mm` then holds its larger end.
    weak : bool
        A prior only if something else is the size now ("it was 6 mm").
    year : int, optional
        Named beside it.
    """

    start: int
    end: int
    axes_mm: tuple[float, ...]
    role: str
    range_mm: tuple[float, float] | None = None
    weak: bool = False
    year: int | None = None

    @property
    def long_mm(self) -> float:
        """The largest."""
        return max(self.axes_mm)


def find_sizes(text: str) -> list[Size]:
    """All lengths of a sentence in their order, each with its role."""
    sizes: list[Size] = []
    taken: list[tuple[int, int]] = []
    for finder in (_volumes, _from_to, _axes, _ranges, _lists, _singles):
        for size in finder(text):
            if not any(size.start < end and start < size.end for start, end in taken):
                sizes.append(size)
        taken += [(size.start, size.end) for size in sizes]
    return sorted(sizes, key=lambda size: size.start)


def _volumes(text: str) -> Iterator[Size]:
    for hit in _VOLUME.finditer(text):
        role = "volume"
        if _PRIOR_BEFORE.search(_before(text, hit.start())):
            role = "other"
        yield Size(start=hit.start(), end=hit.end(), axes_mm=(float(hit[1]),), role=role)


def _from_to(text: str) -> Iterator[Size]:
    """Earlier and present size in one expression; two sizes that part its characters."""
    for pattern in (_FROM_TO, _ARROW):
        for hit in pattern.finditer(text):
            n1, u1, n2, u2, n3, _, n4, u3 = hit.groups()
            solid = _SOLID_BEFORE.search(_before(text, hit.start())) is not None
            growth = pattern is _ARROW or _changes(text, hit)
            middle = hit.start(5)
            old = tuple(_mm(n, u2 or u1 or u3) for n in (n1, n2) if n)
            new = tuple(_mm(n, u3) for n in (n3, n4) if n)
            if not growth:
                continue
            year = _YEAR.search(text[hit.start() : middle])
            yield Size(
                start=hit.start(), end=middle, axes_mm=old, role="other" if solid else "prior",
                year=int(year.group()) if year else None,
            )  # fmt: skip
            yield Size(
                start=middle, end=hit.end(), axes_mm=new, role="solid" if solid else "now"
            )


def _changes(text: str, hit: re.Match[str]) -> bool:
    """Whether "from A to B" tells a change and not a range."""
    if re.match(r"[由从自]", hit.group()):
        return True
    around = text[max(0, hit.start() - 60) : hit.start()]
    return not re.search(r"(?i)(?:rang|var(?:y|ies))[a-z]*(?: in size)?\s*$", around)


def _axes(text: str) -> Iterator[Size]:
    for hit in _AXES.finditer(text):
        n1, u1, n2, u2, n3, u3 = hit.groups()
        unit = u3 or u2 or u1
        after = re.match(rf"(?i){_UNIT}", text[hit.end() :])
        if unit is None and after is None:
            continue
        unit = unit or (after[1] if after else None)
        pairs = [(n1, u1), (n2, u2), (n3, u3)]
        axes = tuple(_mm(number, own or unit) for number, own in pairs if number)
        yield _with_role(text, Size(start=hit.start(), end=hit.end(), axes_mm=axes, role="now"))


def _ranges(text: str) -> Iterator[Size]:
    for hit in _RANGE.finditer(text):
        n1, u1, n2, u2 = hit.groups()
        between = hit.group().lower()
        if re.search(r"\band\b", between) and not between.startswith("between"):
            continue
        low, high = _mm(n1, u1 or u2), _mm(n2, u2)
        if low >= high:
            continue
        size = Size(
            start=hit.start(), end=hit.end(), axes_mm=(high,), role="now", range_mm=(low, high)
        )
        yield _with_role(text, size)


def _lists(text: str) -> Iterator[Size]:
    for hit in _LIST.finditer(text):
        unit = re.search(rf"(?i){_U}", hit.group())
        if unit is None or re.search(r"(?i)(?:im(?:age)?s?|se(?:ries)?|slices?)\.?\s*#?\s*$", text[: hit.start()]):
            continue
        numbers = list(re.finditer(r"\d+(?:\.\d+)?", hit.group()))
        for place, number in enumerate(numbers):
            last = place == len(numbers) - 1
            yield _with_role(
                text,
                Size(
                    start=hit.start() + number.start(),
                    end=hit.end() if last else hit.start() + number.end(),
                    axes_mm=(_mm(number.group(), unit.group()),),
                    role="now",
                ),
            )


def _singles(text: str) -> Iterator[Size]:
    for hit in _SINGLE.finditer(text):
        yield _with_role(
            text,
            Size(start=hit.start(), end=hit.end(), axes_mm=(_mm(hit[1], hit[2]),), role="now"),
        )


def _mm(number: str, unit: str) -> float:
    factor = 10.0 if unit.lower().startswith(("cm", "centi")) or unit in ("厘米", "公分") else 1.0
    return round(float(number) * factor, 3)


def _before(text: str, place: int) -> str:
    """What stands before in the same part of the sentence; a size in between ends it."""
    part = text[max(0, place - 70) : place]
    cut = max((hit.end() for hit in _SINGLE.finditer(part)), default=0)
    return part[cut:]


def _with_role(text: str, size: Size) -> Size:
    before, after = _before(text, size.start), text[size.end : size.end + 45]
    near = re.split(r"[,;]", before)[-1]
    if _OTHER_BEFORE.search(before) or _OTHER_AFTER.search(after):
        return replace(size, role="other")
    if _ABOVE.search(before) or _ABOVE_AFTER.search(after):
        return replace(size, role="other")
    if (
        (_SOLID_BEFORE.search(before) and not _SOLID_AFTER.search(after)
         and not re.search(r"(?i)solid\s*$", before) ) or _SOLID_AFTER.search(after)
        or (re.search(r"(?i)\bsolid\s*(?::|=|about)?\s*$", before) and re.search(r"(?i)total|overall|ground|GG|part|mixed", text))
    ):  # fmt: skip
        prior = _PRIOR_AFTER.search(after) or re.search(
            r"(?i)(?:previously|prior|was|原|前次|上次)[^,;\d]{0,8}$", near
        )
        return replace(size, role="other" if prior else "solid")
    year = _YEAR.search(after[:24]) or _YEAR.search(near[-24:])
    if _NOW_AFTER.search(after):
        return size
    later = _PRIOR_AFTER.search(text[size.end : size.end + 60])
    if later and not _NEXT_SIZE.match(text[size.end + later.end() :]):
        return replace(size, role="prior", year=int(year.group()) if year else None)
    prior = list(_PRIOR_BEFORE.finditer(near))
    if prior:
        now = _NOW_BEFORE.search(near)
        if not (now and now.start() > prior[-1].start()):
            return replace(size, role="prior", year=int(year.group()) if year else None)
    if _WAS.search(near):
        return replace(size, weak=True)
    if _BELOW.search(before) or (_BELOW_AFTER.search(after) and "or" not in after[:4]):
        return replace(size, role="below")
    if (_MEAN.search(before) or _MEAN_AFTER.search(after)) and len(size.axes_mm) == 1:
        return replace(size, role="mean")
    return size
