"""LIDC-IDRI's reading files: XML in, the marks of each reader out, nothing interpreted yet.

One file per CT series, one ``readingSession`` per reader. A nodule of 3 mm or more
(``unblindedReadNodule`` with ``characteristics``) has outlines slice by slice; a smaller one has
a single point and no characteristics; a ``nonNodule`` has a point too.

References
----------
Armato SG III et al., Med Phys 2011;38:915, doi 10.1118/1.3528204.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from workers.errors import DatasetRefused

READ_MESSAGE = "LidcReadMessage"
CHARACTERISTICS = (
    "subtlety", "internalStructure", "calcification", "sphericity", "margin", "lobulation",
    "spiculation", "texture", "malignancy",
)  # fmt: skip
DECLARATIONS = (b"<!DOCTYPE", b"<!ENTITY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One outline on one slice.

    Attributes
    ----------
    sop_instance_uid, z_mm : str, float
        Of the slice; z is that of its Image Position (Patient).
    inclusion : bool
        False: what it surrounds is not nodule (a cavity, a vessel).
    points_ij : ndarray of shape (N, 2), dtype int64
        Column and row of its pixels. They lie just outside of what is outlined.
    """

    sop_instance_uid: str
    z_mm: float
    inclusion: bool
    points_ij: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderMark:
    """What one reader marked at one place; `ratings` is empty for nodules under 3 mm."""

    reader: int
    identifier: str
    ratings: dict[str, int]
    outlines: tuple[Outline, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """One reading file.

    Attributes
    ----------
    readers : int
        Reading sessions.
    nodules, small_nodules, non_nodules : tuple of ReaderMark
        Of 3 mm or more; smaller; marked as something else.
    """

    source: Path
    series_instance_uid: str
    readers: int
    nodules: tuple[ReaderMark, ...]
    small_nodules: tuple[ReaderMark, ...]
    non_nodules: tuple[ReaderMark, ...]


def parse_readings(path: Path) -> Readings | None:
    """Read one file; `None` if it is the XML of something else (chest X-rays have theirs too).

    Raises
    ------
    DatasetRefused
        If it is no XML, or is a reading that lacks what a reading needs.
    """
    data = path.read_bytes()
    if any(word in data for word in DECLARATIONS):
        raise _refused(path, "declares XML entities, which no reading does")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 - entities were refused above
    except ElementTree.ParseError as error:
        raise _refused(path, f"is not well-formed XML ({error})") from error
    if _name(root) != READ_MESSAGE:
        return None
    header = _child(root, "ResponseHeader")
    series_uid = _text(header, "SeriesInstanceUid") or _text(header, "SeriesInstanceUID")
    if not series_uid:
        raise _refused(path, "names no SeriesInstanceUid in its ResponseHeader")
    sessions = list(_children(root, "readingSession"))
    if not sessions:
        raise _refused(path, "holds no readingSession")
    try:
        marks = [
            mark for reader, session in enumerate(sessions) for mark in _nodules(session, reader)
        ]
        non_nodules = [
            mark
            for reader, session in enumerate(sessions)
            for mark in _non_nodules(session, reader)
        ]
    except ValueError as error:
        raise _refused(path, f"holds a value that is no number ({error})") from error
    return Readings(
        source=path,
        series_instance_uid=series_uid,
        readers=len(sessions),
        nodules=tuple(mark for mark in marks if mark.ratings),
        small_nodules=tuple(mark for mark in marks if not mark.ratings),
        non_nodules=tuple(non_nodules),
    )


def _refused(path: Path, why: str) -> DatasetRefused:
    return DatasetRefused(str(path), why, "fetch the file anew from the archive or remove it")


def _nodules(session: ElementTree.Element, reader: int) -> Iterator[ReaderMark]:
    for element in _children(session, "unblindedReadNodule"):
        outlines = tuple(_outline(roi) for roi in _children(element, "roi"))
        outlines = tuple(outline for outline in outlines if len(outline.points_ij))
        if outlines:
            yield ReaderMark(
                reader=reader,
                identifier=_text(element, "noduleID"),
                ratings=_ratings(element),
                outlines=outlines,
            )


def _non_nodules(session: ElementTree.Element, reader: int) -> Iterator[ReaderMark]:
    for element in _children(session, "nonNodule"):
        points = [_point(locus) for locus in _children(element, "locus")]
        if points:
            yield ReaderMark(
                reader=reader,
                identifier=_text(element, "nonNoduleID"),
                ratings={},
                outlines=(_slice_outline(element, points[:1]),),
            )


def _outline(roi: ElementTree.Element) -> Outline:
    return _slice_outline(roi, [_point(edge) for edge in _children(roi, "edgeMap")])


def _slice_outline(element: ElementTree.Element, points: list[tuple[int, int]]) -> Outline:
    return Outline(
        sop_instance_uid=_text(element, "imageSOP_UID"),
        z_mm=float(_text(element, "imageZposition") or "nan"),
        inclusion=_text(element, "inclusion").upper() != "FALSE",
        points_ij=np.array(points, dtype=np.int64).reshape(-1, 2),
    )


def _ratings(element: ElementTree.Element) -> dict[str, int]:
    """The characteristics that are given; none for a nodule under 3 mm."""
    given = _child(element, "characteristics")
    if given is None:
        return {}
    texts = {name: _text(given, name) for name in CHARACTERISTICS}
    return {name: int(text) for name, text in texts.items() if text and int(text) > 0}


def _point(element: ElementTree.Element) -> tuple[int, int]:
    return int(_text(element, "xCoord")), int(_text(element, "yCoord"))


def _name(element: ElementTree.Element) -> str:
    """The tag without its namespace: files of different years declare different ones."""
    return element.tag.rpartition("}")[2]


def _children(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (child for child in element if _name(child) == name)


def _child(element: ElementTree.Element | None, name: str) -> ElementTree.Element | None:
    return None if element is None else next(_children(element, name), None)


def _text(element: ElementTree.Element | None, name: str) -> str:
    child = _child(element, name)
    return "" if child is None else (child.text or "").strip()
