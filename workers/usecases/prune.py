"""Removing what the policy lets go: rows first, then the objects, then a line in the history.

A transaction lets go of the objects and writes down which ones (`Removal`); only then they are
deleted; only when they are gone the line of history says so and the note disappears. Cut off
anywhere, the next run ends what was begun. A key that some row counts on is never deleted, nor
one that the database does not know: that may be an instance of which only the store knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from dicom_node.barriers import Barrier, reach
from dicom_node.receive.spool import is_inbox_name, sop_uid_of
from workers.application import Application
from workers.state.context_tables import UsedContext
from workers.state.jobs import note
from workers.state.retention_tables import Removable, Removal
from workers.state.schema import (
    Commitment,
    Delivery,
    Event,
    Instance,
    Job,
    KeptAside,
    ReportedNodule,
    Result,
    ResultObject,
    Switch,
)
from workers.usecases.record import record_key
from workers.usecases.retain import Due, due_removals

log = structlog.get_logger()

AT_ONCE = 50
"""Of each kind in one run; a run begins again soon."""
BACKUP_RUNS = "backup"
"""Switch: a backup is being made, nothing may be removed under it."""
BACKUP_HOLDS_S = 6 * 3600.0
"""A backup that was cut off holds removal back for so long."""
IN_WORDS = {
    Removable.RECEIVED: "received instances",
    Removable.RESULT: "objects of the result",
    Removable.KEPT_ASIDE: "files kept aside",
    Removable.HISTORY: "lines of history and the headers of its instances",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a run removed."""

    removals: int
    objects: int
    size_bytes: int


def prune(app: Application) -> Pruned:
    """Remove what is due, some of it at once.

    Raises
    ------
    StoreUnavailable
        If the store is away; what was begun is ended by the next run.
    """
    now = app.now()
    if is_held(app):
        return Pruned(removals=0, objects=0, size_bytes=0)
    ended = [finish_removals(app)]
    with app.database.read() as session:
        due = due_removals(session, app.settings, now=now, limit=AT_ONCE)
    for item in due:
        if is_held(app):
            break
        begin_removal(app, item)
        ended.append(finish_removals(app))
    pruned = Pruned(
        removals=sum(item.removals for item in ended),
        objects=sum(item.objects for item in ended),
        size_bytes=sum(item.size_bytes for item in ended),
    )
    if pruned.removals:
        log.info("pruned", moved=pruned.objects, size_bytes=pruned.size_bytes)
    return pruned


def is_held(app: Application) -> bool:
    """Whether a backup is being made."""
    with app.database.read() as session:
        backup = session.get(Switch, BACKUP_RUNS)
        if backup is None or backup.value != "on":
            return False
        return app.now() - backup.changed_at < BACKUP_HOLDS_S


def begin_removal(app: Application, due: Due) -> bool:
    """Let the rows go, and write down what is to be deleted; False when it is not due any more."""
    found = _listed(app, due) if due.what is Removable.RECEIVED else []
    now = app.now()
    with app.database.write() as session:
        again = due_removals(session, app.settings, now=now, limit=1, job_id=due.job_id)
        if all(item.what is not due.what for item in again):
            return False
        job = session.get_one(Job, due.job_id)
        keys, size_bytes = _let_go(session, job, due.what, found, now)
        session.add(
            Removal(
                job_id=job.id, what=due.what, keys=keys, size_bytes=size_bytes, why=due.why,
                begun_at=now,
            )
        )  # fmt: skip
    reach(Barrier.REMOVAL_BEGUN)
    return True


def _listed(app: Application, due: Due) -> list[str]:
    """Everything of a series in the store: copies that newer ones replaced as well."""
    with app.database.read() as session:
        study_uid = session.get_one(Job, due.job_id).study_uid
    return app.store.keys(f"instances/{study_uid}/{due.series_uid}")


def _let_go(
    session: Session, job: Job, what: Removable, found: Sequence[str], now: float
) -> tuple[list[str], int]:
    """Change the rows so that none counts on the objects; their keys and bytes."""
    if what is Removable.RECEIVED:
        return _let_go_received(session, job, found, now)
    if what is Removable.RESULT:
        return _let_go_results(session, job, now)
    if what is Removable.KEPT_ASIDE:
        aside = session.scalars(select(KeptAside).where(KeptAside.job_id == job.id)).all()
        names = [item.name for item in aside]
        for item in aside:
            session.delete(item)
        return names, 0
    return _let_go_history(session, job), 0


