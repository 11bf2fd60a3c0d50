"""Inbox -> index -> object store: every acknowledged file becomes part of one visible job.

The rows are committed first, then the file goes to the object store, then the rows say so,
and only then it leaves the inbox. A crash anywhere between leaves the file in the inbox, where
it is known again by its name. A series is not complete before all of it stands in the store.
A file that cannot be read or kept now stays in the inbox and holds no other up.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.orm import Session

from dicom_node.barriers import Barrier, reach
from dicom_node.errors import DicomNodeError, UnreadableInstance
from dicom_node.read.eligibility import is_own_header
from dicom_node.read.header import InstanceHeader, digests, read_header
from dicom_node.receive.spool import instance_key
from workers.application import Application
from workers.errors import StoreUnavailable, WorkersError
from workers.patient_key import patient_day
from workers.state.database import DATABASE_AWAY
from workers.state.jobs import ARROWS, move, note
from workers.state.schema import BEFORE_ANALYSIS, Instance, Job, JobState
from workers.usecases.arrive_again import Repeat, arrive_again
from workers.usecases.quarantine import (
    close_unreadable,
    hold_study,
    hold_unreadable,
    keep_aside,
    patient_conflict,
)
from workers.usecases.revise import job_for_arrival
from workers.usecases.take_answers import await_answers

log = structlog.get_logger()

BATCH_SIZE = 64
ROUNDING_NS = 1_000
"""More than what a float of seconds since the epoch leaves out (about 240 ns)."""
STORE_FAILURES = 3
"""So many files in a row that are not kept, and the store is asked whether it is there at all."""
OUTAGE = (*DATABASE_AWAY, StoreUnavailable)
"""What is no file's fault, though some of it is `POISON` by its class: look there first."""
POISON = (
    DBAPIError, StatementError, ValueError, TypeError, LookupError, AttributeError,
    WorkersError, DicomNodeError,
)  # fmt: skip
"""What a file that nobody foresaw can raise while it is indexed."""


class Fate(enum.Enum):
    """What becomes of an arrived file once its rows are committed."""

    KEEP = "keep"
    """It goes to the object store under the key that its row names."""
    RELEASE = "release"
    """It changes nothing and goes."""
    QUARANTINE = "quarantine"
    """It is kept aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A received file as it was read; `header` is `None` when it is unreadable."""

    path: Path
    name: str
    """Inbox name: begins with the nanoseconds of its arrival, ends with its UID."""
    header: InstanceHeader | None
    header_sha256: str = ""
    pixels_sha256: str = ""
    size_bytes: int = 0
    problem: str = ""

    @property
    def received_at(self) -> float:
        """Seconds since the epoch."""
        return int(self.name.split("-", 1)[0]) / 1e9

    @property
    def key(self) -> str:
        """Where it stands in the object store, or will."""
        if self.header is None:
            raise UnreadableInstance(self.name, self.problem)
        return instance_key(
            self.header.study_instance_uid, self.header.series_instance_uid, self.name
        )


@dataclass(slots=True, kw_only=True)
class _Setbacks:
    """What stays in the inbox during one look at it, and why."""

    newest: StoreUnavailable | OSError | None = None
    store_away: bool = False
    in_a_row: int = 0
    unread: list[Path] = field(default_factory=list)


def read_arrival(path: Path, name: str) -> Arrival:
    """Read a file's header and digests.

    Raises
    ------
    OSError
        If the disk fails; that says nothing of the file.
    """
    try:
        header = read_header(path)
        header_sha256, pixels_sha256 = digests(path)
    except UnreadableInstance as error:
        return Arrival(path=path, name=name, header=None, problem=error.why)
    return Arrival(
        path=path,
        name=name,
        header=header,
        header_sha256=header_sha256,
        pixels_sha256=pixels_sha256,
        size_bytes=path.stat().st_size,
    )


