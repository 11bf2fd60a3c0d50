"""Lengths in a sentence, in mm, and what each is the length of.

A number counts only with its unit. Roles: ``now``, ``prior``, ``solid`` (part), ``mean``,
``below`` (a strict bound), ``volume``, ``other`` (distances, slices, thresholds, growth).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from inference.report_text.cues import Cue

_N = r"(?<![\d.])(\d{1,3}(?:\.\d+)?|\.\d+)"
_U = r"(mm|millimet(?:er|re)s?|cm|centimet(?:er|re)s?|毫米|厘米|公分)"
_UNIT = rf"(?:\s*-?\s*{_U}(?![A-WYZa-wyz]))"
_BY = r"\s*(?:x|X|by|\*)\s*"
_TO = r"\s*(?:-|~|to|至|到)\s*"
_AXES = re.compile(rf"(?i){_N}{_UNIT}?{_BY}{_N}{_UNIT}?(?:{_BY}{_N}{_UNIT}?)?")
_ARROW = re.compile(
    rf"(?i){_N}{_UNIT}?(?:{_BY}{_N}{_UNIT}?)?\s*-*\s*>\s*{_N}(?:{_UNIT}?{_BY}{_N})?{_UNIT}"
)
_FROM_TO = re.compile(
    rf"(?i)(?:from|由|从|自)\s*(?:原来?的?|前次的?|约|about|approximately|a)?\s*{_N}{_UNIT}?(?:{_BY}{_N}{_UNIT}?)?(?:[^,.;\d]{{0,24}})?\s*(?:-|~|to|(?:增大|缩小|增长|减小|增|缩|变|长|减)?(?:至|到|为))\s*(?:约|现在?的?|about|approximately|a)?\s*{_N}(?:{_UNIT}?{_BY}{_N})?{_UNIT}"
)
_RANGE = re.compile(rf"(?i)(?:between\s+)?{_N}{_UNIT}?(?:{_TO}|\s+and\s+){_N}{_UNIT}")
_LIST = re.compile(rf"(?i){_N}(?:\s*(?:,|、|,?\s*and|&|和|及|/)\s*{_N}){{1,4}}{_UNIT}")
_SINGLE = re.compile(rf"(?i){_N}{_UNIT}")
_VOLUME = re.compile(rf"(?i){_N}\s*(?:cubic\s+(?:mm|millimet(?:er|re)s?)|mm\s?(?:\^?3|³)|立方毫米)")

_BELOW = Cue("sizes", "below")
_ABOVE = Cue("sizes", "above")
_BELOW_AFTER = Cue("sizes", "below_after")
_ABOVE_AFTER = Cue("sizes", "above_after")
_SOLID_BEFORE = Cue("sizes", "solid_before")
_SOLID_AFTER = Cue("sizes", "solid_after")
_OTHER_BEFORE = Cue("sizes", "other_before")
_OTHER_AFTER = Cue("sizes", "other_after")
_PRIOR_BEFORE = Cue("sizes", "prior_before")
_PRIOR_AFTER = Cue("sizes", "prior_after")
_WAS = Cue("sizes", "was")
_NOW_BEFORE = Cue("sizes", "now_before")
_NOW_AFTER = Cue("sizes", "now_after")
_MEAN = Cue("sizes", "mean")
_MEAN_AFTER = Cue("sizes", "mean_after")
_TOTAL = Cue("sizes", "total")
_KNOWN_THING = Cue("sizes", "known_thing")
_NOUN_AFTER = Cue("sizes", "noun_after")
_CHANGING = Cue("sizes", "changing")
_RANGING = Cue("sizes", "ranging")
_IMAGE_BEFORE = Cue("sizes", "image_before")
_MIXED = Cue("sizes", "mixed")
_BARE_SOLID = re.compile(r"(?i)(?<![a-z][- ])(?<!sub)(?<!semi)(?<!non)\bsolid\s*(?::|=|about)?\s*$")
_NEXT_SIZE = re.compile(rf"(?i)(?!\s*and\b)[^,;)]{{0,34}}?{_N}(?:{_BY}{_N})?{_UNIT}")
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
    for finder in (_volumes, _from_to, _axes, _ranges, _lists, _singles):
        taken = [(size.start, size.end) for size in sizes]
        sizes += [
            size
            for size in finder(text)
            if not any(size.start < end and start < size.end for start, end in taken)
        ]
    sizes.sort(key=lambda size: size.start)
    earlier = {size.end for size in sizes if size.role == "prior" or size.weak}
    # "Was 10 mm (3 mm)": the solid part of then.
    return [
        replace(size, role="other")
        if any(end < size.start and text[end : size.start].strip() == "(" for end in earlier)
        else size
        for size in sizes
    ]


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
            yield Size(start=middle, end=hit.end(), axes_mm=new, role="solid" if solid else "now")


def _changes(text: str, hit: re.Match[str]) -> bool:
    """Whether "from A to B" tells a change and not a range."""
    if re.match(r"[由从自]", hit.group()):
        return True
    return _CHANGING.search(text) is not None and not _RANGING.search(text[: hit.start()])


def _axes(text: str) -> Iterator[Size]:
    for hit in _AXES.finditer(text):
        n1, u1, n2, u2, n3, u3 = hit.groups()
        unit = u3 or u2 or u1
        after = re.match(rf"(?i){_UNIT}", text[hit.end() :])
        if unit is None and after is None:
            continue
        unit = str(unit or (after[1] if after else ""))
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
        if unit is None or _IMAGE_BEFORE.search(text[: hit.start()]):
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
         and not re.search(r"(?i)solid\s*$", before)) or _SOLID_AFTER.search(after)
        or (_BARE_SOLID.search(before) and _MIXED.search(text))
    ):  # fmt: skip
        later = _PRIOR_AFTER.search(after)
        prior = (later and not _NEXT_SIZE.match(after[later.end() :])) or re.search(
            r"(?i)\b(?:previously|prior|was)\b|原|前次|上次",
            re.split(r"[,;]", text[: size.start])[-1],
        )
        return replace(size, role="other" if prior else "solid")
    if _RANGING.search(before) or (size.range_mm and re.search(r"(?i)\bfrom\s*$", before)):
        return size
    year = _YEAR.search(after[:24]) or _YEAR.search(near[-24:])
    if _NOW_AFTER.search(after):
        return size
    later = _PRIOR_AFTER.search(text[size.end : size.end + 60])
    if later and not _NEXT_SIZE.match(text[size.end + later.end() :]):
        return replace(size, role="prior", year=int(year.group()) if year else None)
    earlier = list(_PRIOR_BEFORE.finditer(near))
    if earlier:
        now = _NOW_BEFORE.search(near)
        known = _KNOWN_THING.search(earlier[-1].group()) or _NOUN_AFTER.match(after)
        if known:
            return replace(size, weak=True)
        if not (now and now.start() > earlier[-1].start()):
            return replace(size, role="prior", year=int(year.group()) if year else None)
    if _WAS.search(near):
        return replace(size, weak=True)
    if _BELOW.search(before) or (_BELOW_AFTER.search(after) and "or" not in after[:4]):
        return replace(size, role="below")
    if (_MEAN.search(before) or _MEAN_AFTER.search(after)) and len(size.axes_mm) == 1:
        return replace(size, role="mean")
    return size
