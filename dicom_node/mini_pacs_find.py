"""How the `MiniPacs` answers Study Root C-FIND (PS3.4 section C.4.1): by UID and nothing else.

Its catalogue is what a test says, not what was stored: so a PACS can be made that holds more,
or knows the patient by another name.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

UNIQUE_KEYS = {
    "STUDY": ("StudyInstanceUID",),
    "SERIES": ("StudyInstanceUID", "SeriesInstanceUID"),
}
"""Keys to match and to return at each level (PS3.4 section C.6.2.1)."""


def find_answers(catalogue: Sequence[Dataset], query: Dataset) -> Iterator[Dataset]:
    """What a catalogue says to a query.

    Parameters
    ----------
    catalogue : sequence of Dataset
        One per study or series, with Study Instance UID, for a series Series Instance UID, and
        whatever else is known. Several that differ in what is asked give several answers.
    query : Dataset
        Query/Retrieve Level ``STUDY`` or ``SERIES``; an empty UID matches every one.

    Yields
    ------
    Dataset
        The keys that were asked for and that the entry has (one that is empty there comes
        empty), in the entry's Specific Character Set, with the level and its UIDs.

    Raises
    ------
    ValueError
        If the level is another one.
    """
    level = str(query.get("QueryRetrieveLevel") or "")
    if level not in UNIQUE_KEYS:
        raise ValueError(f"no level {level!r}")
    unique = UNIQUE_KEYS[level]
    given: list[Dataset] = []
    for entry in catalogue:
        if all(_matches(entry, query, keyword) for keyword in unique):
            answer = _answer(entry, query, unique)
            answer.QueryRetrieveLevel = level
            if answer not in given:
                given.append(answer)
                yield answer


def _matches(entry: Dataset, query: Dataset, keyword: str) -> bool:
    """Single value or universal matching (PS3.4 sections C.2.2.2.1 and C.2.2.2.3)."""
    wanted = str(query.get(keyword) or "")
    return keyword in entry and wanted in ("", str(entry[keyword].value))


def _answer(entry: Dataset, query: Dataset, unique: Sequence[str]) -> Dataset:
    answer = Dataset()
    asked = [element.keyword for element in query]
    for keyword in ("SpecificCharacterSet", *unique, *asked):
        if keyword in entry:
            answer[keyword] = copy.deepcopy(entry[keyword])
    return answer
