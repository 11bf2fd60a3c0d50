"""Whose study the PACS says it is, to compare with what the received headers say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydicom import config

from dicom_node.deliver.peer import Peer
from dicom_node.query.find import OnAsked, find_matches, tell_nobody
from dicom_node.read.header import Identity

STUDY_KEYWORDS = (
    # Keys of the study level of Study Root, patient's ones included (PS3.4 table C.6-5)
    "PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex",
    "StudyID", "StudyDate", "AccessionNumber",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyIdentity:
    """What the PACS says of a study.

    Attributes
    ----------
    identity : Identity
        Read from the answer as from a header, in the answer's Specific Character Set.
    answered : frozenset of str
        Those of `Identity.PATIENT` that came with a value. Issuer of Patient ID is an optional
        key, and a PACS may return even a required one empty: that says nothing.
    """

    identity: Identity
    answered: frozenset[str]


def find_study_identity(
    peer: Peer, calling_ae_title: str, *, study_uid: str, on_asked: OnAsked = tell_nobody
) -> StudyIdentity | None:
    """Ask for the patient's and the study's attributes at STUDY level (PS3.4 section C.6.2.1).

    Parameters
    ----------
    peer : Peer
        The PACS; the call lasts no longer than its timeouts.
    calling_ae_title : str
        Our own title.
    study_uid : str
        Which study.
    on_asked : callable
        Told of the query.

    Returns
    -------
    StudyIdentity or None
        `None` when the PACS knows no such study. Where several answers differ in an attribute,
        it counts as answered, and its value lists theirs in a form that no header yields: it
        agrees with nothing, not even with one of them.

    Raises
    ------
    PeerUnreachable
        If the PACS does not answer.
    PeerRefused
        If it answers with a failure.
    """
    answers = find_matches(
        peer,
        calling_ae_title,
        "STUDY",
        {"StudyInstanceUID": study_uid},
        *STUDY_KEYWORDS,
        on_asked=on_asked,
    )
    if not answers:
        return None
    with config.disable_value_validation():  # bad values are compared like any others
        identity = _merge([Identity.from_dataset(answer) for answer in answers])
    answered = frozenset(name for name in Identity.PATIENT if getattr(identity, name))
    return StudyIdentity(identity=identity, answered=answered)


def _merge(identities: Sequence[Identity]) -> Identity:
    """One identity of all answers; an empty value in one does not contradict the others."""
    first = identities[0]
    merged = {}
    for name in first.to_json():
        values = list(dict.fromkeys(value for i in identities if (value := getattr(i, name))))
        # A value read from a data set never begins with a space: padding is cut.
        merged[name] = values[0] if len(values) == 1 else "".join(f" {v};" for v in values)
    return replace(first, **merged)
