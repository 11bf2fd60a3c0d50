"""What the node itself depends on: disk, database, broker and object store.

Each loop of the node says what failed and what worked; an outage that lasts is written to the
log and, as soon as the database can be reached, to the table of alarms.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import structlog

from dicom_node.errors import SpoolError
from workers.application import Application
from workers.errors import StoreUnavailable
from workers.state.alarms import (
    BROKER_UNREACHABLE,
    DATABASE_UNREACHABLE,
    SPOOL_REFUSES,
    STORE_UNREACHABLE,
    clear_alarm,
    raise_alarm,
)
from workers.state.database import DATABASE_AWAY

log = structlog.get_logger()

SUBJECTS = {
    DATABASE_UNREACHABLE: "database",
    BROKER_UNREACHABLE: "broker",
    STORE_UNREACHABLE: "store",
    SPOOL_REFUSES: "spool",
}


@dataclass(slots=True)
class _Outage:
    message: str
    since: float
    """Monotonic."""
    began_at: float
    """Seconds since the epoch."""
    told: bool = False
    over: bool = False


class Watch:
    """Remembers what fails, and raises and clears the alarms.

    Parameters
    ----------
    app : Application
        What is watched.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._outages: dict[str, _Outage] = {}
        self._fresh = True

    def failed(self, code: str, error: BaseException) -> None:
        """Note that something does not work now."""
        message = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        with self._lock:
            known = self._outages.get(code)
            if known is None or known.over:
                self._outages[code] = _Outage(
                    message=message, since=time.monotonic(), began_at=time.time()
                )
            else:
                known.message = message

    def worked(self, code: str) -> None:
        """Note that something works; its outage, if there was one, is over."""
        with self._lock:
            outage = self._outages.get(code)
            if outage is not None:
                outage.over = True

    def look(self) -> None:
        """Try disk and object store, and write alarms as far as the database lets us."""
        try:
            self._app.spool.probe()
        except SpoolError as error:
            self.failed(SPOOL_REFUSES, error)
        else:
            self.worked(SPOOL_REFUSES)
        try:
            self._write()
        except DATABASE_AWAY as error:
            self.failed(DATABASE_UNREACHABLE, error)
            self._log_unwritten()
        else:
            self.worked(DATABASE_UNREACHABLE)
        try:  # last: a store behind a dead link takes long to fail
            self._app.store.probe()
        except StoreUnavailable as error:
            self.failed(STORE_UNREACHABLE, error)
        else:
            self.worked(STORE_UNREACHABLE)

    def _lasting(self) -> dict[str, _Outage]:
        limit_s = self._app.settings.outage_alarm_s
        with self._lock:
            return {
                code: outage
                for code, outage in self._outages.items()
                if outage.told or time.monotonic() - outage.since >= limit_s
            }

    def _write(self) -> None:
        now = self._app.now()
        lasting = self._lasting()
        closed = [code for code in SUBJECTS if code not in lasting] if self._fresh else []
        if not lasting and not closed:
            return
        with self._app.database.write() as session:
            for code, outage in lasting.items():
                if not outage.over or outage.told:
                    raise_alarm(session, code, SUBJECTS[code], outage.message, at=outage.began_at)
                if outage.over:
                    clear_alarm(session, code, SUBJECTS[code], at=now)
            for code in closed:  # left open by an earlier run of the node
                clear_alarm(session, code, SUBJECTS[code], at=now)
        self._fresh = False
        with self._lock:
            for code, outage in lasting.items():
                outage.told = True
                if outage.over and self._outages.get(code) is outage:
                    del self._outages[code]

    def _log_unwritten(self) -> None:
        """Say in the log what cannot be written to the table."""
        for code, outage in self._lasting().items():
            if not outage.told and not outage.over:
                outage.told = True
                log.error("alarm_raised", alarm=code, subject=SUBJECTS[code], reason=outage.message)
