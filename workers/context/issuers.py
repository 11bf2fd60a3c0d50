"""Whose a patient ID is: assigning authorities become issuers, or the message is held back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from workers.context.facts import Identifier, MessageFacts, PatientFacts
from workers.context.links import PatientId

UNKNOWN_ISSUER = "unknown_issuer"
MERGE_ACROSS_ISSUERS = "merge_across_issuers"
MERGE_WITH_ITSELF = "merge_with_itself"


class Unusable(Exception):
    """A message cannot be used as it is; `code` and `why` say so without patient data."""

    def __init__(self, code: str, why: str) -> None:
        self.code = code
        self.why = why
        super().__init__(why)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedFacts:
    """Facts of a patient whose IDs have issuers."""

    patients: tuple[PatientId, ...]
    merged: tuple[tuple[PatientId, PatientId], ...]
    """Each prior ID, and the one that it became."""
    facts: PatientFacts


def find_owners(
    message: MessageFacts, issuers: Mapping[str, str], default_issuer: str
) -> tuple[OwnedFacts, ...]:
    """Say whose the facts are.

    An ID is known by ID and issuer together; one whose authority the settings do not name says
    nothing, and a message that has no other is held back.

    Raises
    ------
    Unusable
        If a patient has no ID of a known issuer, or a merge is none.
    """
    return tuple(
        _owned(patient, {key.casefold(): item for key, item in issuers.items()}, default_issuer)
        for patient in message.patients
    )


def _owned(patient: PatientFacts, issuers: Mapping[str, str], default_issuer: str) -> OwnedFacts:
    found = _known(patient.identifiers, issuers, default_issuer)
    if not found:
        raise Unusable(
            UNKNOWN_ISSUER,
            "no patient ID of an assigning authority that PULMONODE_CONTEXT_ISSUERS names",
        )
    merged = []
    if patient.merged:
        prior = _known(patient.merged, issuers, default_issuer)
        if not prior:
            raise Unusable(UNKNOWN_ISSUER, "the ID that was merged is of no known issuer")
        for item in prior:
            into = next((each for each in found if each[1] == item[1]), None)
            if into is None:
                raise Unusable(MERGE_ACROSS_ISSUERS, "it merges IDs of two issuers")
            if into == item:
                raise Unusable(MERGE_WITH_ITSELF, "it merges an ID with itself")
            merged.append((item, into))
    return OwnedFacts(patients=found, merged=tuple(merged), facts=patient)


def _known(
    identifiers: Iterable[Identifier], issuers: Mapping[str, str], default_issuer: str
) -> tuple[PatientId, ...]:
    found = []
    for item in identifiers:
        if not item.authority:
            found.append((item.patient_id, default_issuer))
        elif item.authority.casefold() in issuers:
            found.append((item.patient_id, issuers[item.authority.casefold()]))
    return tuple(dict.fromkeys(found))
