"""The index from the files: for a database that was lost, or restored from an older backup.

Every instance in the object store that the database does not know is indexed again, in the
order of arrival that the names keep, through the same code as at arrival. Then the recorded
results are taken up, the files in quarantine and in the inbox, and what was answered to them.
What the database knows already stays as it is, so this may be run at any time, while the node is
stopped; only where an instance stands is put right: in the store, or there no more.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy import select

from dicom_node.receive.spool import is_inbox_name
from workers.application import Application
from workers.errors import StoreUnavailable
from workers.state.alarms import DATABASE_EMPTY, clear_alarm, raise_alarm
from workers.state.database import DATABASE_AWAY, SchemaMismatch
from workers.state.jobs import current_job, note
from workers.state.schema import Instance, Job, KeptAside
from workers.usecases.answer import take_up_answers
from workers.usecases.index import (
    BATCH_SIZE,
    POISON,
    Fate,
    hold_poison,
    index_arrivals,
    index_inbox,
    mark_stored,
    read_arrival,
)
from workers.usecases.prune import finish_removals
from workers.usecases.record import read_records, take_up
from workers.usecases.take_answers import take_answers

log = structlog.get_logger()

DATABASE = "database"
"""Subject of the alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reindexed:
    """What was found that the database did not know."""

    instances: int
    kept_aside: int
    results: int
    found_again: int = 0
    """Instances of which the database did not know that they stand in the store."""
    gone: int = 0
    """Instances that the database counted on and the store does not hold."""


def reindex(app: Application) -> Reindexed:
    """Bring the database up to the files.

    Raises
    ------
    StoreUnavailable
        If the store cannot be read, or is empty though the database knows what is in it; run it
        again then.
    """
    finish_removals(app)
    with app.database.read() as session:
        known = set(session.scalars(select(Instance.path)))
        aside = set(session.scalars(select(KeptAside.name)))
    keys = []
    held = app.store.keys("instances")
    found_again, gone = _put_right(app, frozenset(held))
    for key in held:
        if not is_inbox_name(key.rsplit("/", 1)[-1]):
            log.warning("foreign_object")  # left where it is: nothing of ours
        elif key not in known:
            keys.append(key)
    for start in range(0, len(keys), BATCH_SIZE):
        _replay(app, keys[start : start + BATCH_SIZE])
    records = read_records(app)
    newest = {record["series_uid"]: record["revision"] for record in records}
    results = 0
    for record in records:
        last = newest[record["series_uid"]] == record["revision"]
        with app.database.write() as session:
            results += take_up(session, app.settings, record, newest=last, now=app.now())
    files = [path for path in app.spool.quarantined() if path.name not in aside]
    for path in files:  # after the results that were there when they came
        _look_again(app, path)
    index_inbox(app)
    take_up_answers(app)
    while take_answers(app):
        pass
    with app.database.write() as session:
        clear_alarm(session, DATABASE_EMPTY, DATABASE, at=app.now())
    return Reindexed(
        instances=len(keys), kept_aside=len(files), results=results, found_again=found_again,
        gone=gone,
    )  # fmt: skip


def _put_right(app: Application, held: frozenset[str]) -> tuple[int, int]:
    """Let rows say where their files stand; how many were found, and how many are gone."""
    now = app.now()
    with app.database.read() as session:
        rows = session.execute(select(Instance.sop_uid, Instance.path, Instance.stored)).all()
    found = [uid for uid, path, stored in rows if not stored and path in held]
    gone = [uid for uid, path, stored in rows if stored and path not in held]
    if gone and not held and not app.store.keys("records"):
        why = (
            f"it holds none of {len(gone)} instances that the database knows: is it the right one?"
        )
        raise StoreUnavailable(app.store.describe("instances"), why)
    with app.database.write() as session:
        for uid in found:
            row = session.get_one(Instance, uid)
            row.stored, row.removed_at = True, None
        series: Counter[str] = Counter()
        for uid in gone:
            row = session.get_one(Instance, uid)
            row.stored, row.removed_at = False, now
            series[row.series_uid] += 1
        for series_uid, count in series.items():
            job = current_job(session, series_uid)
            if job is not None:
                note(session, job, f"{count} instances stand in the object store no more", at=now)
    return len(found), len(gone)


def knows_no_job(app: Application) -> bool:
    """Whether the database is there and no job is in it."""
    try:
        app.database.check_version()
        with app.database.read() as session:
            return session.scalars(select(Job.id).limit(1)).first() is None
    except (*DATABASE_AWAY, SchemaMismatch):
        return False


def warn_of_loss(app: Application) -> bool:
    """Raise an alarm when the object store holds instances; for a database that knew no job.

    Nothing is taken up here: an administrator may have a backup that knows more.

    Returns
    -------
    bool
        Whether it was raised; never when store or database cannot be asked.
    """
    try:
        keys = app.store.keys("instances")
        with app.database.read() as session:  # after it: what the node kept meanwhile is known
            held = len(set(keys) - set(session.scalars(select(Instance.path))))
        if not held:
            return False
        message = (
            f"the database knows no job, the object store holds {held} instances: stop the node "
            "and run 'pulmonode reindex'"
        )
        log.error(DATABASE_EMPTY, reason=message, instances=held)
        with app.database.write() as session:
            raise_alarm(session, DATABASE_EMPTY, DATABASE, message, at=app.now())
    except (*DATABASE_AWAY, StoreUnavailable) as error:
        log.warning("loss_not_looked_for", error=type(error).__name__)
        return False
    return True


def _replay(app: Application, keys: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="pulmonode-reindex-") as scratch:
        paths = app.store.local_files(keys, Path(scratch))
        arrivals = [
            read_arrival(path, key.rsplit("/", 1)[-1])
            for path, key in zip(paths, keys, strict=True)
        ]
        fates = index_arrivals(app, arrivals, replayed=True)
    mark_stored(
        app, (item.key for item, fate in zip(arrivals, fates, strict=True) if fate is Fate.KEEP)
    )


def _look_again(app: Application, path: Path) -> None:
    """Write down why a file is kept aside; one that conflicts with nothing now is taken back."""
    try:
        (fate,) = index_arrivals(app, [read_arrival(path, path.name)], replayed=True)
    except DATABASE_AWAY:
        raise
    except POISON as error:
        hold_poison(app, path, error)
        return
    if fate is Fate.KEEP:
        app.spool.take_back(path.name)
