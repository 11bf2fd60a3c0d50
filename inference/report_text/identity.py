"""Whether a nodule that is told of was told of before: which record it is, or none."""

from __future__ import annotations

from collections.abc import Sequence

from inference.report_text.drafts import Draft, agreement, differ, same_size
from inference.report_text.mention import Told

SURE = 3
"""Agreement from which on two mentions are one nodule: the same lobe, or the same size."""
LATE = frozenset({"impression", "recommendation"})
"""Sections that tell again what the findings told."""


def find_again(
    draft: Draft, told: Told, others: Sequence[Draft], current: Draft | None, *, begins_item: bool
) -> Draft | None:
    """The record that already stands for a nodule.

    Parameters
    ----------
    others : sequence of Draft
        Records that it may be.
    current : Draft, optional
        What the words just before were about; absent where that was no nodule.
    begins_item : bool
        Whether its sentence begins a line or an item.
    """
    if told.another or not others:
        return None
    again = draft.section in LATE and any(one.section != draft.section for one in others)
    if told.largest:
        return _largest(draft, told, others, again=again)
    if not (again or told.definite or told.only_known):
        return _goes_on(draft, told, others, current, begins_item=begins_item)
    fitting = [
        one
        for one in others
        if not differ(one, draft, rounded=again)
        and (one.group == draft.group or agreement(one, draft) >= SURE)
    ]
    best = max(
        enumerate(fitting),
        key=lambda item: (agreement(item[1], draft), item[1] is current, item[0]),
        default=None,
    )
    bare = draft.size is None and not draft.get("lobe") and not draft.side
    if best is not None and (
        agreement(best[1], draft) >= SURE or bare or told.definite or len(others) == 1
    ):
        return best[1]
    if again and draft.group and bare:
        return max(others, key=lambda one: one.group)
    return _other_side(draft, others) if again or told.definite else None


def _largest(draft: Draft, told: Told, others: Sequence[Draft], *, again: bool) -> Draft | None:
    groups = [one for one in others if one.group and one.size is None]
    if groups:
        return groups[-1]
    if not (again or told.definite):
        return None
    fitting = [one for one in others if not differ(one, draft, rounded=again)]
    return max(fitting, key=lambda one: agreement(one, draft), default=None)


def _other_side(draft: Draft, others: Sequence[Draft]) -> Draft | None:
    """The only nodule of just this size, or of this lobe, told to lie on the other side before."""
    same = [
        one
        for one in others
        if (
            same_size(one, draft)
            if draft.size and one.size
            else len(others) == 1 and _same_level(one, draft)
        )
        and one.group == draft.group
        and {one.side, draft.side} == {"left", "right"}
    ]
    return same[0] if len(same) == 1 else None


def _same_level(one: Draft, other: Draft) -> bool:
    left, right = one.get("lobe"), other.get("lobe")
    return bool(left and right and left[1:] == right[1:])


def _goes_on(
    draft: Draft,
    told: Told,
    others: Sequence[Draft],
    current: Draft | None,
    *,
    begins_item: bool,
) -> Draft | None:
    """A noun without article, place or size of its own goes on about the last nodule."""
    for one in others:
        placed = draft.get("lobe") and one.get("lobe") == draft.get("lobe")
        sized = draft.size and one.size and one.group == draft.group
        if placed and sized and not differ(one, draft):
            return one
    if current is None or told.article or begins_item or differ(current, draft):
        return None
    if not any(current is one for one in others):
        return None
    own_place = draft.get("lobe") or draft.side
    if own_place or (draft.size and current.size) or told.certainty != "asserted":
        return None
    return current if current.group == draft.group and not told.count else None
