"""A small PACS for the demonstration and the tests: stores, echoes, commits, answers queries.

Every C-STORE is recorded, so that a test can count how often an object arrived (a real
archive hides repeats). Not for production: no durability, no access list, and queries are
answered from a catalogue that the test gives (`mini_pacs_find`).
"""

from __future__ import annotations

import enum
import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import (
    AE,
    ALL_TRANSFER_SYNTAXES,
    AllStoragePresentationContexts,
    build_context,
    build_role,
    evt,
)
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from dicom_node.deliver.peer import Peer, associated
from dicom_node.errors import PeerUnreachable
from dicom_node.mini_pacs_find import find_answers

NO_SUCH_OBJECT_INSTANCE = 0x0112
PENDING = 0xFF00
DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
FIRST_WARNING, LAST_WARNING = 0xB000, 0xBFFF
"""Statuses with which an object is stored all the same (PS3.4 table B.2-1)."""
REPORT_AGAIN_S = 1.0
NOBODY = "NOBODY"
"""The only calling AE title that is let in while associations are refused."""


class CommitmentReply(enum.Enum):
    """How the PACS answers storage commitment requests."""

    NEW_ASSOCIATION = "new association"
    SAME_ASSOCIATION = "same association"
    NEVER = "never"
    FAIL = "fail"


@dataclass(slots=True)
class Record:
    """What one C-STORE brought."""

    calling_ae_title: str
    sop_class_uid: str
    sop_instance_uid: str
    path: Path
    """Holds what came last under this UID."""
    sha256: str
    """Of the data set as it was sent, without meta information: equal for a resend."""
    at: float
    """When it was kept, in seconds since the epoch."""


