"""A database that was lost, or restored from an older backup, is rebuilt from the files."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from tests.integration.bad_series import plain_series
from tests.unit.workers.rows import (
    accept,
    alarms,
    aside,
    change,
    commit,
    count,
    job_of,
    lose_database,
    receive,
    revisions,
)
from workers.application import Application
from workers.errors import StoreUnavailable
from workers.state.schema import (
    Event,
    Instance,
    Job,
    JobState,
)
from workers.state.store import FolderStore
from workers.usecases import index
from workers.usecases.index import index_inbox
from workers.usecases.record import record_due
from workers.usecases.reindex import Reindexed, knows_no_job, reindex, warn_of_loss

NOTHING = Reindexed(instances=0, kept_aside=0, results=0)


def uid_of(ds: Dataset) -> str:
    return str(ds.SeriesInstanceUID)


def corrected(ds: Dataset) -> Dataset:
    copied = copy.deepcopy(ds)
    copied.PatientName = "Right^Name"
    return copied


def test_reindexing_a_database_that_knows_all_changes_nothing(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("known", slices=1)
    receive(app, tmp_path, ds)
    app.spool.accept("1.2.3", b"no DICOM")
    index_inbox(app)
    commit(app, uid_of(ds))
    record_due(app)
    before = count(app, Event)

    assert reindex(app) == NOTHING
    assert count(app, Event) == before


def test_every_instance_of_a_lost_database_is_indexed_again_and_waits(
    app: Application, tmp_path: Path
) -> None:
    datasets = plain_series("lost", slices=3)
    receive(app, tmp_path, *datasets)
    with app.database.read() as session:
        before = sorted(session.scalars(select(Instance.path)))
    lose_database(app)

    assert reindex(app).instances == 3

    with app.database.read() as session:
        rows = session.scalars(select(Instance)).all()
        assert sorted(row.path for row in rows) == before
        assert all(row.stored for row in rows)
    job = job_of(app, uid_of(datasets[0]))
    assert (job.state, job.instance_count) == (JobState.RECEIVING, 3)


def test_what_still_stood_in_the_inbox_is_indexed_after_what_came_before_it(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("inbox", slices=1)
    receive(app, tmp_path, ds)
    lose_database(app)
    accept(app, tmp_path, corrected(ds))

    reindex(app)

    assert job_of(app, uid_of(ds)).correction == "patient_name"
    assert app.spool.inbox() == []


def test_the_newest_copy_counts_again_after_a_rebuild(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("copies", slices=1)
    receive(app, tmp_path, ds)
    receive(app, tmp_path, corrected(ds))
    lose_database(app)

    reindex(app)

    with app.database.read() as session:
        (row,) = session.scalars(select(Instance))
        assert row.header["identity"]["patient_name"] == "Right^Name"


def test_a_half_lost_index_takes_no_older_copy_for_a_correction(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("half lost", slices=1)
    receive(app, tmp_path, ds)
    receive(app, tmp_path, corrected(ds))
    change(app, Job, job_of(app, uid_of(ds)).id, correction=None)

    reindex(app)

    assert job_of(app, uid_of(ds)).correction is None
    with app.database.read() as session:
        (row,) = session.scalars(select(Instance))
        assert row.header["identity"]["patient_name"] == "Right^Name"


def test_what_was_kept_aside_is_seen_again(app: Application) -> None:
    app.spool.accept("1.2.3", b"no DICOM")
    index_inbox(app)
    before = aside(app)
    lose_database(app)

    assert reindex(app).kept_aside == 1

    assert aside(app) == before
    assert job_of(app, "1.2.3").reason_code == "unreadable"


def test_other_pixels_are_held_again_beside_the_result_that_they_came_after(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("pixels", slices=1)
    receive(app, tmp_path, ds)
    commit(app, uid_of(ds))
    record_due(app)
    other = copy.deepcopy(ds)
    other.PixelData = bytes(len(ds.PixelData))
    receive(app, tmp_path, other)
    before = revisions(app, uid_of(ds))
    lose_database(app)

    reindex(app)

    assert revisions(app, uid_of(ds)) == before
    assert before == [(1, JobState.SUPERSEDED), (2, JobState.QUARANTINED)]
    assert ("job_stopped", str(job_of(app, uid_of(ds)).id)) in alarms(app)


def test_other_pixels_are_held_again_though_a_newer_copy_was_accepted_after_them(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("pixels, then corrected", slices=1)
    receive(app, tmp_path, ds)
    other = copy.deepcopy(ds)
    other.PixelData = bytes(len(ds.PixelData))
    receive(app, tmp_path, other)
    receive(app, tmp_path, corrected(ds))
    before = (revisions(app, uid_of(ds)), aside(app))
    lose_database(app)

    reindex(app)

    assert (revisions(app, uid_of(ds)), aside(app)) == before
    assert before[0] == [(1, JobState.QUARANTINED)]


def test_a_cut_copy_that_was_repaired_is_no_lie_to_a_half_lost_index(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("cut, then repaired", slices=1)
    receive(app, tmp_path, ds, cut=100)
    receive(app, tmp_path, ds)

    reindex(app)

    assert revisions(app, uid_of(ds)) == [(1, JobState.RECEIVING)]


def test_a_file_that_nobody_foresaw_does_not_stop_the_rebuild(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (poison,) = plain_series("poison", slices=1)

    def job_for_arrival(*_arguments: object, **_more: object) -> None:
        raise LookupError("nobody foresaw this")

    monkeypatch.setattr(index, "job_for_arrival", job_for_arrival)
    receive(app, tmp_path, poison)
    lose_database(app)

    assert reindex(app).kept_aside == 1

    assert job_of(app, str(poison.SOPInstanceUID)).reason_code == "unreadable"
    assert len(app.spool.quarantined()) == 1


def test_a_file_in_the_store_that_is_not_ours_is_left_alone(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("beside it", slices=1)
    receive(app, tmp_path, ds)
    app.store.put_bytes("instances/1.2/1.2.3/thumbs.db", b"x")
    lose_database(app)

    assert reindex(app).instances == 1

    assert app.store.exists("instances/1.2/1.2.3/thumbs.db")


def test_a_file_that_was_kept_aside_and_conflicts_no_more_comes_into_the_store(
    app: Application, tmp_path: Path
) -> None:
    (ours,) = plain_series("ours", slices=1)
    (stranger,) = plain_series("stranger", slices=1)
    stranger.StudyInstanceUID = ours.StudyInstanceUID
    receive(app, tmp_path, ours)
    receive(app, tmp_path, stranger)
    ours.PatientID, ours.PatientName = stranger.PatientID, stranger.PatientName
    receive(app, tmp_path, ours)
    lose_database(app)

    reindex(app)

    with app.database.read() as session:
        row = session.get_one(Instance, str(stranger.SOPInstanceUID))
        assert row.stored
        assert app.store.exists(row.path)
    assert app.spool.quarantined() == []


def test_an_empty_database_beside_a_store_with_instances_raises_an_alarm_until_reindexed(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("alarming", slices=1)
    receive(app, tmp_path, ds)
    known = knows_no_job(app)
    lose_database(app)

    assert (known, knows_no_job(app)) == (False, True)
    assert warn_of_loss(app)
    assert alarms(app) == [("database_empty", "database")]
    reindex(app)
    assert alarms(app) == []


def test_a_new_database_beside_an_empty_store_is_no_loss(app: Application) -> None:
    assert knows_no_job(app)
    assert not warn_of_loss(app)
    assert alarms(app) == []


def test_what_was_received_since_the_start_is_no_loss(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("first of a site", slices=1)
    receive(app, tmp_path, ds)

    assert not warn_of_loss(app)


def test_a_store_that_is_away_says_nothing_of_a_loss(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_store: FolderStore, prefix: str) -> list[str]:
        raise StoreUnavailable(prefix, "no answer")

    monkeypatch.setattr(FolderStore, "keys", away)

    assert not warn_of_loss(app)


def test_a_database_that_cannot_be_asked_is_not_taken_for_an_empty_one(app: Application) -> None:
    app.database.close()
    for path in app.settings.data_dir.glob("state.sqlite*"):
        path.unlink()

    assert not knows_no_job(app)
