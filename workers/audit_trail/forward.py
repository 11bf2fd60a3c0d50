"""Sends waiting audit messages to the repository, in order, until it has them.

Of the processes on a host one sends. Syslog acknowledges nothing: a message is forgotten only when
the connection that took it still stood a while later; what a broken one had taken before is sent
again. The repository may therefore get a message twice, and none is lost with a connection.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable

import structlog

from dicom_node.audit.syslog import Header, Line, TlsLine, UdpLine, frame
from dicom_node.errors import AuditNotSent
from workers.audit_trail.spool import AuditSpool, Waiting
from workers.audit_trail.trail import PRODUCT
from workers.monitoring_settings import AuditSettings
from workers.settings import Settings
from workers.state.jobs import back_off_s

log = structlog.get_logger()

LOOK_S = 1.0
SETTLED_S = 5.0
"""So long after a message was written its connection must still stand."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
LOCK = "lock"


def open_line(settings: AuditSettings) -> Line:
    """Connect to the repository.

    Raises
    ------
    AuditNotSent
        If there is no connection.
    """
    if settings.transport == "udp":
        return UdpLine(settings.host, settings.port)
    return TlsLine(
        settings.host,
        settings.port,
        ca_file=settings.ca_file,
        certificate_file=settings.certificate_file,
        key_file=settings.key_file,
        server_name=settings.server_name,
    )


class Forwarder:
    """Sends what waits, in a thread, for as long as the process runs.

    Parameters
    ----------
    settings : Settings
        With `dicom_audit`; without it nothing is done.
    connect : callable
        Opens a line to the repository.
    """

    def __init__(
        self, settings: Settings, connect: Callable[[AuditSettings], Line] = open_line
    ) -> None:
        self._settings = settings
        self._connect = connect
        self._spool = AuditSpool(settings.data_dir)
        self._header = Header(
            host=socket.gethostname(), application=PRODUCT, process=str(os.getpid())
        )
        self._line: Line | None = None
        self._sent: list[tuple[float, Waiting]] = []
        self._failures = 0
        self._not_before = float("-inf")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock: int | None = None

    def start(self) -> None:
        """Begin, where messages are wanted."""
        if self._settings.dicom_audit is not None:
            self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Send what waits now, if the repository answers, and end."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join(timeout=15)
        self._not_before = float("-inf")
        if self._holds_lock():
            self.look()
        if self._line is not None:
            self._line.close()
        if self._lock is not None:
            os.close(self._lock)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                if self._holds_lock():
                    self.look()
            except OSError as error:
                log.error("audit_not_sent", error=type(error).__name__, reason=error.strerror)

    def look(self) -> None:
        """Send what waits, and forget what has certainly left."""
        settings = self._settings.dicom_audit
        if settings is None:
            return
        if self._line is not None and self._line.is_broken():
            self._give_up("the connection was closed")
        self._settle()
        under_way = {item for _, item in self._sent}
        due = [item for item in self._spool.waiting() if item not in under_way]
        if not due or time.monotonic() < self._not_before:
            return
        count = 0
        try:
            if self._line is None:
                self._line = self._connect(settings)
            for item in due:
                xml = item.path.read_bytes()
                self._line.send(frame(xml, self._header, at=item.made_at, warning=item.is_warning))
                self._sent.append((time.monotonic(), item))
                count += 1
        except AuditNotSent as error:
            self._give_up(error.why)
            return
        self._failures = 0
        log.info("audit_sent", messages=count)

    def _settle(self) -> None:
        settled = time.monotonic() - SETTLED_S
        for sent_at, item in self._sent:
            if sent_at <= settled:
                self._spool.remove(item)
        self._sent = [(sent_at, item) for sent_at, item in self._sent if sent_at > settled]

    def _give_up(self, why: str) -> None:
        """Forget the line, and that it took what is not settled."""
        if self._line is not None:
            self._line.close()
        self._line = None
        self._sent = []
        self._failures += 1
        pause_s = back_off_s(self._failures, base_s=FIRST_PAUSE_S, cap_s=LONGEST_PAUSE_S)
        self._not_before = time.monotonic() + pause_s
        log.warning("audit_not_sent", reason=why)

    def _holds_lock(self) -> bool:
        """Whether this is the process that sends; the first one that asks, until it ends."""
        if self._lock is not None:
            return True
        self._spool.make_folder()
        descriptor = os.open(
            self._spool.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # no child inherits it
        except OSError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True
