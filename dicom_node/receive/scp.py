"""The Storage and Verification SCP (PS3.4 Annexes A, B and J).

Takes every storage SOP class in every transfer syntax, writes the data set as it came
(never decoded) into the spool, and answers Success only when it is durable. Listens for
storage commitment results as well, since most peers report them on an association of their
own.

Deliberately absent: the database and the decision what an instance is for. Indexing is woken
through `on_stored`; a failure there can never take back an acknowledged instance.
"""

from __future__ import annotations

import enum
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import structlog
from pydicom.uid import UID
from pynetdicom import (
    AE,
    ALL_TRANSFER_SYNTAXES,
    DEFAULT_TRANSFER_SYNTAXES,
    AllStoragePresentationContexts,
    _config,
    evt,
)
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from dicom_node.equipment import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.errors import NobodyAllowed, SpoolFull
from dicom_node.receive import pynetdicom_internals
from dicom_node.receive.admission import LIMIT_EXCEEDED, Admission, Refusal
from dicom_node.receive.arrival import ArrivalRequest, SpooledArrival, StoreStatus
from dicom_node.receive.arriving_file import StoredInstance
from dicom_node.receive.commitment import (
    NOT_DEFLATED,
    CommitmentReport,
    read_commitment_report,
)
from dicom_node.receive.fast_association import SharedContexts
from dicom_node.receive.limits import ANNOUNCED_PDU_BYTES, ReceiveLimits
from dicom_node.receive.server import Reception, StorageServer
from dicom_node.receive.spool import Spool
from dicom_node.receive.store_command import StoreRequest
from dicom_node.tls import AcceptorContexts, TlsFiles

log = structlog.get_logger()

ANY_CALLING_AE = "any"
MAXIMUM_CONNECTIONS = 1000
"""TCP connections, silent ones included; the limit on associations counts established ones."""


def accepted_contexts() -> list[tuple[str, tuple[str, ...]]]:
    """SOP classes that we are SCP of, with the transfer syntaxes of each.

    Beside them, Storage Commitment Push Model as SCU, for its results; and storage classes that
    pynetdicom's dictionary does not know yet.
    """
    syntaxes = tuple(ALL_TRANSFER_SYNTAXES)
    storage = [(str(item.abstract_syntax), syntaxes) for item in AllStoragePresentationContexts]
    return [*storage, (str(Verification), tuple(DEFAULT_TRANSFER_SYNTAXES))]


class NotifyStatus(enum.IntEnum):
    """N-EVENT-REPORT response statuses that we give (PS3.7 section 10.1.1.1.8)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPort:
    """A second port, with TLS."""

    port: int
    """0 lets the operating system choose."""
    files: TlsFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class ScpSettings:
    """How the SCP listens and whom it lets in."""

    ae_title: str
    host: str
    port: int
    """0 lets the operating system choose."""
    calling_ae_titles: tuple[str, ...]
    """Allowed callers; the single entry ``any`` lets everyone in."""
    network_timeout_s: float = 60.0
    limits: ReceiveLimits = field(default_factory=ReceiveLimits)
    tls: TlsPort | None = None
    plain: bool = True
    """Whether the port without TLS is open."""
    fast: bool = True
    """Whether C-STORE goes the fast way where the installed pynetdicom allows it."""


def application_entity(settings: ScpSettings) -> AE:
    """Pynetdicom's AE with our title, contexts and times."""
    ae = AE(ae_title=settings.ae_title)
    ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = ANNOUNCED_PDU_BYTES
    ae.maximum_associations = MAXIMUM_CONNECTIONS
    ae.acse_timeout = settings.limits.request_timeout_s
    ae.network_timeout = settings.network_timeout_s
    ae.require_called_aet = True
    if settings.calling_ae_titles != (ANY_CALLING_AE,):
        ae.require_calling_aet = list(settings.calling_ae_titles)
    for sop_class_uid, syntaxes in accepted_contexts():
        ae.add_supported_context(sop_class_uid, list(syntaxes))
    ae.add_supported_context(
        StorageCommitmentPushModel, list(NOT_DEFLATED), scu_role=False, scp_role=True
    )
    return ae


