"""One HL7 message out over MLLP, one answer back; a connection for each message.

No connection is kept: results are few, and an engine that was restarted would leave a dead one.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass

from workers.context.mllp import END, START, MllpLimits, read_frames
from workers.errors import ResultNotTold

ANSWER_LIMIT_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MllpPeer:
    """Who listens, and how long it is waited for."""

    host: str
    port: int
    connect_timeout_s: float = 10.0
    """For the connection, TLS included."""
    response_timeout_s: float = 60.0
    """For sending and the acknowledgement together."""
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return f"HL7 receiver {self.host} port {self.port}"


@contextlib.contextmanager
def translated_faults(peer: MllpPeer, doing: str) -> Iterator[None]:
    """Make a transient `ResultNotTold` of what sockets and TLS raise."""
    try:
        yield
    except TimeoutError:
        raise ResultNotTold(f"{peer}: {doing} timed out", transient=True) from None
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message or "not accepted"
        raise ResultNotTold(f"{peer}: its certificate: {why}", transient=True) from None
    except OSError as error:
        why = error.strerror or getattr(error, "reason", None) or type(error).__name__
        raise ResultNotTold(f"{peer}: {doing} failed: {why}", transient=True) from None


def connect(peer: MllpPeer) -> socket.socket:
    """An open connection.

    Raises
    ------
    ResultNotTold
        If there is none; transient.
    """
    with translated_faults(peer, "connecting"):
        stream = socket.create_connection((peer.host, peer.port), peer.connect_timeout_s)
        try:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if peer.tls is not None:
                stream = peer.tls.wrap_socket(stream, server_hostname=peer.host)
        except BaseException:
            stream.close()
            raise
        return stream


def exchange(peer: MllpPeer, message: bytes) -> bytes:
    """Send a message and wait for its answer.

    Returns
    -------
    bytes
        The acknowledgement without block characters.

    Raises
    ------
    ResultNotTold
        If nothing came back; transient. The message may have been taken all the same, so it is
        sent again under the same control ID.
    """
    with connect(peer) as stream, translated_faults(peer, "waiting for the acknowledgement"):
        deadline = time.monotonic() + peer.response_timeout_s
        stream.settimeout(peer.response_timeout_s)
        stream.sendall(START + message + END)
        left_s = max(0.001, deadline - time.monotonic())
        limits = MllpLimits(
            maximum_bytes=ANSWER_LIMIT_BYTES, idle_timeout_s=left_s, message_timeout_s=left_s
        )
        answer = next(read_frames(stream, limits), None)
    if answer is None:
        raise ResultNotTold(
            f"{peer}: the connection ended without an acknowledgement", transient=True
        )
    return answer
