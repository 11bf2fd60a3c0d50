"""Records of nodules while a text is read: what is known so far, and whether two can be one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from inference.report_text.facts import LOBE_SIDES, Category, ReportedNodule, Source

SIZE_TOLERANCE_MM = 0.05
ROUNDED_MM = 1.0
"""By how much a size in the impression may differ from the findings' and still be the same."""
_ALIKE = ({"subsolid", "part-solid"}, {"subsolid", "ground-glass"}, {"solid", "calcified"})


@dataclass(slots=True, kw_only=True)
class Draft:
    """A nodule in the making.

    Attributes
    ----------
    values : dict
        Fields of `ReportedNodule`, and ``margins``, a dict by value.
    group : bool
        Several nodules in one record.
    section : str
        In which it was first told.
    torn : bool
        Its side or lobe is told in two ways.
    """

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    group: bool = False
    others: bool = False
    section: str = "findings"
    line: int = -1
    torn: bool = False

    def get(self, name: str) -> Any:
        """A value, or None."""
        return self.values.get(name)

    def put(self, name: str, value: Any, source: Source) -> None:
        """Add a value where none is yet."""
        if value is None or name in self.values:
            return
        self.values[name] = value
        self.sources[name] = source

    def replace(self, name: str, value: Any, source: Source) -> None:
        """Set a value in place of another."""
        self.values[name] = value
        self.sources[name] = source

    def put_margin(self, value: str, source: Source) -> None:
        """Add one of several margins."""
        margins = self.values.get("margin", ())
        if value not in margins:
            self.values["margin"] = (*margins, value)
            self.sources.setdefault("margin", source)

    @property
    def side(self) -> str | None:
        """Of its lobe, or as told."""
        lobe = self.get("lobe")
        return LOBE_SIDES[lobe] if lobe else self.get("laterality")

    @property
    def size(self) -> float | None:
        """Present long axis, mm."""
        size: float | None = self.get("size_mm")
        return size

    def copy_kind(self) -> Draft:
        """Another one of the same group: what was told of all of them."""
        kept = ("type", "calcification", "change", "certainty")
        return Draft(
            values={name: self.values[name] for name in kept if name in self.values},
            sources={
                name: self.sources[name] for name in (*kept, "nodule") if name in self.sources
            },
            section=self.section,
            line=self.line,
        )


def differ(left: Draft, right: Draft, *, rounded: bool = False) -> bool:
    """Whether two records tell different things, so that they cannot be one nodule."""
    if not same_place(left, right) or not same_size(left, right, rounded=rounded):
        return True
    one, other = left.get("type"), right.get("type")
    return bool(one and other and one != other and {one, other} not in _ALIKE)


def same_place(left: Draft, right: Draft) -> bool:
    """Whether lobes and sides do not contradict each other."""
    if left.torn or right.torn:
        return True
    if left.get("lobe") and right.get("lobe"):
        return bool(left.get("lobe") == right.get("lobe"))
    if left.side and right.side:
        return left.side == right.side or "bilateral" in (left.side, right.side)
    return True


def same_size(left: Draft, right: Draft, *, rounded: bool = False) -> bool:
    """Whether sizes do not contradict each other."""
    if left.size is None or right.size is None:
        return True
    tolerance = ROUNDED_MM if rounded else SIZE_TOLERANCE_MM
    if abs(left.size - right.size) <= tolerance:
        return True
    if not rounded:
        return False
    # The mean of both axes, as Lung-RADS asks for it.
    axes = left.get("axes_mm") or ()
    return len(axes) == 2 and abs(sum(axes) / 2 - right.size) <= ROUNDED_MM


def agreement(left: Draft, right: Draft) -> int:
    """How much two records have in common."""
    points = 0
    if left.get("lobe") and left.get("lobe") == right.get("lobe"):
        points += 3
    elif left.side and left.side == right.side:
        points += 1
    if left.size and right.size and same_size(left, right, rounded=True):
        points += 3
    points += left.get("type") is not None and left.get("type") == right.get("type")
    points += left.group == right.group
    return points


def merge(into: Draft, other: Draft) -> None:
    """Add what another mention of the same nodule tells."""
    for name, value in other.values.items():
        if name == "margin":
            for margin in value:
                into.put_margin(margin, other.sources["margin"])
        elif name == "certainty":
            if (
                value == "asserted"
                and into.get("certainty") == "possible"
                and other.section == into.section
            ):
                into.values["certainty"] = "asserted"
        elif name == "type" and into.get("type") == "subsolid":
            into.replace(name, value, other.sources[name])
        elif (name == "laterality" and into.get("lobe")) or (
            name == "size_mm" and into.get("size_below_mm") is not None
        ):
            continue
        else:
            if name in other.sources:
                into.put(name, value, other.sources[name])
    into.torn = into.torn or other.torn


def finish(drafts: Iterable[Draft]) -> tuple[ReportedNodule, ...]:
    """The records as they leave, groups that only announced others left out."""
    kept = list(drafts)
    answer = []
    for place, draft in enumerate(kept):
        told = any(
            draft.get(name) is not None
            for name in ("size_mm", "size_below_mm", "lobe", "prior_size_mm")
        )
        alone = len(kept) == 1 or draft.others
        followed = any(not other.group or other.size for other in kept[place + 1 :]) or any(
            not other.group for other in kept[:place]
        )
        if draft.group and not told and not alone and followed:
            continue
        answer.append(_to_nodule(draft))
    return tuple(answer)


def _to_nodule(draft: Draft) -> ReportedNodule:
    values = dict(draft.values)
    if draft.torn:
        values.pop("lobe", None)
        values.pop("laterality", None)
    elif values.get("lobe"):
        values["laterality"] = LOBE_SIDES[values["lobe"]]
    if values.get("type") == "calcified":
        values.setdefault("calcification", "present")
    if values.get("type") == "ground-glass" and values.get("solid_part_mm"):
        values["type"] = "part-solid"
    if values.get("change") == "resolved" and values.get("size_mm") is not None:
        values.setdefault("prior_size_mm", values["size_mm"])
        values.pop("size_mm")
        values.pop("axes_mm", None)
    if draft.group:
        values.setdefault("count", "several")
    if values.get("count") == 1:
        del values["count"]
    category = values.pop("category", None)
    values.pop("level", None)
    assert category is None or isinstance(category, Category)  # noqa: S101
    return ReportedNodule(category=category, sources=dict(draft.sources), **values)
