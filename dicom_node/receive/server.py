"""The listening socket: who may connect, TLS, and which way an association is received.

pynetdicom shakes hands with a TLS peer in the thread that accepts connections, where one that
says nothing would hold up all others; here each has its own thread and a time limit.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import structlog
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from dicom_node.receive.fast_association import BeginArrival, make_fast
from dicom_node.receive.limits import ReceiveLimits

log = structlog.get_logger()

RECEIVE_BUFFER_BYTES = 4 << 20
"""Asked of the kernel for each connection; it gives what net.core.rmem_max allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """How a server treats its connections.

    Attributes
    ----------
    begin : callable or None
        Begins an arrival, for the fast way; `None` leaves pynetdicom as it is.
    limits : ReceiveLimits
        Of connections and time.
    tls_context : callable or None
        Gives the context of the next connection; `None` on a port without TLS.
    count : callable
        Told by name what was turned away.
    """

    begin: BeginArrival | None
    limits: ReceiveLimits
    tls_context: Callable[[], ssl.SSLContext] | None
    count: Callable[[str], None]


class StorageServer(ThreadedAssociationServer):
    """pynetdicom's threaded server with a `Reception`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments: Any, reception: Reception, **named: Any) -> None:
        self.reception = reception
        self._connecting: Counter[str] = Counter()
        self._lock = threading.Lock()
        named["request_handler"] = _Handler
        super().__init__(*arguments, **named)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, without any handshake yet."""
        return cast(socket.socket, self.socket).accept()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Close a connection from an address that holds too many already."""
        del request
        host = client_address[0]
        open_now = sum(item.requestor.address == host for item in self.active_associations)
        with self._lock:
            open_now += self._connecting[host]
            if open_now >= self.reception.limits.maximum_connections_per_peer:
                over = True
            else:
                over = False
                self._connecting[host] += 1
        if over:
            self.reception.count("refused_connections")
            log.error("connection_refused", peer=host, reason=f"{open_now} connections are open")
        return not over

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: TLS, then an association, which counts from then on."""
        host = client_address[0]
        try:
            connection = self._prepared(request, host)
        finally:
            with self._lock:
                self._connecting[host] -= 1
                if not self._connecting[host]:
                    del self._connecting[host]
        if connection is not None:
            super().finish_request(connection, client_address)

    def _prepared(self, request: Any, host: str) -> socket.socket | None:
        """The connection with its options, after TLS; `None` when that failed."""
        try:
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            if self.reception.tls_context is None:
                return cast(socket.socket, request)
            request.settimeout(self.reception.limits.request_timeout_s)
            return self.reception.tls_context().wrap_socket(request, server_side=True)
        except OSError as error:  # OpenSSL's are OSErrors
            if self.reception.tls_context is not None:
                self.reception.count("refused_tls")
                log.warning("tls_refused", peer=host, reason=_said(error))
            self.shutdown_request(request)
            return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what nobody foresaw; the server goes on."""
        del request
        log.exception("connection_failed", peer=client_address[0])


class _Handler(RequestHandler):
    def _create_association(self) -> Any:
        assoc = super()._create_association()
        reception = cast(StorageServer, self.server).reception
        if reception.begin is not None:
            make_fast(assoc, reception.begin, reception.limits)
        return assoc


def _said(error: OSError) -> str:
    """What went wrong, without OpenSSL's file names."""
    return getattr(error, "reason", None) or str(error) or type(error).__name__
