"""Fields of a record from the words of its stretch: place, sizes, features, change, category."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from inference.report_text.categories import find_categories
from inference.report_text.cues import Cue
from inference.report_text.drafts import Draft
from inference.report_text.facts import LOBE_SIDES, Source
from inference.report_text.scope import CORRECTED, is_denied, presence
from inference.report_text.segments import Reading, Segment
from inference.report_text.sizes import Size
from inference.report_text.slots import Slot
from inference.report_text.terms import Mention, calcification_pattern

SourceOf = Callable[[Reading, int, int], Source]
FEATURES = ("spiculation", "lobulation", "calcification", "cavity")
_LOCATION_NOT = Cue("describe", "location_not")
_NO_SIZE_AFTER = Cue("describe", "no_size_after")
_DENSITY_BEFORE = Cue("describe", "density_before")
_NO_TYPE_AFTER = Cue("describe", "no_type_after")
_AIM_BEFORE = Cue("describe", "aim_before")
_AVERAGED = 3


def own_places(text: str, heading: str, places: Sequence[Mention]) -> list[Mention]:
    """Places that are said to be it, not those that are said not to be."""
    mine = [
        one for one in places if not _LOCATION_NOT.search(text[max(0, one.start - 16) : one.start])
    ]
    if CORRECTED.search(f"{heading} {text}"):
        lobes = [one for one in mine if one.label == "place"]
        return [one for one in mine if one.label != "place" or one is lobes[-1]]
    return mine


def place(
    draft: Draft, segment: Segment, slot: Slot, slots: Sequence[Slot], source_of: SourceOf
) -> None:
    """Lobe and side; both stay open where the words contradict each other."""
    text = segment.reading.sentence.text
    places = own_places(text, segment.reading.sentence.heading, segment.places)
    if slot.place is not None and any(slot.place is one for one in places):
        own = [slot.place]
    else:
        own = [one for one in places if one.label == "place"][:1]
    if len(slots) == 1 and not draft.group and _two_sides(places):
        draft.torn = True
        return
    sides = {str(one.value) for one in places if one.label == "side"}
    levels = [one for one in places if one.label == "level"]
    heading = segment.reading.sentence.heading
    if not sides and not any(one.label == "place" for one in places):
        under = re.search(r"(right|left) lung|([右左])肺", heading)
        if under:
            sides = {"right" if under.group() in ("right lung", "右肺") else "left"}
    lobes = [name for one in own if one.label == "place" for name in one.value]
    if lobes:
        source = source_of(segment.reading, own[0].start, own[0].end)
        told = {LOBE_SIDES[name] for name in lobes if name != "?"}
        if "?" in lobes or (len(told) == 1 and sides - {"bilateral"} - told and not sides & told):
            draft.torn = True
            return
        if len(lobes) == 1:
            draft.put("lobe", lobes[0], source)
            return
        draft.put("lobes", tuple(lobes), source)
        return
    if sides:
        one = slot.place if slot.place is not None and slot.place.label == "side" else None
        side = (
            str(one.value) if one is not None else (sides.pop() if len(sides) == 1 else "bilateral")
        )
        mark = one or next((item for item in places if item.label in ("side", "level")), None)
        start, end = (mark.start, mark.end) if mark else (segment.start, segment.end)
        source = source_of(segment.reading, start, end)
        if levels and side in ("left", "right"):
            draft.put("lobe", f"{side[0].upper()}{levels[0].value}L", source)
            return
        draft.put("laterality", side, source)


def _two_sides(places: Sequence[Mention]) -> bool:
    """Whether one nodule is said to lie on both sides."""
    told = {
        LOBE_SIDES[name]
        for one in places
        if one.label == "place"
        for name in one.value
        if name != "?"
    }
    mentions = [one for one in places if one.label == "place"]
    return len(told) == 2 and len(mentions) > 1


def sizes(
    draft: Draft,
    segment: Segment,
    slot: Slot,
    own: Sequence[tuple[int, int]],
    source_of: SourceOf,
) -> None:
    """Present and earlier sizes, solid part, volume."""
    reading = segment.reading

    def source(size: Size) -> Source:
        return source_of(reading, size.start, size.end)

    if slot.sizes:
        size = max(slot.sizes, key=lambda one: one.long_mm) if _planes(slot) else slot.sizes[0]
        if size.role == "below":
            draft.put("size_below_mm", size.long_mm, source(size))
        else:
            draft.put("size_mm", size.long_mm, source(size))
            if len(size.axes_mm) > 1:
                draft.put("axes_mm", tuple(sorted(size.axes_mm, reverse=True)), source(size))
            if size.range_mm:
                draft.put("range_mm", size.range_mm, source(size))
    mine = [one for one in segment.sizes if _within(one.start, own)]
    for one in mine:
        if one.role == "solid":
            draft.put("solid_part_mm", one.long_mm, source(one))
        elif one.role == "volume":
            draft.put("volume_mm3", one.long_mm, source(one))
        elif one.role == "mean":
            draft.put("mean_mm", one.long_mm, source(one))
            if not slot.sizes:
                draft.put("size_mm", one.long_mm, source(one))
    weak = [
        one
        for one in mine
        if one.weak and all(one.long_mm != taken.long_mm for taken in slot.sizes)
    ]
    earlier = [one for one in mine if one.role == "prior"] or (weak if slot.sizes else [])
    if earlier:
        latest = max(earlier, key=lambda one: (one.year or 0, -one.start))
        draft.put("prior_size_mm", latest.long_mm, source(latest))
        if len(latest.axes_mm) > 1:
            draft.put("prior_axes_mm", tuple(sorted(latest.axes_mm, reverse=True)), source(latest))


def _planes(slot: Slot) -> bool:
    return len(slot.sizes) > 1


def _within(start: int, own: Sequence[tuple[int, int]]) -> bool:
    return any(first <= start < last for first, last in own)


def features(
    draft: Draft, segment: Segment, own: Sequence[tuple[int, int]], source_of: SourceOf
) -> None:
    """Type, margins, spiculation and the like, change, category."""
    reading = segment.reading
    text, terms = reading.sentence.text, reading.terms

    def source(term: Mention) -> Source:
        return source_of(reading, term.start, term.end)

    def mine(*labels: str) -> list[Mention]:
        return [term for term in segment.terms(*labels) if _within(term.start, own)]

    kinds = [
        term
        for term in mine("type")
        if not is_denied(text, terms, term)
        and not _not_its_type(text, term)
        and not _of_solid_part(term, segment.sizes)
    ]
    solid_part = any(presence(text, terms, term) == "present" for term in mine("solid_part"))
    if kinds:
        chosen = next((term for term in kinds if term.value == "part-solid"), kinds[0])
        value = chosen.value
        if value == "ground-glass" and (solid_part or any(term.value == "solid" for term in kinds)):
            value = "part-solid"
        if value == "solid" and any(term.value == "calcified" for term in kinds):
            value = "calcified"
        draft.put("type", value, source(chosen))
    for term in mine("margin"):
        if not is_denied(text, terms, term):
            draft.put_margin(str(term.value), source(term))
        elif term.value == "smooth":
            draft.put_margin("irregular", source(term))
    for term in mine("type"):
        if term.value == "calcified" and is_denied(text, terms, term):
            draft.put("calcification", "absent", source(term))
    for name in FEATURES:
        for term in mine(name):
            state = presence(text, terms, term)
            draft.put(name, state, source(term))
            if name == "calcification" and state == "present":
                draft.put("calcification_pattern", calcification_pattern(text, term), source(term))
    for term in kinds:
        if term.value == "calcified":
            draft.put("calcification_pattern", calcification_pattern(text, term), source(term))
    _change(draft, text, terms, mine("change"), source)
    for category in find_categories(text):
        if _within(category.start, own) and category.present:
            draft.put("category", category.value, source_of(reading, category.start, category.end))


def _of_solid_part(term: Mention, sizes: Sequence[Size]) -> bool:
    """So "solid 4 mm" beside a total size."""
    return term.value == "solid" and any(
        size.role == "solid"
        and (0 <= size.start - term.end <= 4 or 0 <= term.start - size.end <= 2)
        for size in sizes
    )


def _not_its_type(text: str, term: Mention) -> bool:
    """Words like "solid organ", "calcified lymph node", "ground-glass component"."""
    after = text[term.end : term.end + 24]
    if term.value == "ground-glass":
        return re.match(r"(?i)[\s-]*(?:halo|晕)", after) is not None
    return _NO_TYPE_AFTER.match(after) is not None


def _change(
    draft: Draft,
    text: str,
    terms: Sequence[Mention],
    changes: Sequence[Mention],
    source: Callable[[Mention], Source],
) -> None:
    told = [term for term in changes if term.value != "not-one" and not _no_change_word(text, term)]
    order = ("resolved", "growing", "shrinking", "new", "stable")
    for value in order:
        for term in told:
            if term.value != value:
                continue
            if is_denied(text, terms, term):
                if value in ("growing", "shrinking"):
                    draft.put("change", "stable", source(term))
                continue
            draft.put("change", value, source(term))


def _no_change_word(text: str, term: Mention) -> bool:
    """Words of change that are about something else: density, a solid part, the future."""
    before, after = text[max(0, term.start - 22) : term.start], text[term.end : term.end + 26]
    if _NO_SIZE_AFTER.match(after):
        return True
    if _DENSITY_BEFORE.search(before):
        return True
    return _AIM_BEFORE.search(before) is not None