@dataclass(slots=True)
class MiniPacs:
    """A PACS in this process. Faults may be set and taken back while it runs.

    Attributes
    ----------
    folder : Path
        Received files, one per SOP Instance UID.
    commitment_peer : Peer, optional
        Where reports go on a new association.
    commitment_reply : CommitmentReply
        Looked at when a request comes.
    report_attempts : int
        How often a report on a new association is tried, a second apart.
    store_statuses : list of int
        Answers for the next C-STOREs instead of Success; nothing is kept then, unless the
        answer is a warning.
    store_delay_s : float
        How long every C-STORE waits for its answer, after it was kept and recorded.
    refuse_associations : bool
        Reject whoever calls; associations that are open go on.
    catalogue : list of Dataset
        What queries find (`mini_pacs_find`).
    find_delay_s : float
        How long every C-FIND waits for its first answer.
    find_status : int, optional
        Ends every C-FIND instead of Success, after the answers.
    records : list of Record
        Every C-STORE that was kept, in order.
    """

    folder: Path
    ae_title: str = "MINIPACS"
    host: str = "127.0.0.1"
    port: int = 0
    commitment_peer: Peer | None = None
    commitment_reply: CommitmentReply = CommitmentReply.NEW_ASSOCIATION
    report_attempts: int = 1
    store_statuses: list[int] = field(default_factory=list)
    store_delay_s: float = 0.0
    refuse_associations: bool = False
    catalogue: list[Dataset] = field(default_factory=list)
    find_delay_s: float = 0.0
    find_status: int | None = None
    records: list[Record] = field(default_factory=list)
    _server: Any = None
    _stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Listen in background threads; `port` then holds the port in use."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stopping.clear()
        ae = AE(ae_title=self.ae_title)
        for item in AllStoragePresentationContexts:
            ae.add_supported_context(str(item.abstract_syntax), ALL_TRANSFER_SYNTAXES)
        ae.add_supported_context(Verification)
        ae.add_supported_context(StorageCommitmentPushModel)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        self._server = ae.start_server(
            (self.host, self.port),
            block=False,
            evt_handlers=[
                (evt.EVT_REQUESTED, self._handle_request),
                (evt.EVT_C_STORE, self._handle_store),
                (evt.EVT_C_ECHO, lambda _event: 0x0000),
                (evt.EVT_C_FIND, self._handle_find),
                (evt.EVT_N_ACTION, self._handle_commitment),
            ],
        )
        self.port = int(self._server.server_address[1])

    def stop(self) -> None:
        """Stop listening; who waits for an answer is let go."""
        self._stopping.set()
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    @property
    def peer(self) -> Peer:
        """The PACS as others see it."""
        return Peer(ae_title=self.ae_title, host=self.host, port=self.port)

    def received(self, sop_class_uid: str | None = None) -> list[Record]:
        """Records so far, of one SOP class if given."""
        with self._lock:
            return [r for r in self.records if sop_class_uid in (None, r.sop_class_uid)]

    def digests(self) -> dict[str, list[str]]:
        """SHA-256 of everything that came under each SOP Instance UID, in order.

        One value several times is a resend of the same bytes; several values are a change.
        """
        found: dict[str, list[str]] = {}
        for record in self.received():
            found.setdefault(record.sop_instance_uid, []).append(record.sha256)
        return found

    def _handle_request(self, event: Any) -> None:
        """Reject an association or not; pynetdicom looks at the list right after this."""
        event.assoc.ae.require_calling_aet = [NOBODY] if self.refuse_associations else []

    def _handle_store(self, event: Any) -> int:
        status = self._keep(event)
        self._stopping.wait(self.store_delay_s)
        return status

    def _keep(self, event: Any) -> int:
        status = 0x0000
        with self._lock:
            if self.store_statuses:
                status = self.store_statuses.pop(0)
        if status != 0x0000 and not FIRST_WARNING <= status <= LAST_WARNING:
            return status
        uid = str(event.request.AffectedSOPInstanceUID)
        path = self.folder / f"{uid}.dcm"
        path.write_bytes(event.encoded_dataset())
        with self._lock:
            self.records.append(
                Record(
                    calling_ae_title=str(event.assoc.requestor.ae_title).strip(),
                    sop_class_uid=str(event.request.AffectedSOPClassUID),
                    sop_instance_uid=uid,
                    path=path,
                    sha256=hashlib.sha256(event.encoded_dataset(include_meta=False)).hexdigest(),
                    at=time.time(),
                )
            )
        return status

    def _handle_find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        self._stopping.wait(self.find_delay_s)
        try:
            for answer in find_answers(list(self.catalogue), event.identifier):
                yield PENDING, answer
        except ValueError:
            yield DATA_SET_DOES_NOT_MATCH_SOP_CLASS, None
            return
        if self.find_status is not None:
            yield self.find_status, None

    def _handle_commitment(self, event: Any) -> tuple[int, None]:
        if self.commitment_reply is CommitmentReply.NEVER:
            return 0x0000, None
        report = self._report(event.action_information)
        if self.commitment_reply is CommitmentReply.SAME_ASSOCIATION:
            threading.Thread(target=_report_on, args=(event.assoc, report), daemon=True).start()
        else:
            threading.Thread(target=self._report_back, args=(report,), daemon=True).start()
        return 0x0000, None

    def _report(self, action: Dataset) -> Dataset:
        report = Dataset()
        report.TransactionUID = action.TransactionUID
        report.ReferencedSOPSequence = []
        failed = []
        with self._lock:
            held = {record.sop_instance_uid for record in self.records}
        for item in action.ReferencedSOPSequence:
            known = str(item.ReferencedSOPInstanceUID) in held
            if known and self.commitment_reply is not CommitmentReply.FAIL:
                report.ReferencedSOPSequence.append(item)
            else:
                item.FailureReason = NO_SUCH_OBJECT_INSTANCE
                failed.append(item)
        if failed:
            report.FailedSOPSequence = failed
        if not report.ReferencedSOPSequence:
            del report.ReferencedSOPSequence
        return report

    def _report_back(self, report: Dataset) -> None:
        if self.commitment_peer is None:
            return
        ae_contexts = [build_context(StorageCommitmentPushModel)]
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        for left in reversed(range(self.report_attempts)):
            try:
                with associated(
                    self.commitment_peer, self.ae_title, ae_contexts, extended=[role]
                ) as assoc:
                    _report_on(assoc, report)
                return
            except PeerUnreachable:
                if not left:
                    raise
            self._stopping.wait(REPORT_AGAIN_S)


def _report_on(assoc: Any, report: Dataset) -> None:
    event_type = 2 if "FailedSOPSequence" in report else 1
    assoc.send_n_event_report(
        report, event_type, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