def _let_go_received(
    session: Session, job: Job, found: Sequence[str], now: float
) -> tuple[list[str], int]:
    rows = session.scalars(select(Instance).where(Instance.series_uid == job.series_uid)).all()
    known = {row.sop_uid for row in rows}
    names = {key: key.rsplit("/", 1)[-1] for key in found}
    keys = {key for key, name in names.items() if is_inbox_name(name) and sop_uid_of(name) in known}
    size_bytes = 0
    for row in rows:
        if not row.stored:  # still in the inbox, or removed before
            keys.discard(row.path)
            continue
        keys.add(row.path)
        size_bytes += row.size_bytes
        row.stored, row.removed_at = False, now
    return sorted(keys), size_bytes


def _let_go_results(session: Session, job: Job, now: float) -> tuple[list[str], int]:
    """The result's, and those of the revisions that it replaced."""
    keys: list[str] = []
    size_bytes = 0
    for revision in session.scalars(select(Job).where(Job.series_uid == job.series_uid)).all():
        result = session.get(Result, revision.id)
        if result is None or result.removed_at is not None:
            continue
        result.removed_at = now
        objects = session.scalars(
            select(ResultObject).where(ResultObject.job_id == revision.id)
        ).all()
        size_bytes += sum(item.size_bytes for item in objects)
        # The record goes first: without its objects it would be taken up in vain.
        keys.append(record_key(revision.series_uid, revision.revision))
        keys += [result.findings_path, *(item.path for item in objects)]
        if result.features_path is not None:
            keys.append(result.features_path)
    return list(dict.fromkeys(keys)), size_bytes


def _let_go_history(session: Session, job: Job) -> list[str]:
    """The job itself stays, so that no later result of its series takes UIDs that were used."""
    revisions = select(Job.id).where(Job.series_uid == job.series_uid)
    deliveries = select(Delivery.id).where(Delivery.job_id.in_(revisions))
    session.execute(delete(Commitment).where(Commitment.delivery_id.in_(deliveries)))
    session.execute(delete(Event).where(Event.job_id.in_(revisions)))
    session.execute(delete(ReportedNodule).where(ReportedNodule.job_id.in_(revisions)))
    session.execute(delete(UsedContext).where(UsedContext.job_id.in_(revisions)))
    session.execute(delete(Instance).where(Instance.series_uid == job.series_uid))
    for result in session.scalars(select(Result).where(Result.job_id.in_(revisions))):
        result.patient_key = result.study_date = ""
    session.execute(update(Job).where(Job.series_uid == job.series_uid).values(patient_day=""))
    return []


def finish_removals(app: Application) -> Pruned:
    """Delete what was let go, and say so in the histories.

    Raises
    ------
    StoreUnavailable
        If the store is away.
    """
    with app.database.read() as session:
        begun = session.scalars(select(Removal).order_by(Removal.id)).all()
        counted_on = {key for item in begun for key in _counted_on(session, item)}
    objects = 0
    for item in begun:
        keys = [key for key in item.keys if key not in counted_on]
        if item.what == Removable.KEPT_ASIDE:
            for name in keys:
                app.spool.discard_quarantined(name)
        else:
            app.store.remove(keys)
        reach(Barrier.REMOVAL_DELETED)
        objects += len(keys)
        now = app.now()
        with app.database.write() as session:
            job = session.get_one(Job, item.job_id)
            note(session, job, _message(item, len(keys)), at=now)
            session.delete(session.get_one(Removal, item.id))
    return Pruned(
        removals=len(begun), objects=objects, size_bytes=sum(item.size_bytes for item in begun)
    )


def _counted_on(session: Session, item: Removal) -> list[str]:
    """Keys of a removal that a row counts on (again), such as of a result of the same bytes."""
    if item.what == Removable.RESULT:
        live = Result.removed_at.is_(None)
        results = session.execute(
            select(Result.findings_path, Result.features_path).where(
                live, or_(Result.findings_path.in_(item.keys), Result.features_path.in_(item.keys))
            )
        )
        objects = session.scalars(
            select(ResultObject.path)
            .join(Result, Result.job_id == ResultObject.job_id)
            .where(live, ResultObject.path.in_(item.keys))
        )
        return [*objects, *(key for row in results for key in row if key is not None)]
    if item.what == Removable.KEPT_ASIDE:
        aside = select(KeptAside.name).where(KeptAside.name.in_(item.keys))
        return list(session.scalars(aside))
    rows = select(Instance.path).where(Instance.path.in_(item.keys), Instance.removed_at.is_(None))
    return list(session.scalars(rows))


def _message(item: Removal, objects: int) -> str:
    what = IN_WORDS[Removable(item.what)]
    if item.what == Removable.HISTORY:
        return f"removed by the retention policy: {what} ({item.why})"
    size = f", {item.size_bytes / 1e6:.1f} MB" if item.size_bytes else ""
    return f"removed by the retention policy: {objects} {what}{size} ({item.why})"