def index_inbox(app: Application) -> int:
    """Index what waits in the inbox; returns how many files were dealt with.

    Raises
    ------
    sqlalchemy.exc.OperationalError
        If the database is away; the files stay in the inbox.
    StoreUnavailable
        If the object store did not take some files, or is away; these stay in the inbox, their
        rows are committed. The others were dealt with.
    OSError
        If some files could not be read from disk; they stay in the inbox. So were the others.
    """
    paths = app.spool.inbox()
    setbacks = _Setbacks()
    for start in range(0, len(paths), BATCH_SIZE):
        batch = paths[start : start + BATCH_SIZE]
        try:
            _index_files(app, batch, setbacks)
        except OUTAGE:
            raise
        except POISON:
            log.exception("batch_not_indexed", instances=len(batch))
            for path in batch:
                if path not in setbacks.unread:
                    _index_alone(app, path, setbacks)
        if setbacks.store_away:
            break
    if setbacks.newest is not None:
        raise setbacks.newest
    return len(paths)


def _index_alone(app: Application, path: Path, setbacks: _Setbacks) -> None:
    """Index one file of a batch that failed; the one to blame is kept aside, in view."""
    try:
        _index_files(app, [path], setbacks)
    except OUTAGE:
        raise
    except POISON as error:
        hold_poison(app, path, error)
        app.spool.quarantine(path)


def hold_poison(app: Application, path: Path, error: BaseException) -> None:
    """Make a file that nobody foresaw visible as a job of its own."""
    log.exception("instance_not_indexed")
    problem = f"it could not be indexed ({type(error).__name__}): see the node's log"
    now = app.now()
    with app.database.write() as session:
        hold_unreadable(session, path.name, problem, now=now)


def _index_files(app: Application, paths: Sequence[Path], setbacks: _Setbacks) -> None:
    """Index some inbox files in one transaction, then take them where they belong."""
    arrivals = _read(paths, setbacks)
    fates = index_arrivals(app, arrivals)
    reach(Barrier.INDEX_COMMITTED)
    kept, done = [], []
    for arrival, fate in zip(arrivals, fates, strict=True):
        if fate is Fate.QUARANTINE:
            app.spool.quarantine(arrival.path)
        elif fate is Fate.RELEASE:
            done.append(arrival)
        elif _keep(app, arrival, setbacks):
            kept.append(arrival)
    reach(Barrier.STORE_KEPT)
    mark_stored(app, (arrival.key for arrival in kept))
    for arrival in (*kept, *done):
        app.spool.release(arrival.path)


def _read(paths: Sequence[Path], setbacks: _Setbacks) -> list[Arrival]:
    """Read what the disk gives."""
    arrivals = []
    for path in paths:
        try:
            arrivals.append(read_arrival(path, path.name))
        except OSError as error:
            setbacks.unread.append(path)
            setbacks.newest = error
    return arrivals


def _keep(app: Application, arrival: Arrival, setbacks: _Setbacks) -> bool:
    """Bring a file into the object store; tell whether it stands there now."""
    if setbacks.store_away:
        return False
    try:
        app.store.put_file(arrival.key, arrival.path)
    except StoreUnavailable as error:
        setbacks.newest = error
        setbacks.in_a_row += 1
    else:
        setbacks.in_a_row = 0
        return True
    if setbacks.in_a_row >= STORE_FAILURES:
        setbacks.in_a_row = 0
        try:
            app.store.probe()  # are these files to blame, or is there no store?
        except StoreUnavailable:
            setbacks.store_away = True
    return False


def index_arrivals(
    app: Application, arrivals: Sequence[Arrival], *, replayed: bool = False
) -> list[Fate]:
    """Write the rows of some arrivals, in their order, in one transaction.

    Parameters
    ----------
    arrivals : sequence of Arrival
        Read already, so that the transaction is short.
    replayed : bool
        They come from the store, while the index is rebuilt, and not from a sender.
    """
    now = app.now()
    fates = []
    with app.database.write() as session:
        for arrival in arrivals:
            fates.append(_index_one(app, session, arrival, now, replayed=replayed))
            session.flush()
        reach(Barrier.INDEX_BEFORE_COMMIT)
    return fates


