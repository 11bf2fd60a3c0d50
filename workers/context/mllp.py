"""MLLP: frames over TCP or TLS (HL7 Transport Specification MLLP, release 1).

``<VT> message <FS> <CR>``. One thread for each connection; a message is answered before the next
one of that connection is read, so a sender that waits for its answer never gets ahead of the
disk. Deliberately absent: what a message means.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from dicom_node.tls import TlsFiles, acceptor_context
from workers.context.hl7_receive import Receiver

log = structlog.get_logger()

START = b"\x0b"
END = b"\x1c\r"
READ_BYTES = 1 << 16
ACCEPT_POLL_S = 0.5
HANDSHAKE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MllpLimits:
    """What a peer may do."""

    maximum_bytes: int = 10_000_000
    """Of a message; a longer one is refused and the connection closed."""
    maximum_connections: int = 32
    idle_timeout_s: float = 300.0
    """Silence after which a connection is closed."""
    message_timeout_s: float = 60.0
    """By when a message that began is whole."""
    messages_per_s: float = 100.0
    """Over all connections; faster senders wait for their answers."""


class MllpListener:
    """The HL7 port.

    Parameters
    ----------
    receiver : Receiver
        Gives the answers.
    host, port
        Address; port 0 chooses a free one.
    limits : MllpLimits
        What a peer may do.
    tls : ssl.SSLContext, optional
        TLS when given.
    """

    def __init__(
        self,
        receiver: Receiver,
        *,
        host: str,
        port: int,
        limits: MllpLimits,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._receiver = receiver
        self._limits = limits
        self._tls = tls
        self._pace = Pace(limits.messages_per_s)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=64)
        self._socket.settimeout(ACCEPT_POLL_S)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="mllp", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()
        log.info("hl7_started", port=self.port)

    def stop(self) -> None:
        """Stop listening and end every connection; what was acknowledged is durable."""
        self._stop.set()
        self._thread.join(timeout=10)
        self._socket.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def is_alive(self) -> bool:
        """Whether it listens."""
        return self._thread.is_alive()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, address = self._socket.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if self._stop.is_set():
                    return
                log.error("hl7_accept_failed", error=type(error).__name__)
                time.sleep(ACCEPT_POLL_S)
                continue
            with self._lock:
                full = len(self._open) >= self._limits.maximum_connections
                if not full:
                    self._open.add(connection)
            if full:
                log.warning("hl7_connection_refused", peer=str(address[0]))
                connection.close()
                continue
            threading.Thread(
                target=self._serve,
                args=(connection, str(address[0])),
                name="mllp-peer",
                daemon=True,
            ).start()

    def _serve(self, connection: socket.socket, peer: str) -> None:
        stream = connection
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection.settimeout(HANDSHAKE_S)
                stream = self._tls.wrap_socket(connection, server_side=True)
                with self._lock:  # the plain socket was given up to the TLS one
                    self._open.discard(connection)
                    self._open.add(stream)
            self._converse(stream, peer)
        except (TimeoutError, OSError) as error:  # ssl.SSLError is an OSError
            log.info("hl7_connection_ended", peer=peer, reason=type(error).__name__)
        # Whatever nobody foresaw ends this connection alone; the sender hears nothing, and sends
        # the message again.
        except Exception as error:
            log.exception("hl7_connection_failed", peer=peer, error=type(error).__name__)
        finally:
            with self._lock:
                self._open.discard(connection)
                self._open.discard(stream)
            stream.close()

    def _converse(self, stream: socket.socket, peer: str) -> None:
        for frame in read_frames(stream, self._limits):
            if frame is None:
                stream.sendall(START + self._receiver.too_large(self._limits.maximum_bytes) + END)
                log.warning("hl7_refused", peer=peer, reason="too large", reason_code="207")
                return
            self._pace.wait()
            stream.settimeout(self._limits.message_timeout_s)
            stream.sendall(START + self._receiver.receive(frame, peer) + END)
            if self._stop.is_set():
                return


def read_frames(stream: socket.socket, limits: MllpLimits) -> Iterator[bytes | None]:
    """Messages of a connection, without block characters; `None`, once, for one too large.

    Bytes between frames are skipped, and so is a frame in which another one begins: its sender
    gave it up. The last frame, if its end is missing when the peer hangs up, is dropped: it was
    not acknowledged, so its sender still has it.
    """
    buffer = bytearray()
    deadline = time.monotonic() + limits.idle_timeout_s
    while True:
        begin = buffer.find(START)
        if begin < 0:
            buffer.clear()
        else:
            del buffer[:begin]
            end = buffer.find(END)
            if end >= 0:
                frame = bytes(buffer[1:end])
                del buffer[: end + len(END)]
                yield frame.rsplit(START, 1)[-1]
                deadline = time.monotonic() + limits.idle_timeout_s
                continue
            if len(buffer) > limits.maximum_bytes:
                yield None
                return
        had = len(buffer)
        if not _fill(stream, buffer, deadline, limits.maximum_bytes):
            return
        if not had:
            deadline = time.monotonic() + limits.message_timeout_s


def _fill(stream: socket.socket, buffer: bytearray, deadline: float, limit_bytes: int) -> bool:
    """Read until something may have ended; False when the peer hung up.

    Raises
    ------
    TimeoutError
        If nothing ended in time.
    """
    began_empty = not buffer
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        stream.settimeout(left_s)
        chunk = stream.recv(READ_BYTES)
        if not chunk:
            return False
        buffer += chunk
        if began_empty or END[-1:] in chunk or len(buffer) > limit_bytes:
            return True


class Pace:
    """Spreads messages over time: a token bucket of one second."""

    def __init__(self, per_s: float) -> None:
        self._gap_s = 1.0 / per_s
        self._depth_s = 1.0
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Return when the next message may be taken."""
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next, now - self._depth_s) + self._gap_s
            delay_s = self._next - now
        if delay_s > 0:
            time.sleep(delay_s)


def tls_context(certificate: Path, key: Path | None, client_ca: Path | None) -> ssl.SSLContext:
    """TLS as the DICOM ports have it; with `client_ca` only whom it vouches for may connect.

    Without `key`, the certificate's file holds it too.

    Raises
    ------
    TlsUnusable
        If a file cannot be read or does not belong to the other.
    """
    return acceptor_context(
        TlsFiles(certificate=certificate, key=key or certificate, authorities=client_ca)
    )
