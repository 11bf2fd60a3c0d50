"""Which patient IDs are one patient's: merges and unmerges, replayed in the order they came."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

PatientId = tuple[str, str]
"""Patient ID and issuer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One event; `into` survives a merge, and is what an unmerge parts from."""

    kind: Literal["merge", "unmerge"]
    what: PatientId
    into: PatientId


def merged_with(patient: PatientId, links: Iterable[Link]) -> frozenset[PatientId]:
    """Every ID of the patient that has this one, this one included.

    A merge that would close a circle is the later word: the survivor's own earlier merge into the
    other is undone by it.
    """
    into: dict[PatientId, PatientId] = {}
    for link in links:
        if link.kind == "merge":
            if _root(link.into, into) == link.what:
                into.pop(link.into, None)
            if _root(link.into, into) != link.what:
                into[link.what] = link.into
        elif into.get(link.what) == link.into:
            del into[link.what]
    root = _root(patient, into)
    known = {patient, *into, *into.values()}
    return frozenset(item for item in known if _root(item, into) == root)


def _root(patient: PatientId, into: dict[PatientId, PatientId]) -> PatientId:
    seen = {patient}
    while patient in into and into[patient] not in seen:
        patient = into[patient]
        seen.add(patient)
    return patient