def mark_stored(app: Application, keys: Iterable[str]) -> None:
    """Write down that instances stand in the object store."""
    wanted = list(keys)
    if wanted:
        with app.database.write() as session:
            session.execute(update(Instance).where(Instance.path.in_(wanted)).values(stored=True))


def _index_one(
    app: Application, session: Session, arrival: Arrival, now: float, *, replayed: bool
) -> Fate:
    header = arrival.header
    if header is None:
        hold_unreadable(session, arrival.name, arrival.problem, now=now)
        return Fate.QUARANTINE
    known = session.get(Instance, header.sop_instance_uid)
    if known is not None:
        repeat = Repeat(
            header=header,
            key=arrival.key,
            name=arrival.name,
            header_sha256=arrival.header_sha256,
            pixels_sha256=arrival.pixels_sha256,
            size_bytes=arrival.size_bytes,
            received_at=arrival.received_at,
            replayed=replayed,
        )
        fate = Fate(arrive_again(session, app.settings, known, repeat, now=now))
        if fate is Fate.KEEP:
            await_answers(session, header, arrival.header_sha256, at=arrival.received_at)
        return fate
    close_unreadable(session, header, now=now)
    job = job_for_arrival(session, header, app.settings, now=now)
    conflict = "" if is_own_header(header) else patient_conflict(session, header)
    if conflict:
        hold_study(session, job, conflict, now=now)
        keep_aside(session, job, arrival.name, "conflicting_patient", now=now)
        return Fate.QUARANTINE
    job.patient_day = patient_day(header.identity)  # of the last word
    session.add(
        Instance(
            sop_uid=header.sop_instance_uid,
            study_uid=header.study_instance_uid,
            series_uid=header.series_instance_uid,
            path=arrival.key,
            size_bytes=arrival.size_bytes,
            header_sha256=arrival.header_sha256,
            pixels_sha256=arrival.pixels_sha256,
            received_at=arrival.received_at,
            header=header.to_json(),
        )
    )
    _add_to_job(session, job, header, now)
    await_answers(session, header, arrival.header_sha256, at=arrival.received_at)
    return Fate.KEEP


def _add_to_job(session: Session, job: Job, header: InstanceHeader, now: float) -> None:
    job.instance_count += 1
    job.last_instance_at = now
    job.pacs_answers_alike = 0
    state = JobState(job.state)
    if is_own_header(header):
        message = "our own result came back: kept, never analysed (loop guard)"
        end = JobState.NOT_ELIGIBLE
        if state is end or end in ARROWS[state]:
            move(session, job, end, message, at=now, reason_code="own_object")
        else:  # ended by other means, and ended it stays
            note(session, job, message, at=now)
        return
    if state in BEFORE_ANALYSIS - {JobState.RECEIVING}:
        move(session, job, JobState.RECEIVING, "late instance: the series waits again", at=now)
    elif state in {JobState.NOT_ELIGIBLE, JobState.FAILED}:
        move(session, job, JobState.RECEIVING, "late instance: the series is judged again", at=now)
    elif state in {JobState.QUARANTINED, JobState.CANCELLED}:
        note(session, job, f"an instance arrived while {state}", at=now)


def newest_arrival_ns(app: Application) -> int:
    """When the newest known instance arrived, rounded up; 0 when there is none.

    A correction that arrives after the clock was set back must still be newer than what it
    corrects, even when the node was started again in between.
    """
    with app.database.read() as session:
        newest = session.scalar(select(func.max(Instance.received_at)))
    return 0 if newest is None else int(newest * 1e9) + ROUNDING_NS


def unstored(session: Session, series_uid: str) -> int:
    """How many instances of a series do not stand in the object store yet."""
    return _count(session, series_uid, Instance.stored.is_(False))


def removed(session: Session, series_uid: str) -> int:
    """How many instances of a series were removed by policy."""
    return _count(session, series_uid, Instance.removed_at.is_not(None))


def _count(session: Session, series_uid: str, which: ColumnElement[bool]) -> int:
    of_series = select(func.count()).where(Instance.series_uid == series_uid, which)
    return session.scalar(of_series) or 0