class StorageScp:
    """A running SCP.

    Parameters
    ----------
    settings : ScpSettings
        Where to listen and for whom.
    spool : Spool
        Where instances go.
    on_stored : callable
        Called after an instance is durable; must be quick and must not raise.
    on_commitment : callable
        Called for each storage commitment report; if it raises, the peer hears
        Processing Failure and may report again.
        on_rejected : callable
        Called with calling AE title and address of whoever may not call us; must be quick and
        must not raise.
    """

    def __init__(
        self,
        settings: ScpSettings,
        spool: Spool,
        *,
        on_stored: Callable[[StoredInstance], None],
        on_commitment: Callable[[CommitmentReport], None],
        on_rejected: Callable[[str, str], None] = lambda _ae_title, _address: None,
    ) -> None:
        self.settings = settings
        self.counts: Counter[str] = Counter()
        self._spool = spool
        self._on_stored = on_stored
        self._on_commitment = on_commitment
        self._on_rejected = on_rejected
        self._lock = threading.Lock()
        self._admission = Admission(settings.limits)
        self._per_association: dict[int, Counter[str]] = {}
        self._plain_server: Any = None
        self._tls_server: Any = None

    @property
    def port(self) -> int:
        """The port in use; the one with TLS where there is no other."""
        return int((self._plain_server or self._tls_server).server_address[1])

    @property
    def tls_port(self) -> int:
        """The port with TLS in use."""
        return int(self._tls_server.server_address[1])

    def start(self) -> None:
        """Listen in background threads.

        Raises
        ------
        NobodyAllowed
            If no calling AE title is allowed: pynetdicom would take that for everyone.
        TlsUnusable
            If certificate, key or authorities do not serve.
        OSError
            If a port is taken or not allowed.
        """
        if not self.settings.calling_ae_titles:
            raise NobodyAllowed
        # A PACS may route classes newer than pynetdicom's dictionary: take them as storage.
        _config.UNRESTRICTED_STORAGE_SERVICE = True
        tls = self.settings.tls
        contexts = None if tls is None else AcceptorContexts(tls.files)
        fast = self._is_fast()
        if self.settings.plain:
            self._plain_server = self._listen(self.settings.port, fast, None)
        if tls is not None:
            self._tls_server = self._listen(tls.port, fast, contexts)

    def _listen(self, port: int, fast: bool, tls: AcceptorContexts | None) -> StorageServer:
        ae = application_entity(self.settings)
        contexts = ae.supported_contexts
        server = ae.make_server(
            (self.settings.host, port),
            ae_title=self.settings.ae_title,
            contexts=SharedContexts(contexts) if fast else contexts,
            evt_handlers=[
                (evt.EVT_REQUESTED, self._handle_requested),
                (evt.EVT_REJECTED, self._handle_rejected),
                (evt.EVT_ESTABLISHED, self._handle_established),
                (evt.EVT_C_STORE, self._handle_store),
                (evt.EVT_C_ECHO, self._handle_echo),
                (evt.EVT_N_EVENT_REPORT, self._handle_event_report),
                (evt.EVT_RELEASED, self._handle_end, ["released"]),
                (evt.EVT_ABORTED, self._handle_end, ["aborted"]),
                (evt.EVT_CONN_CLOSE, self._handle_end, ["closed"]),
            ],
            server_class=StorageServer,
            reception=Reception(
                begin=self._begin_arrival if fast else None,
                limits=self.settings.limits,
                tls_context=tls,
                count=self._count,
            ),
        )
        ae._servers.append(server)  # `shutdown` takes it out again
        threading.Thread(target=server.serve_forever, name=f"scp-{port}", daemon=True).start()
        return cast(StorageServer, server)

    def stop(self) -> None:
        """Stop listening and abort what is open."""
        for server in self._servers():
            open_now = server.active_associations
            server.shutdown()
            for assoc in open_now:
                assoc.abort(block=False)
        self._plain_server = self._tls_server = None

    def open_associations(self) -> int:
        """How many associations of others are established now."""
        return sum(
            assoc.is_established
            for server in self._servers()
            for assoc in server.active_associations
        )

    def _servers(self) -> list[StorageServer]:
        return [item for item in (self._plain_server, self._tls_server) if item is not None]

    def _is_fast(self) -> bool:
        """Whether C-STORE goes the fast way; says so when it does not."""
        if not self.settings.fast:
            return False
        reason = pynetdicom_internals.why_not()
        if reason is not None:
            log.warning("receiving_slowly", reason=reason)
        return reason is None

    def _handle_requested(self, event: Any) -> None:
        """Refuse an association while the disk is under its reserve or a limit is reached."""
        assoc = event.assoc
        try:
            self._spool.check_space()
        except SpoolFull as error:
            refusal: Refusal | None = Refusal(
                code="refused_disk", reason=str(error), answer=LIMIT_EXCEEDED
            )
        else:
            proposed = assoc.requestor.primitive.presentation_context_definition_list
            refusal = self._admission.admit(assoc, assoc.requestor.address, len(proposed))
        if refusal is not None:
            self._count(refusal.code)
            log.error("association_refused", peer=assoc.requestor.address, reason=refusal.reason)
            assoc.acse.send_reject(*refusal.answer)
            assoc.kill()

    def _handle_rejected(self, event: Any) -> None:
        calling_ae = str(event.assoc.requestor.ae_title).strip()
        address = str(event.assoc.requestor.address or "")
        self._count("rejected")
        log.warning("association_rejected", calling_ae=calling_ae, peer=address)
        self._on_rejected(calling_ae, address)

    def _handle_established(self, event: Any) -> None:
        self._count("established")
        self._association_tally(event.assoc)

    def _handle_echo(self, event: Any) -> int:
        self._count("echo")
        del event
        return StoreStatus.SUCCESS

    def _handle_store(self, event: Any) -> int:
        """Store one instance that pynetdicom gathered in memory; returns a `StoreStatus`."""
        arrival = self._arrival(
            event.assoc,
            event.context.context_id,
            str(event.request.AffectedSOPClassUID),
            str(event.request.AffectedSOPInstanceUID),
        )
        arrival.write(event.request.DataSet.getbuffer())
        return arrival.finish()

    def _begin_arrival(self, assoc: Any, request: StoreRequest) -> SpooledArrival:
        """Begin to store one instance that is read fragment by fragment."""
        return self._arrival(
            assoc,
            request.context_id,
            request.affected_sop_class_uid.decode("ascii", "replace"),
            request.affected_sop_instance_uid.decode("ascii", "replace"),
        )

    def _arrival(
        self, assoc: Any, context_id: int, sop_class_uid: str, sop_instance_uid: str
    ) -> SpooledArrival:
        return SpooledArrival(
            self._spool,
            ArrivalRequest(
                sop_class_uid=sop_class_uid,
                sop_instance_uid=sop_instance_uid,
                transfer_syntax_uid=str(assoc._accepted_cx[context_id].transfer_syntax[0]),
                calling_ae_title=str(assoc.requestor.ae_title).strip(),
                called_ae_title=self.settings.ae_title,
            ),
            maximum_bytes=self.settings.limits.maximum_instance_bytes,
            tally=self._association_tally(assoc),
            count=self._count,
            on_stored=self._on_stored,
        )

    def _handle_event_report(self, event: Any) -> tuple[int, None]:
        """Hand a commitment report on; returns a `NotifyStatus`."""
        try:
            self._on_commitment(read_commitment_report(event))
        except Exception:
            log.exception("commitment_report_failed")
            return NotifyStatus.PROCESSING_FAILURE, None
        self._count("commitment_report")
        return NotifyStatus.SUCCESS, None

    def _handle_end(self, event: Any, how: str) -> None:
        """Write the association's one log line; one that stored nothing has none."""
        with self._lock:
            tally = self._per_association.pop(id(event.assoc), None)
        if tally is None:
            return
        self._count(how)
        if not tally:
            return
        log.info(
            "association_ended",
            how=how,
            calling_ae=str(event.assoc.requestor.ae_title).strip(),
            peer=event.assoc.requestor.address,
            stored=tally["stored"],
            refused=tally["refused"],
            size_bytes=tally["bytes"],
        )

    def _association_tally(self, assoc: Any) -> Counter[str]:
        with self._lock:
            return self._per_association.setdefault(id(assoc), Counter())

    def _count(self, what: str, number: int = 1) -> None:
        with self._lock:
            self.counts[what] += number
