"""Which size and which lobe belong together where one noun has several of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from inference.report_text.cues import Cue
from inference.report_text.sizes import Size
from inference.report_text.terms import Mention

PLANES = Cue("slots", "planes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One nodule's place and size; from ``start`` on, words are about it."""

    place: Mention | None
    sizes: tuple[Size, ...]
    start: int


def share_out(
    text: str, places: Sequence[Mention], sizes: Sequence[Size], *, several: bool
) -> list[Slot]:
    """Pair places and present sizes in the order in which they stand.

    Parameters
    ----------
    places : sequence of Mention
        Of lobes or sides; a mention may name several lobes.
    sizes : sequence of Size
        Present sizes only.
    several : bool
        Whether the noun is a plural.
    """
    lobes = [place for place in places if place.label == "place"]
    where = lobes or [place for place in places if place.label == "side"]
    if len(sizes) < 2:
        if len({place.value for place in where}) < 2:
            return [Slot(place=where[0] if where else None, sizes=tuple(sizes), start=0)]
        if not several:
            return [Slot(place=place, sizes=(), start=0) for place in where[:1]]
        return [
            Slot(place=place, sizes=tuple(sizes), start=0 if number == 0 else place.start)
            for number, place in enumerate(where)
        ]
    if len(where) < 2:
        if not several and _one_thing(text, sizes):
            return [Slot(place=where[0] if where else None, sizes=tuple(sizes), start=0)]
        shared = where[0] if where else None
        return [Slot(place=shared, sizes=(size,), start=size.start) for size in sizes]
    if len(where) == len(sizes):
        return [
            Slot(place=place, sizes=(size,), start=min(place.start, size.start))
            for place, size in zip(where, sizes, strict=True)
        ]
    place_first = where[0].start < sizes[0].start
    slots = []
    for size in sizes:
        if place_first:
            near = [place for place in where if place.start < size.start][-1]
            start = max(near.start, *(s.end for s in sizes if s.end <= size.start), 0)
        else:
            after = [place for place in where if place.start > size.start]
            near, start = (after or where[-1:])[0], size.start
        slots.append(Slot(place=near, sizes=(size,), start=start))
    return slots


def _one_thing(text: str, sizes: Sequence[Size]) -> bool:
    """Whether sizes without a place of their own are one nodule's, in several planes."""
    between = text[sizes[0].end : sizes[1].start]
    return PLANES.search(text[sizes[0].start : sizes[-1].end + 20]) is not None or not re.search(
        r"[、,/]|\band\b|和|及", between
    )
