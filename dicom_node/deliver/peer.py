"""A DICOM peer and the associations we open to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE, build_context, evt
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification

from dicom_node.equipment import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.errors import PeerRefused, PeerUnreachable
from dicom_node.tls import TlsClient, requestor_context

MAXIMUM_PDU_BYTES = 131072
EventHandlers = list[Any]
"""pynetdicom's (event, handler) pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Where a DICOM application entity listens, and how long we wait for it.

    `response_timeout_s` bounds both an answer and a piece of data that the peer does not take.
    """

    ae_title: str
    host: str
    port: int
    connect_timeout_s: float = 10.0
    response_timeout_s: float = 60.0
    tls: TlsClient | None = None
    """Call it over TLS, and so; `None` calls it in clear text."""

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}"


def context(sop_class_uid: str, *transfer_syntax_uids: str) -> PresentationContext:
    """Build one presentation context (PS3.8 section 9.3.2.2)."""
    return build_context(UID(sop_class_uid), [UID(uid) for uid in transfer_syntax_uids])


@contextmanager
def associated(
    peer: Peer,
    calling_ae_title: str,
    contexts: Iterable[PresentationContext],
    handlers: EventHandlers | None = None,
    extended: list[Any] | None = None,
) -> Iterator[Any]:
    """Open an association for the length of a ``with`` block.

    Parameters
    ----------
    peer : Peer
        Whom to call.
    calling_ae_title : str
        Our own title.
    contexts : iterable of PresentationContext
        What to propose, and nothing else.
    handlers : list, optional
        pynetdicom event handlers.
    extended : list, optional
        Extended negotiation items, for example a role selection.

    Yields
    ------
    pynetdicom.association.Association
        Established; released at the end, aborted when the block raises.

    Raises
    ------
    PeerUnreachable
        If the peer does not answer, or rejects or aborts the association.
    TlsUnusable
        If it is to be called over TLS and our files do not serve.
    """
    tls = None if peer.tls is None else (requestor_context(peer.tls), peer.host)
    ae = AE(ae_title=calling_ae_title)
    ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = peer.connect_timeout_s
    ae.acse_timeout = peer.connect_timeout_s
    ae.dimse_timeout = peer.response_timeout_s
    ae.network_timeout = peer.response_timeout_s
    assoc = ae.associate(
        peer.host,
        peer.port,
        contexts=list(contexts),
        ae_title=peer.ae_title,
        max_pdu=MAXIMUM_PDU_BYTES,
        evt_handlers=[*(handlers or ()), (evt.EVT_CONN_OPEN, _bound_sends, [peer])],
        ext_neg=extended,
        tls_args=tls,
    )
    if not assoc.is_established:
        raise PeerUnreachable(str(peer), _why_not(assoc))
    _leave_answers(assoc)
    try:
        yield assoc
    except BaseException:
        assoc.abort()
        raise
    finally:
        if assoc.is_established:
            assoc.release()


def _bound_sends(event: Any, peer: Peer) -> None:
    """Give up a send that the peer does not take in time.

    pynetdicom's requestor lets its socket wait for ever once it is connected: with a full send
    buffer neither the association nor its abort would end.
    """
    event.assoc.dul.socket.socket.settimeout(peer.response_timeout_s)


def _leave_answers(assoc: Any) -> None:
    """Let pynetdicom's own loop never take an answer that a request of ours waits for.

    The loop is paused for each request, yet one that is scheduled late finishes its step while
    the request is under way. It then takes the answer for a request of the peer's ("Received
    unexpected C-STORE service message"), and we wait in vain until the response time-out.
    Nothing in that queue is the loop's where we opened the association: N-EVENT-REPORT has a
    thread of its own, and the sub-operations of C-GET are taken by the C-GET that waits.
    """
    take = assoc.dimse.get_msg
    assoc.dimse.get_msg = lambda block=False: take(block=True) if block else (None, None)


def _why_not(assoc: Any) -> str:
    if assoc.is_rejected:
        answer = assoc.acceptor.primitive
        return f"rejected: {answer.reason_str}" if answer is not None else "rejected"
    if assoc.is_aborted:
        return "aborted, or nothing listens there"
    return "no answer"


def echo(peer: Peer, calling_ae_title: str) -> None:
    """Verify a peer with C-ECHO (PS3.4 Annex A).

    Raises
    ------
    PeerUnreachable
        If there is no association.
    PeerRefused
        If the answer is not Success.
    """
    contexts = [build_context(Verification)]
    with associated(peer, calling_ae_title, contexts) as assoc:
        response = assoc.send_c_echo()
        status = int(response.Status) if "Status" in response else None
    if status is None:
        raise PeerUnreachable(str(peer), "no answer to C-ECHO")
    if status != 0x0000:
        raise PeerRefused(str(peer), "C-ECHO", status, transient=True)
