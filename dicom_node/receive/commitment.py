"""Storage commitment results as they come in (PS3.4 Annex J, N-EVENT-REPORT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

NOT_DEFLATED = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
"""Transfer syntaxes of reports. pynetdicom inflates a data set whole, however much that is."""
FAILURE_REASONS = {
    0x0110: "processing failure",
    0x0112: "no such object instance",
    0x0119: "class / instance conflict",
    0x0122: "referenced SOP class not supported",
    0x0131: "duplicate transaction UID",
    0x0213: "resource limitation",
}
"""Failure Reason (0008,1197), PS3.3 section C.14.1.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReport:
    """What a peer says about a storage commitment transaction.

    Attributes
    ----------
    transaction_uid : str
        As we gave it in the N-ACTION.
    committed : tuple of str
        SOP Instance UIDs that the peer has taken responsibility for.
    failed : tuple of (str, str)
        SOP Instance UID and the reason in words.
    peer_ae_title : str
        Who reported; matched by transaction UID, since some peers report under another title.
    """

    transaction_uid: str
    committed: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    peer_ae_title: str


def read_commitment_report(event: Any) -> CommitmentReport:
    """Read a pynetdicom ``EVT_N_EVENT_REPORT`` event.

    Parameters
    ----------
    event : pynetdicom.events.Event
        Its `event_information` holds Transaction UID (0008,1195), Referenced SOP Sequence
        (0008,1199) and, for event type 2, Failed SOP Sequence (0008,1198).

    Raises
    ------
    AttributeError, ValueError
        If the data set has no Transaction UID or cannot be decoded.
    """
    information: Dataset = event.event_information
    return CommitmentReport(
        transaction_uid=str(information.TransactionUID),
        committed=tuple(
            str(item.ReferencedSOPInstanceUID)
            for item in information.get("ReferencedSOPSequence") or ()
        ),
        failed=tuple(
            (str(item.ReferencedSOPInstanceUID), _reason(item))
            for item in information.get("FailedSOPSequence") or ()
        ),
        peer_ae_title=str(event.assoc.remote.get("ae_title", "")).strip(),
    )


def _reason(item: Dataset) -> str:
    code = item.get("FailureReason")
    if code is None:
        return "no reason given"
    return f"{FAILURE_REASONS.get(int(code), 'unknown reason')} (0x{int(code):04X})"
