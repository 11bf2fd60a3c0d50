"""What stands on the one-page report: finished text in one language, numbers only for bars."""

from __future__ import annotations

from dataclasses import dataclass

from PIL.Image import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A name and what it is for this examination."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleRow:
    """A line of the table of nodules."""

    number: str
    place: str
    nodule_type: str
    axes: str
    mean: str
    volume: str
    level: str
    probabilities: tuple[float, ...]
    """Of levels I to IV; empty where no level was given."""
    suspicion: str
    lung_rads: str
    brock: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePicture:
    """Tiles that belong together: the first is the largest."""

    caption: str
    tiles: tuple[Image, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A share, in either direction."""

    name: str
    value: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A titled block of lines and, above them, bars."""

    title: str
    lines: tuple[str, ...] = ()
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContent:
    """All of a page."""

    language: str
    title: str
    made: str
    """When, and which revision."""
    warning: str
    """Of both bars: that this is not for diagnosis."""
    subject: tuple[Fact, ...]
    """Patient, study and series."""
    summary: str
    caution: str | None
    """Said right under the summary, for example that the lungs are not covered whole."""
    columns: tuple[str, ...]
    """Heads of the table, as many as `NoduleRow` has texts."""
    rows: tuple[NoduleRow, ...]
    pictures: tuple[PagePicture, ...]
    pictures_note: str
    boxes: tuple[Box, ...]
    """Side by side."""
    follow_up: Box | None
    """Over the whole width; `None` where there was no earlier examination."""
    notes: Box
    """Warnings and limits."""
    more: str
    """Ends a list that had to be cut; ``{count}`` is how many are left out."""
    versions: str
