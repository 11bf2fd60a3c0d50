"""What the node itself depends on: disk, database, broker and object store.

Each loop of the node, and the probe that is made here, says what failed and what worked, and
only who said that something failed can say that it works again: a loop may be unable to do what
a probe can. An outage that lasts is written to the log and, as soon as the database can be
reached, to the table of alarms.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import structlog

from dicom_node.errors import DicomNodeError, SpoolError
from workers.application import Application
from workers.errors import DiskLow, StoreUnavailable, WorkersError
from workers.notify.message import AlarmChange
from workers.state.alarms import (
    BROKER_UNREACHABLE,
    DATABASE_UNREACHABLE,
    DISK_LOW,
    NODE_LOOP_FAILS,
    SPOOL_REFUSES,
    STORE_UNREACHABLE,
    clear_alarm,
    open_alarms,
    raise_alarm,
)
from workers.state.database import DATABASE_AWAY
from workers.state.schema import Switch

log = structlog.get_logger()

SUBJECTS = {
    DATABASE_UNREACHABLE: "database",
    BROKER_UNREACHABLE: "broker",
    STORE_UNREACHABLE: "store",
    SPOOL_REFUSES: "spool",
    DISK_LOW: "spool",
}
"""What the alarms are about; that of a failing loop is about the loop."""
WATCHED = frozenset({*SUBJECTS, NODE_LOOP_FAILS})
LOW_WATER = 2
"""So many times its reserve, and a disk is told to come near it."""
PROBE = "probe"
"""Source of what is tried here, and name of the row that proves that the database is written."""
IN_PLAIN_WORDS = (DicomNodeError, WorkersError, OSError, *DATABASE_AWAY)
"""Errors whose words name no patient; others' stay in the log."""


@dataclass(slots=True, kw_only=True)
class _Outage:
    """Something that fails, as one source sees it."""

    code: str
    subject: str
    message: str
    since: float
    """Monotonic."""
    began_at: float
    """Seconds since the epoch."""
    told: bool = False
    over: bool = False

    @property
    def alarm(self) -> tuple[str, str]:
        """Code and subject of its alarm, which may be other sources' too."""
        return self.code, self.subject


class Watch:
    """Remembers what fails, and raises and clears the alarms.

    An alarm stays open while any source of it fails. Who does not say its name as `source` is
    known by its thread's.

    Parameters
    ----------
    app : Application
        What is watched.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._outages: dict[tuple[str, str], _Outage] = {}
        self._fresh = True

    def failed(self, code: str, error: BaseException, *, source: str | None = None) -> None:
        """Note that something does not work now."""
        words = str(error) if isinstance(error, IN_PLAIN_WORDS) else "see the node's log"
        message = f"{type(error).__name__}: {words}".splitlines()[0][:300]
        source = source or threading.current_thread().name
        with self._lock:
            known = self._outages.get((code, source))
            if known is None or (known.over and not known.told):
                self._outages[code, source] = _Outage(
                    code=code,
                    subject=SUBJECTS.get(code, source),
                    message=message,
                    since=time.monotonic(),
                    began_at=time.time(),
                )
            else:
                known.message = message
                known.over = False

    def worked(self, code: str, *, source: str | None = None) -> None:
        """Note that something works for this source; its outage, if there was one, is over."""
        with self._lock:
            outage = self._outages.get((code, source or threading.current_thread().name))
            if outage is not None:
                outage.over = True

    def look(self) -> None:
        """Try disk, database and object store; write alarms as far as the database lets us."""
        try:
            self._app.spool.probe()
        except SpoolError as error:
            self.failed(SPOOL_REFUSES, error, source=PROBE)
        else:
            self.worked(SPOOL_REFUSES, source=PROBE)
            self._look_at_space()
        try:
            self._write()
        except DATABASE_AWAY as error:
            self.failed(DATABASE_UNREACHABLE, error, source=PROBE)
            self._log_unwritten()
        else:
            self.worked(DATABASE_UNREACHABLE, source=PROBE)
        try:  # last: a store behind a dead link takes long to fail
            self._app.store.probe()
        except StoreUnavailable as error:
            self.failed(STORE_UNREACHABLE, error, source=PROBE)
        else:
            self.worked(STORE_UNREACHABLE, source=PROBE)

    def _look_at_space(self) -> None:
        """Tell that the disk fills up before anything is refused."""
        spool = self._app.spool
        free_bytes = spool.free_bytes()
        if free_bytes < LOW_WATER * spool.reserve_bytes:
            self.failed(DISK_LOW, DiskLow(free_bytes, spool.reserve_bytes), source=PROBE)
        else:
            self.worked(DISK_LOW, source=PROBE)

    def _lasting(self) -> tuple[list[_Outage], set[tuple[str, str]]]:
        """What lasts long enough to be told, and the alarms of which some source fails now.

        What is over comes first, then the longest: the newest failure has the last word.
        """
        limit_s = self._app.settings.outage_alarm_s
        with self._lock:
            known = list(self._outages.values())
            failing = {outage.alarm for outage in known if not outage.over}
            lasting = [
                outage
                for outage in known
                if outage.told or (not outage.over and time.monotonic() - outage.since >= limit_s)
            ]
        lasting.sort(key=lambda outage: (not outage.over, outage.since))
        return lasting, failing

    def _write(self) -> None:
        """Write the alarms, and a row whether there are any or not: the database is tried."""
        now = self._app.now()
        lasting, failing = self._lasting()
        told = {outage.alarm for outage in lasting}
        ended = told - failing
        with self._app.database.write() as session:
            session.merge(Switch(name=PROBE, value="", changed_at=now))
            for outage in lasting:
                raise_alarm(
                    session, outage.code, outage.subject, outage.message, at=outage.began_at
                )
            if self._fresh:  # left open by an earlier run of the node
                left = {(alarm.code, alarm.subject) for alarm in open_alarms(session)}
                ended |= {alarm for alarm in left - told if alarm[0] in WATCHED}
            for code, subject in ended:
                clear_alarm(session, code, subject, at=now)
        self._fresh = False
        with self._lock:
            for outage in lasting:
                outage.told = True
            self._outages = {
                key: outage
                for key, outage in self._outages.items()
                if not (outage.over and (outage.alarm in ended or not outage.told))
            }

    def unwritten(self) -> list[AlarmChange]:
        """What lasts now, for whoever is told while the database takes no alarm."""
        lasting, failing = self._lasting()
        return [
            AlarmChange(code=outage.code, subject=outage.subject, raised_at=outage.began_at)
            for outage in lasting
            if outage.alarm in failing
        ]

    def _log_unwritten(self) -> None:
        """Say in the log what cannot be written to the table."""
        lasting, _ = self._lasting()
        told = {outage.alarm for outage in lasting if outage.told}
        for outage in lasting:
            if outage.alarm not in told:
                told.add(outage.alarm)
                log.error(
                    "alarm_raised",
                    alarm=outage.code,
                    subject=outage.subject,
                    reason=outage.message,
                )
            outage.told = True
