"""DICOM over TLS: contexts for both directions (PS3.15 sections B.9 and B.10).

The non-downgrading BCP 195 profile: TLS 1.2 or later, suites with forward secrecy and
authenticated encryption only (RFC 9325), no renegotiation, no compression. Keys, certificates
and authorities come from PEM files; files that were replaced count from the next connection on.

Deliberately absent: revocation lists, and keys behind a passphrase, which a service that starts by
itself could not open.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from dicom_node.errors import TlsUnusable

log = structlog.get_logger()

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL"
"""Of TLS 1.2; those of TLS 1.3 are all fit (RFC 9325 section 4.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files of one side.

    Attributes
    ----------
    certificate : Path or None
        Ours, with those between it and its authority after it. A requestor may have none.
    key : Path or None
        Its private key, without passphrase.
    authorities : Path or None
        Who may vouch for the other side. An acceptor without them asks for no certificate.
    """

    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None

    def stamps(self) -> tuple[tuple[int, int] | None, ...]:
        """Time of change and size of each file, by which a replaced one is known."""
        return tuple(_stamp(path) for path in (self.certificate, self.key, self.authorities))


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsClient:
    """How we call a peer over TLS.

    Attributes
    ----------
    files : TlsFiles
        `authorities` is needed; certificate and key where the peer asks for ours.
    check_host : bool
        Whether the peer's certificate must name the host that we call.
    """

    files: TlsFiles
    check_host: bool = True


def acceptor_context(files: TlsFiles) -> ssl.SSLContext:
    """Context of a listening port; asks for a certificate when there are authorities.

    Raises
    ------
    TlsUnusable
        If a file is missing or holds nothing usable.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, files)
    if files.certificate is None:
        raise TlsUnusable("a TLS port needs a certificate and its key")
    context.verify_mode = ssl.CERT_REQUIRED if files.authorities else ssl.CERT_NONE
    return context


def requestor_context(client: TlsClient) -> ssl.SSLContext:
    """Context of a call; the peer's certificate is always checked.

    Raises
    ------
    TlsUnusable
        If a file is missing or holds nothing usable.
    """
    if client.files.authorities is None:
        raise TlsUnusable("calling over TLS needs the authorities that may vouch for the peer")
    context = _context(ssl.PROTOCOL_TLS_CLIENT, client.files)
    context.check_hostname = client.check_host
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class AcceptorContexts:
    """The context for the next connection, read again when a file was replaced.

    Raises
    ------
    TlsUnusable
        If the files are unusable at the start. Later, the ones before stay in use and the
        log says so: a wrong file must not close the port.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._stamps = files.stamps()
        self._context = acceptor_context(files)

    def __call__(self) -> ssl.SSLContext:
        """The context as the files say now."""
        with self._lock:
            stamps = self._files.stamps()
            if stamps != self._stamps:
                self._stamps = stamps
                try:
                    self._context = acceptor_context(self._files)
                except TlsUnusable as error:
                    log.error("tls_files_unusable", reason=str(error))
                else:
                    log.info("tls_files_read_again")
            return self._context


def _context(protocol: int, files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    if files.certificate is not None:
        if files.key is None:
            raise TlsUnusable(f"{files.certificate} needs its private key")
        _load(
            files.certificate,
            files.key,
            lambda: context.load_cert_chain(
                str(files.certificate), str(files.key), password=_no_passphrase
            ),
        )
    if files.authorities is not None:
        _load(
            files.authorities,
            None,
            lambda: context.load_verify_locations(str(files.authorities)),
        )
    return context


def _load(first: Path, second: Path | None, load: Callable[[], None]) -> None:
    for path in (first, second):
        if path is not None and not path.is_file():
            raise TlsUnusable(f"{path} is not there")
    try:
        load()
    except (OSError, ValueError) as error:
        names = " and ".join(str(path) for path in (first, second) if path is not None)
        reason = getattr(error, "reason", None) or error
        raise TlsUnusable(f"{names}: {reason}") from error


def _no_passphrase() -> bytes:
    """Else OpenSSL would ask at a terminal that nobody sits at."""
    raise ValueError("the private key has a passphrase; give one without")


def _stamp(path: Path | None) -> tuple[int, int] | None:
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_size)
