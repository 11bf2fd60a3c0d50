"""Storage commitment as SCU (PS3.4 Annex J): asks the peer to take responsibility.

The answer may come on the same association, or later on one that the peer opens to our SCP,
with or without role selection; it is matched by Transaction UID alone. Some peers answer
before the N-ACTION returns, so the caller registers the UID before it calls here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_context, evt
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from dicom_node.deliver.peer import EventHandlers, Peer
from dicom_node.deliver.scu import StoreReceipt
from dicom_node.errors import PeerRefused, PeerUnreachable
from dicom_node.receive.commitment import (
    NOT_DEFLATED,
    CommitmentReport,
    read_commitment_report,
)

REQUEST_STORAGE_COMMITMENT = 1
"""Action Type ID (PS3.4 section J.3.2)."""


def commitment_context() -> PresentationContext:
    """The presentation context to propose beside those for storage.

    Not deflated: pynetdicom would inflate a report whole, however much that is.
    """
    return build_context(StorageCommitmentPushModel, list(NOT_DEFLATED))


class CommitmentListener:
    """Takes a report that comes on the association that asked for it."""

    def __init__(self, on_report: Callable[[CommitmentReport], object]) -> None:
        self._on_report = on_report
        self._arrived = threading.Event()

    @property
    def handlers(self) -> EventHandlers:
        """Handlers for `dicom_node.deliver.peer.associated`."""
        return [(evt.EVT_N_EVENT_REPORT, self._handle)]

    def wait(self, timeout_s: float) -> bool:
        """Wait for a report on this association; tells whether one came."""
        return self._arrived.wait(timeout_s)

    def _handle(self, event: Any) -> tuple[int, None]:
        self._on_report(read_commitment_report(event))
        self._arrived.set()
        return 0x0000, None


def is_offered(assoc: Any) -> bool:
    """Tell whether the peer accepted the Storage Commitment context."""
    return any(
        item.abstract_syntax == StorageCommitmentPushModel for item in assoc.accepted_contexts
    )


def request_commitment(
    assoc: Any, peer: Peer, transaction_uid: str, receipts: Sequence[StoreReceipt]
) -> None:
    """Send the N-ACTION for objects that the peer has acknowledged.

    Parameters
    ----------
    assoc : pynetdicom.association.Association
        Established with `commitment_context` accepted.
    peer : Peer
        For messages.
    transaction_uid : str
        Registered by the caller already.
    receipts : sequence of StoreReceipt
        What to commit.

    Raises
    ------
    PeerRefused
        If the answer is not Success (transient: storing again and asking again may help).
    PeerUnreachable
        If there was no answer.
    """
    action = Dataset()
    action.TransactionUID = UID(transaction_uid)
    action.ReferencedSOPSequence = []
    for receipt in receipts:
        item = Dataset()
        item.ReferencedSOPClassUID = UID(receipt.sop_class_uid)
        item.ReferencedSOPInstanceUID = UID(receipt.sop_instance_uid)
        action.ReferencedSOPSequence.append(item)
    response, _ = assoc.send_n_action(
        action,
        REQUEST_STORAGE_COMMITMENT,
        StorageCommitmentPushModel,
        StorageCommitmentPushModelInstance,
    )
    if "Status" not in response:
        raise PeerUnreachable(str(peer), "no answer to the storage commitment request")
    status = int(response.Status)
    if status != 0x0000:
        raise PeerRefused(str(peer), "storage commitment request", status, transient=True)
