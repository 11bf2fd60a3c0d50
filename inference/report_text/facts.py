"""What a report says, as values: nodules and history, each with the words that it came from.

`None` and empty mean that the text does not say so; nothing is filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Certainty = Literal["asserted", "possible", "negated"]
Presence = Literal["present", "absent", "possible"]
Side = Literal["left", "right", "bilateral"]
Language = Literal["en", "zh"]

LOBE_NAMES = {
    "RUL": "right upper lobe",
    "RML": "right middle lobe",
    "RLL": "right lower lobe",
    "LUL": "left upper lobe",
    "LLL": "left lower lobe",
}
LOBE_SIDES: Mapping[str, Side] = {
    "RUL": "right",
    "RML": "right",
    "RLL": "right",
    "LUL": "left",
    "LLL": "left",
}
"""Lobes of the lungs by their side; the lingula is part of ``LUL``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where in the text a value stands: characters ``start`` to ``end``, and their sentence."""

    start: int
    end: int
    words: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A category as stated, without its modifier."""

    system: Literal["Lung-RADS"]
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedNodule:
    """A nodule, or a group of nodules, as the report describes it; sizes in mm.

    Attributes
    ----------
    size_mm : float, optional
        Long axis now; the largest where several are stated.
    size_below_mm : float, optional
        A strict bound; there is then no `size_mm`.
    lobe : {"RUL", "RML", "RLL", "LUL", "LLL"}, optional
        Where the text contradicts itself there is neither lobe nor side.
    count : int or "several", optional
        Of a group; absent for one nodule.
    sources : mapping of field to Source
        ``nodule`` is the mention itself.
    """

    certainty: Certainty = "asserted"
    size_mm: float | None = None
    axes_mm: tuple[float, ...] = ()
    size_below_mm: float | None = None
    mean_mm: float | None = None
    range_mm: tuple[float, float] | None = None
    volume_mm3: float | None = None
    solid_part_mm: float | None = None
    type: str | None = None
    lobe: str | None = None
    laterality: Side | None = None
    margin: tuple[str, ...] = ()
    spiculation: Presence | None = None
    lobulation: Presence | None = None
    calcification: Presence | None = None
    calcification_pattern: str | None = None
    cavity: Presence | None = None
    change: str | None = None
    prior_size_mm: float | None = None
    prior_axes_mm: tuple[float, ...] = ()
    count: int | str | None = None
    category: Category | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFact:
    """One item of the patient's history.

    Attributes
    ----------
    kind : str
        ``pack_years``, ``smoking_status``, ``quit_years``, ``cancer_history``,
        ``family_lung_cancer``, ``emphysema`` or ``asbestos``.
    value : float or str, optional
        Number, status or kind of cancer; `None` where the kind says it all.
    """

    kind: str
    value: float | str | None = None
    certainty: Certainty = "asserted"
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFacts:
    """All that was found in one text."""

    nodules: tuple[ReportedNodule, ...] = ()
    history: tuple[HistoryFact, ...] = ()
    exam_category: Category | None = None
    category_source: Source | None = None
    language: Language = "en"

    def to_dict(self, *, sources: bool = False) -> dict[str, Any]:
        """As JSON: only what the text says."""
        answer: dict[str, Any] = {
            "language": self.language,
            "nodules": [_known(nodule, sources) for nodule in self.nodules],
            "history": [_known(fact, sources) for fact in self.history],
        }
        if self.exam_category is not None:
            answer["exam_category"] = _plain(self.exam_category)
            if sources and self.category_source is not None:
                answer["category_source"] = _plain(self.category_source)
        return answer


def _known(record: ReportedNodule | HistoryFact, sources: bool) -> dict[str, Any]:
    hidden = () if sources else ("sources", "source")
    values = {
        name: _plain(getattr(record, name)) for name in record.__slots__ if name not in hidden
    }
    return {name: value for name, value in values.items() if value not in (None, [], {})}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (Source, Category)):
        return {name: _plain(getattr(value, name)) for name in value.__slots__}
    return value
