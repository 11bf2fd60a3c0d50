"""Nodules from sentences: each stretch makes a record, adds to one, or is about something else.

Data flow: `Segment` -> slots (place and size) -> `Draft` -> found again or new. What stands in the
request, an earlier report, advice or a rule makes no record.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from inference.report_text import describe, mention
from inference.report_text.cues import Cue
from inference.report_text.drafts import Draft, differ, merge, same_size
from inference.report_text.facts import Source
from inference.report_text.identity import find_again
from inference.report_text.scope import CORRECTED
from inference.report_text.segments import Reading, Segment, part
from inference.report_text.slots import Slot, share_out
from inference.report_text.terms import Mention
from inference.report_text.text import NormalText

SILENT = frozenset({"request", "history", "family", "technique", "comparison", "rule"})
"""Sections in which nothing is a finding."""
_JOINED = Cue("nodules", "joined")
_PAIR = 2
_OF_TWO = {"the former": 0, "the latter": 1, "前者": 0, "后者": 1}
_ALL = Cue("nodules", "all")
_CLEAR = Cue("nodules", "clear")


class NoduleReader:
    """Goes through a text and keeps what the words at hand are about."""

    def __init__(self, normal: NormalText) -> None:
        self._normal = normal
        self.drafts: list[Draft] = []
        self._current: Draft | None = None
        self._elsewhere = False
        """Whether the last thing told of was no nodule of the lung."""
        self._batch: list[Draft] = []
        """Records of the last noun."""

    def read(self, reading: Reading) -> None:
        """Take one sentence."""
        sentence = reading.sentence
        if sentence.section in SILENT:
            self._elsewhere = True
            return
        organ_before = False
        segments = part(reading)
        for segment in segments:
            lobes = any(place.label == "place" for place in segment.places)
            if segment.about == "other":
                if segment.head is not None and segment.head.label == "organ":
                    organ_before = True
                self._elsewhere = True
                continue
            elsewhere = (organ_before or sentence.section == "other") and not lobes
            if elsewhere and segment.about:
                self._elsewhere = True
            elif segment.about == "nodule":
                self._take_nodule(segment)
            elif segment.about == "ref":
                self._take_reference(segment)
            else:
                self._take_words(segment)
        for segment in segments:
            self._tell_all(segment)

    def source(self, reading: Reading, start: int, end: int) -> Source:
        """Where words of a sentence stand in the text as it came."""
        base = reading.sentence.start
        first, last = self._normal.span(base + start, base + end)
        whole = self._normal.span(base, base + len(reading.sentence.text))
        text = self._normal.original
        return Source(
            start=first, end=last, words=text[first:last], sentence=text[whole[0] : whole[1]]
        )

    def _take_nodule(self, segment: Segment) -> None:
        told = mention.understand(segment)
        if told.void:
            self._elsewhere = True
            return
        made = self._make(segment, told)
        self._place_all(made, told, segment)

    def _place_all(self, made: list[Draft], told: mention.Told, segment: Segment) -> None:
        settled: list[Draft] = []
        for draft in made:
            found = self._find(draft, told, segment, settled)
            if found is None and told.only_known and not (draft.get("lobe") and draft.size):
                continue
            if found is None:
                self.drafts.append(draft)
                settled.append(draft)
            else:
                if found is not draft:
                    self._torn(found, draft)
                    merge(found, draft)
                settled.append(found)
        if told.all_of_them and self.drafts and not any(d.size or d.get("lobe") for d in made):
            for other in self.drafts:
                for name in ("change", "calcification", "type"):
                    if made and made[0].get(name) is not None:
                        other.put(name, made[0].get(name), made[0].sources[name])
        self._batch = settled if not told.largest else self._batch
        self._elsewhere = not settled
        self._current = settled[-1] if settled else self._current

    def _make(self, segment: Segment, told: mention.Told) -> list[Draft]:
        places, sizes = segment.places, segment.sizes
        if told.from_place is not None:
            places = [place for place in places if place.start >= told.from_place]
            sizes = [size for size in sizes if size.start >= told.from_place]
        text = segment.reading.sentence.text
        places = describe.own_places(text, segment.reading.sentence.heading, places)
        several = told.group or _joined(text, places)
        present = [size for size in sizes if size.role in ("now", "below") and not size.weak]
        weak = [size for size in sizes if size.weak]
        if not present and weak:
            # "It was 6 mm" with nothing beside it is what it is; of several years the last one.
            present = [max(weak, key=lambda size: (size.year or 0, -size.start))]
        slots = share_out(text, places, present, several=several)
        drafts = [
            self._draft(segment, told, slot, slots, number) for number, slot in enumerate(slots)
        ]
        if len(slots) > 1:
            for draft in drafts:
                draft.values.pop("count", None)
                draft.group = False
        return [copy for draft in drafts for copy in _by_lobe(draft)]

    def _draft(
        self,
        segment: Segment,
        told: mention.Told,
        slot: Slot,
        slots: Sequence[Slot],
        number: int,
    ) -> Draft:
        reading = segment.reading
        draft = Draft(
            section=reading.sentence.section,
            line=reading.sentence.line,
            group=told.group,
            others=told.group and told.another,
        )
        head = segment.head
        if head is not None:
            draft.sources["nodule"] = self.source(reading, head.start, head.end)
        draft.values["certainty"] = told.certainty
        if told.count is not None:
            draft.values["count"] = told.count
        own = _own_words(segment, slot, slots, number)
        describe.place(draft, segment, slot, slots, self.source)
        describe.sizes(draft, segment, slot, own, self.source)
        if told.type == "part-solid" and head is not None:
            draft.put("type", told.type, self.source(reading, head.start, head.end))
        describe.features(draft, segment, own, self.source)
        if told.type is not None and head is not None:
            draft.put("type", told.type, self.source(reading, head.start, head.end))
        return draft

    def _find(
        self, draft: Draft, told: mention.Told, segment: Segment, settled: Sequence[Draft]
    ) -> Draft | None:
        return find_again(
            draft,
            told,
            [one for one in self.drafts if not any(one is taken for taken in settled)],
            None if self._elsewhere else self._current,
            begins_item=segment.reading.sentence.item,
        )

    def _torn(self, found: Draft, draft: Draft) -> None:
        here, there = draft.side, found.side
        if here and there and {here, there} == {"left", "right"}:
            if CORRECTED.search(draft.sources["nodule"].sentence):
                for name in ("lobe", "laterality"):
                    found.values.pop(name, None)
                return
            found.torn = True

    def _take_reference(self, segment: Segment) -> None:
        told = mention.understand_reference(segment)
        if self._current is None or self._elsewhere:
            groups = [draft for draft in self.drafts if draft.group]
            if self._current is None or not (groups and not self._elsewhere):
                self._elsewhere = True
                return
        made = self._make(segment, told)
        named = segment.head.words.lower() if segment.head is not None else ""
        if named in _OF_TWO and len(self._batch) == _PAIR:
            merge(self._batch[_OF_TWO[named]], made[0])
            return
        if told.largest:
            self._gather(made[0])
            for draft in made:
                draft.group = False
            target = self._current
            if (
                target is not None
                and target.group
                and target.size is None
                and not differ(target, made[0])
            ):
                merge(target, made[0])
                for draft in made[1:]:
                    self.drafts.append(draft)
                return
        for draft in made:
            kind = self._current.copy_kind() if self._current is not None else Draft()
            told_of = any(name not in ("certainty", "count") for name in draft.values)
            if not told_of:
                continue
            if kind.get("type") is not None and not told.largest:
                draft.put("type", kind.get("type"), kind.sources["type"])
            group = self._current
            if group is not None and group.get("count") == _PAIR and not told.group:
                # Both of two are described: each is a record of its own.
                group.group = False
                group.values.pop("count")
                if not draft.side and group.get("lobe"):
                    draft.put("lobe", group.get("lobe"), group.sources["lobe"])
            self.drafts.append(draft)
            self._current = draft

    def _gather(self, largest: Draft) -> None:
        """One group again, where lobes told without sizes are described by the largest member."""
        batch = self._batch
        if len(batch) < _PAIR or largest.size is None or any(one.size for one in batch):
            return
        self.drafts = [one for one in self.drafts if not any(one is other for other in batch[1:])]
        first = batch[0]
        first.group = True
        for name in ("lobe", "laterality"):
            first.values.pop(name, None)
            first.sources.pop(name, None)
        self._current = first

    def _take_words(self, segment: Segment) -> None:
        """Words without a noun of their own."""
        present = [size for size in segment.sizes if size.role in ("now", "below")]
        lobes = [place for place in segment.places if place.label == "place"]
        told = mention.NAMELESS
        current = self._current
        if present and lobes and self._is_entry(segment):
            made = self._make(segment, told)
            if (
                current is not None
                and not current.group
                and len(made) == 1
                and not differ(current, made[0])
                and (current.size is None or not current.get("lobe"))
                and not self._elsewhere
            ):
                merge(current, made[0])
                return
            kind = current.copy_kind() if current is not None and current.group else None
            for draft in made:
                found = self._find(draft, mention.NAMELESS, segment, ())
                if found is not None and found.size is not None:
                    merge(found, draft)
                    self._current, self._elsewhere = found, False
                    continue
                if kind is not None and kind.get("type"):
                    draft.put("type", kind.get("type"), kind.sources["type"])
                if "nodule" not in draft.sources:
                    draft.sources["nodule"] = self.source(
                        segment.reading, segment.start, segment.end
                    )
                self.drafts.append(draft)
                self._current, self._elsewhere = draft, False
            return
        if self._elsewhere or current is None:
            return
        made = self._make(segment, told)
        first = made[0]
        if (
            lobes
            and current.get("lobe")
            and all(d.get("lobe") != current.get("lobe") for d in made)
        ):
            self._elsewhere = True
            return
        if _CLEAR.search(segment.text) and not segment.sizes:
            self._elsewhere = bool(segment.places)
            return
        if first.size is not None and current.size is not None and not same_size(current, first):
            first.values.pop("size_mm", None)
            first.values.pop("axes_mm", None)
        if current.get("change") is None or not current.size:
            pass
        if segment.reading.sentence.item:
            # A category in an item of its own is the examination's.
            first.values.pop("category", None)
        first.values.pop("certainty", None)
        first.values.pop("count", None)
        weak = [size for size in segment.sizes if size.weak]
        if weak and current.size is not None and first.size is None:
            current.put(
                "prior_size_mm",
                weak[0].long_mm,
                self.source(segment.reading, weak[0].start, weak[0].end),
            )
        merge(current, first)

    def _tell_all(self, segment: Segment) -> None:
        """Change and type of every nodule of the line: "all stable", "both solid"."""
        text = segment.reading.sentence.text
        for term in segment.terms("change", "type"):
            if not _ALL.search(text[max(0, term.start - 22) : term.start]):
                continue
            for draft in self.drafts:
                if draft.line == segment.reading.sentence.line:
                    draft.put(
                        term.label, term.value, self.source(segment.reading, term.start, term.end)
                    )

    def _is_entry(self, segment: Segment) -> bool:
        """Whether a place and a size without a noun are a nodule of a list."""
        sentence = segment.reading.sentence
        kinds = segment.terms("type", "spiculation", "lobulation")
        after_nodules = self._current is not None and not (self._elsewhere and not sentence.item)
        return bool(
            after_nodules or kinds or "nodul" in sentence.heading or "结节" in sentence.heading
        )


def _joined(text: str, places: Sequence[Mention]) -> bool:
    """Whether lobes are enumerated: a noun without a plural form then means one in each."""
    lobes = [place for place in places if place.label == "place"]
    return any(
        _JOINED.fullmatch(text[left.end : right.start]) and left.value != right.value
        for left, right in pairwise(lobes)
    )


def _by_lobe(draft: Draft) -> list[Draft]:
    """One record for each lobe of a group that lies in several."""
    lobes = draft.values.pop("lobes", None)
    if not lobes:
        return [draft]
    copies = []
    for lobe in lobes:
        copy = Draft(
            values=dict(draft.values),
            sources=dict(draft.sources),
            section=draft.section,
            line=draft.line,
        )
        copy.values["lobe"] = lobe
        copy.values.pop("laterality", None)
        copy.values.pop("count", None)
        copies.append(copy)
    return copies


def _own_words(
    segment: Segment, slot: Slot, slots: Sequence[Slot], number: int
) -> list[tuple[int, int]]:
    """Stretches of the sentence that are about this slot's nodule, or about all of them."""
    if len(slots) == 1:
        return [(segment.start, segment.end)]
    first = min(one.start for one in slots) or min(
        (one.place.start for one in slots if one.place), default=segment.start
    )
    start = slot.start or first
    later = [one.start for one in slots[number + 1 :] if one.start > start]
    return [(segment.start, first), (start, min(later, default=segment.end))]
