"""Audit messages of what the state database tells: series that came in, users of the console.

The number of the last row that was told stands in the database, and moves after the messages are
kept: none is forgotten by a crash, one may be told twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.audit import events
from dicom_node.audit.events import Origin, Transfer
from dicom_node.audit.message import AuditMessage
from workers.application import Application
from workers.audit_trail.spool import AuditSpool
from workers.audit_trail.trail import origin_of
from workers.state.access_tables import AuditRecord
from workers.state.schema import Event, Instance, Job, JobState, Switch

SERIES, CONSOLE = "dicom_audit:series", "dicom_audit:console"
ROWS_AT_ONCE = 500
DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """Messages to keep, and the row up to which they tell."""

    messages: tuple[AuditMessage, ...]
    until: int


def follow(app: Application) -> int:
    """Keep messages of what is new; returns how many.

    Raises
    ------
    OSError
        If the disk does not take them: they are told the next time.
    """
    if app.settings.dicom_audit is None:
        return 0
    origin = origin_of(app.settings)
    count = 0
    for name, table, read in (
        (SERIES, Event, _of_series),
        (CONSOLE, AuditRecord, _of_console),
    ):
        with app.database.read() as session:
            switch = session.get(Switch, name)
            newest = session.scalar(select(func.max(table.id))) or 0
            since = int(switch.value) if switch is not None else newest
            told = read(session, origin, since)
        spool = AuditSpool(app.settings.data_dir)
        for message in told.messages:
            spool.put(message)
        if switch is None or told.until != since:
            now = app.now()
            with app.database.write() as session:
                session.merge(Switch(name=name, value=str(told.until), changed_at=now))
        count += len(told.messages)
    return count


def _of_series(session: Session, origin: Origin, since: int) -> _Told:
    new = session.execute(
        select(Event.id, Event.job_id)
        .where(Event.id > since)
        .order_by(Event.id)
        .limit(ROWS_AT_ONCE)
    ).all()
    if not new:
        return _Told(messages=(), until=since)
    until = new[-1][0]
    messages: list[AuditMessage] = []
    for job_id in dict.fromkeys(job_id for _, job_id in new):
        messages += _of_job(session, origin, job_id, since, until)
    return _Told(messages=tuple(messages), until=until)


def _of_job(
    session: Session, origin: Origin, job_id: int, since: int, until: int
) -> Iterator[AuditMessage]:
    """A series begins to come in with its job's first line, and is here when it is judged."""
    job = session.get(Job, job_id)
    transfer = None if job is None else _transfer(session, job)
    if job is None or transfer is None:
        return
    lines = session.execute(
        select(Event.id, Event.state, Event.at)
        .where(Event.job_id == job_id, Event.id <= until)
        .order_by(Event.id)
    )
    before: str | None = None
    for number, state, at in lines:
        if number > since and before is None and state == JobState.RECEIVING:
            yield events.begin_transferring(origin, transfer, at=at)
        if number > since and before == JobState.RECEIVING != state:
            changed = job.revision > 1
            yield events.instances_transferred(origin, transfer, at=at, changed=changed)
        before = state


def _transfer(session: Session, job: Job) -> Transfer | None:
    """What came in for a job; `None` where nothing of it could be read."""
    headers = session.scalars(
        select(Instance.header).where(Instance.series_uid == job.series_uid)
    ).all()
    if not headers:
        return None
    identity = headers[-1]["identity"]
    return Transfer(
        outgoing=False,
        peer_ae_title=job.calling_ae,
        peer_host="",
        study_instance_uid=job.study_uid,
        patient_id=identity.get("patient_id", ""),
        accession_number=identity.get("accession_number", ""),
        sop_classes=Counter(header["sop_class_uid"] for header in headers),
    )


def _of_console(session: Session, origin: Origin, since: int) -> _Told:
    rows = session.scalars(
        select(AuditRecord)
        .where(AuditRecord.id > since)
        .order_by(AuditRecord.id)
        .limit(ROWS_AT_ONCE)
    ).all()
    messages = [message for row in rows if (message := _of_record(origin, row)) is not None]
    return _Told(messages=tuple(messages), until=rows[-1].id if rows else since)


def _of_record(origin: Origin, row: AuditRecord) -> AuditMessage | None:
    if row.action in {"sign_in", "sign_out"}:
        return events.user_authentication(
            origin,
            user=row.who,
            address=row.address,
            login=row.action == "sign_in",
            succeeded=row.outcome == DONE,
            at=row.at,
        )
    return None
