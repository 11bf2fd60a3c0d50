"""Audit messages as syslog (RFC 5424), over TLS (RFC 5425, PS3.15 A.6) or UDP (RFC 5426, A.7).

Syslog has no acknowledgement: whatever was written just before a connection breaks may be lost
without anybody hearing of it. `TlsLine.is_broken` tells a break as soon as the peer's end of it
arrives; whoever sends keeps messages until a while after that (`workers.audit_trail.forward`).
"""

from __future__ import annotations

import re
import select
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dicom_node.audit.message import utc
from dicom_node.errors import AuditNotSent

SECURITY_FACILITY, NOTICE, WARNING = 10, 5, 4
"""Facility security/authorization; most messages are normal but significant (PS3.15 A.6)."""
MESSAGE_ID = "DICOM+RFC3881"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Says that the message is UTF-8 (RFC 5424 section 6.4)."""
UDP_BYTES = 65_000
CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The header's names of who sends (RFC 5424 section 6.2)."""

    host: str
    application: str
    process: str


def frame(xml: bytes, header: Header, *, at: float, warning: bool = False) -> bytes:
    """One syslog message.

    Parameters
    ----------
    xml : bytes
        The audit message in UTF-8.
    at : float
        When it happened, in seconds since the epoch.
    """
    priority = SECURITY_FACILITY * 8 + (WARNING if warning else NOTICE)
    names = " ".join(
        (
            utc(at),
            _name(header.host, 255),
            _name(header.application, 48),
            _name(header.process, 128),
            MESSAGE_ID,
            "-",
        )
    )
    return f"<{priority}>1 {names} ".encode("ascii") + BYTE_ORDER_MARK + xml


def _name(value: str, longest: int) -> str:
    """Printable ASCII without space, or the nil value (RFC 5424 section 6)."""
    return re.sub(r"[^!-~]", "", value)[:longest] or "-"


class Line(Protocol):
    """A way to the repository."""

    def send(self, message: bytes) -> None:
        """Send one syslog message; raises `AuditNotSent`."""

    def is_broken(self) -> bool:
        """Whether what was sent before may not have arrived."""

    def close(self) -> None:
        """End it."""


class TlsLine:
    """A connection to the repository, opened at once; messages with their length before them.

    Raises
    ------
    AuditNotSent
        If there is no connection, or the repository is not who it should be.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ca_file: Path | None = None,
        certificate_file: Path | None = None,
        key_file: Path | None = None,
        server_name: str | None = None,
    ) -> None:
        try:
            context = ssl.create_default_context(cafile=ca_file)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if certificate_file is not None:
                context.load_cert_chain(certificate_file, key_file)
            plain = socket.create_connection((host, port), CONNECT_TIMEOUT_S)
        except OSError as error:
            raise AuditNotSent(f"{host}:{port}", _why(error)) from error
        try:
            self._socket = context.wrap_socket(plain, server_hostname=server_name or host)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError as error:
            plain.close()
            raise AuditNotSent(f"{host}:{port}", _why(error)) from error
        self._where = f"{host}:{port}"

    def send(self, message: bytes) -> None:
        """Write one message (RFC 5425 section 4.3).

        Raises
        ------
        AuditNotSent
            If the connection is broken.
        """
        if self.is_broken():
            raise AuditNotSent(self._where, "the connection was closed")
        try:
            self._socket.sendall(f"{len(message)} ".encode() + message)
        except OSError as error:
            raise AuditNotSent(self._where, _why(error)) from error

    def is_broken(self) -> bool:
        """Whether the repository closed the connection, or it broke; nothing else is read."""
        readable, _, _ = select.select([self._socket], [], [], 0)
        if not readable:
            return False
        try:
            self._socket.settimeout(0.0)
            return self._socket.recv(1024) == b""
        except (ssl.SSLWantReadError, BlockingIOError):  # TLS's own traffic
            return False
        except OSError:
            return True
        finally:
            self._socket.settimeout(CONNECT_TIMEOUT_S)

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class UdpLine:
    """Datagrams; nobody ever hears of one that is lost."""

    def __init__(self, host: str, port: int) -> None:
        try:
            self._address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(self._address[0], socket.SOCK_DGRAM)
        except OSError as error:
            raise AuditNotSent(f"{host}:{port}", _why(error)) from error
        self._where = f"{host}:{port}"

    def send(self, message: bytes) -> None:
        """Send one message.

        Raises
        ------
        AuditNotSent
            If the system refuses it, or it is too long for a datagram.
        """
        if len(message) > UDP_BYTES:
            raise AuditNotSent(self._where, f"{len(message)} bytes are no datagram: use TLS")
        try:
            self._socket.sendto(message, self._address[4])
        except OSError as error:
            raise AuditNotSent(self._where, _why(error)) from error

    def is_broken(self) -> bool:
        """Never known."""
        return False

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__
