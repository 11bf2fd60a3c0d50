"""From the inbox to jobs, without network: what arrives again, late, cut or for another patient."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from dicom_node.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME
from dicom_node.errors import SeriesRejected
from tests.integration.bad_series import plain_series, save
from tests.unit.workers.rows import accept
from workers.application import Application
from workers.errors import IllegalTransition, StoreUnavailable
from workers.state.jobs import current_job, move
from workers.state.schema import Event, Instance, Job, JobState, Result
from workers.state.store import FolderStore
from workers.usecases import index
from workers.usecases.index import index_inbox


def receive(app: Application, tmp_path: Path, *datasets: Dataset, cut: int = 0) -> None:
    """Accept files as the SCP does, and index them."""
    for path in save(datasets, tmp_path / "sent"):
        data = path.read_bytes()
        uid = str(datasets[int(path.stem)].SOPInstanceUID)
        app.spool.accept(uid, data[: len(data) - cut])
    index_inbox(app)


def job_of(app: Application, uid: str) -> Job:
    with app.database.read() as session:
        job = current_job(session, uid)
        assert job is not None
        return job


def set_state(app: Application, uid: str, *states: JobState) -> None:
    with app.database.write() as session:
        job = current_job(session, uid)
        assert job is not None
        for state in states:
            move(session, job, state, "test", at=1.0)
        if JobState.ANALYSED in states:
            session.add(
                Result(
                    job_id=job.id,
                    fencing_token=1,
                    committed_at=1.0,
                    findings_path="x",
                    findings_sha256="x",
                    identity_sha256="x",
                    nodule_count=0,
                )
            )


def stored(app: Application) -> list[Path]:
    with app.database.read() as session:
        return [Path(app.store.describe(key)) for key in session.scalars(select(Instance.path))]


def test_every_file_leaves_the_inbox_for_the_place_that_its_row_names(
    app: Application, tmp_path: Path
) -> None:
    datasets = plain_series("filed", slices=5)

    receive(app, tmp_path, *datasets)

    assert app.spool.inbox() == []
    assert len(stored(app)) == 5
    assert all(path.is_file() for path in stored(app))
    job = job_of(app, str(datasets[0].SeriesInstanceUID))
    assert (job.state, job.instance_count, job.revision) == (JobState.RECEIVING, 5, 1)


def test_the_same_file_twice_changes_nothing(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("twice", slices=1)

    receive(app, tmp_path, ds, ds)
    receive(app, tmp_path, ds)

    job = job_of(app, str(ds.SeriesInstanceUID))
    assert (job.state, job.instance_count) == (JobState.RECEIVING, 1)
    assert app.spool.inbox() == []
    with app.database.read() as session:
        assert session.get_one(Instance, str(ds.SOPInstanceUID)).times_received == 3


def test_a_crash_before_the_file_was_stored_is_healed_at_the_next_look(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("crash", slices=1)
    receive(app, tmp_path, ds)
    (path,) = stored(app)
    path.rename(app.spool.inbox_dir / path.name)
    with app.database.write() as session:
        session.get_one(Instance, str(ds.SOPInstanceUID)).stored = False

    index_inbox(app)

    assert path.is_file()
    assert app.spool.inbox() == []
    with app.database.read() as session:
        instance = session.get_one(Instance, str(ds.SOPInstanceUID))
        assert (instance.stored, instance.times_received) == (True, 1)


def test_while_the_store_is_away_files_wait_in_the_inbox_and_are_counted_once(
    app: Application, tmp_path: Path
) -> None:
    datasets = plain_series("store away", slices=3)
    root, away = Path(app.settings.object_store_url), tmp_path / "away"
    root.rename(away)

    with pytest.raises(StoreUnavailable):
        receive(app, tmp_path, *datasets)
    waiting = len(app.spool.inbox())
    away.rename(root)
    index_inbox(app)

    job = job_of(app, str(datasets[0].SeriesInstanceUID))
    assert (waiting, job.instance_count) == (3, 3)
    assert app.spool.inbox() == []
    assert all(path.is_file() for path in stored(app))


@pytest.mark.parametrize(
    ("states", "state", "revision"),
    [
        ((JobState.COMPLETE,), JobState.RECEIVING, 1),
        ((JobState.COMPLETE, JobState.QUEUED), JobState.RECEIVING, 1),
        ((JobState.NOT_ELIGIBLE,), JobState.RECEIVING, 1),
        ((JobState.COMPLETE, JobState.QUEUED, JobState.ANALYSING), JobState.RECEIVING, 2),
        (
            (JobState.COMPLETE, JobState.QUEUED, JobState.ANALYSING, JobState.ANALYSED),
            JobState.RECEIVING,
            2,
        ),
        ((JobState.CANCELLED,), JobState.CANCELLED, 1),
    ],
)
def test_a_late_instance_is_taken_up_as_far_as_the_job_has_come(
    app: Application,
    tmp_path: Path,
    states: tuple[JobState, ...],
    state: JobState,
    revision: int,
) -> None:
    first, late = plain_series("late", slices=2)
    uid = str(first.SeriesInstanceUID)
    receive(app, tmp_path, first)
    set_state(app, uid, *states)

    receive(app, tmp_path, late)

    job = job_of(app, uid)
    assert (job.state, job.revision, job.instance_count) == (state, revision, 2)


def test_a_corrected_header_counts_and_both_files_are_kept(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("corrected", slices=1)
    receive(app, tmp_path, ds)
    (before,) = stored(app)
    ds.PatientName = "Corrected^Name"

    receive(app, tmp_path, ds)

    job = job_of(app, str(ds.SeriesInstanceUID))
    assert (job.state, job.correction, job.instance_count) == (
        JobState.RECEIVING,
        "patient_name",
        1,
    )
    (after,) = stored(app)
    assert before != after
    assert before.is_file()
    assert after.is_file()


def test_after_a_result_a_changed_image_makes_a_held_revision_and_leaves_the_result(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("changed later", slices=1)
    uid = str(ds.SeriesInstanceUID)
    receive(app, tmp_path, ds)
    set_state(app, uid, JobState.COMPLETE, JobState.QUEUED, JobState.ANALYSING, JobState.ANALYSED)
    ds.PixelData = bytes(len(ds.PixelData))

    receive(app, tmp_path, ds)

    with app.database.read() as session:
        jobs = session.scalars(select(Job).order_by(Job.revision)).all()
        assert [(job.revision, job.state) for job in jobs] == [
            (1, JobState.ANALYSED),
            (2, JobState.QUARANTINED),
        ]


def test_a_whole_copy_repairs_an_instance_that_was_cut_short(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("repaired", slices=1)
    uid = str(ds.SeriesInstanceUID)
    receive(app, tmp_path, ds, cut=100)
    with app.database.write() as session:
        job = current_job(session, uid)
        assert job is not None
        move(session, job, JobState.QUARANTINED, "cut", at=1.0, reason_code="truncated")

    receive(app, tmp_path, ds)

    job = job_of(app, uid)
    assert (job.state, job.instance_count) == (JobState.RECEIVING, 1)
    (path,) = stored(app)
    assert path.stat().st_size == (tmp_path / "sent/0000.dcm").stat().st_size


def test_a_readable_copy_ends_the_job_of_the_unreadable_one(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("readable", slices=1)
    size = save([ds], tmp_path / "size")[0].stat().st_size
    receive(app, tmp_path, ds, cut=size - 420)
    unreadable = job_of(app, str(ds.SOPInstanceUID))

    receive(app, tmp_path, ds)

    assert (unreadable.state, unreadable.reason_code) == (JobState.QUARANTINED, "unreadable")
    assert job_of(app, str(ds.SOPInstanceUID)).state == JobState.SUPERSEDED
    assert job_of(app, str(ds.SeriesInstanceUID)).state == JobState.RECEIVING


def test_a_stranger_in_the_study_holds_all_of_it_and_names_nobody(
    app: Application, tmp_path: Path
) -> None:
    (ours,) = plain_series("ours", slices=1)
    (stranger,) = plain_series("stranger", slices=1)
    stranger.StudyInstanceUID = ours.StudyInstanceUID

    receive(app, tmp_path, ours)
    receive(app, tmp_path, stranger)

    for ds in (ours, stranger):
        assert job_of(app, str(ds.SeriesInstanceUID)).reason_code == "conflicting_patient"
    with app.database.read() as session:
        told = " ".join(session.scalars(select(Event.message)))
    assert "Name^" not in told
    assert "ID-" not in told


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """Let the store not take these inbox files; returns which files it is asked to take."""
    asked: list[str] = []
    put_file = FolderStore.put_file

    def put_some(self: FolderStore, key: str, source: Path) -> None:
        asked.append(source.name)
        if source.name in names:
            raise StoreUnavailable(key, "PermissionError")
        put_file(self, key, source)

    monkeypatch.setattr(FolderStore, "put_file", put_some)
    return asked


def test_a_file_that_the_store_does_not_take_holds_no_other_up(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bad,) = plain_series("refused", slices=1)
    good = plain_series("behind it", slices=2)
    accept(app, tmp_path, bad)
    (stuck,) = app.spool.inbox()
    accept(app, tmp_path, *good)
    refuse(monkeypatch, stuck.name)

    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="PermissionError"):
            index_inbox(app)

    assert app.spool.inbox() == [stuck]
    assert job_of(app, str(good[0].SeriesInstanceUID)).instance_count == 2
    job = job_of(app, str(bad.SeriesInstanceUID))
    assert (job.state, job.instance_count) == (JobState.RECEIVING, 1)
    with app.database.read() as session:
        kept = {row.sop_uid: row.stored for row in session.scalars(select(Instance))}
        assert kept == {str(bad.SOPInstanceUID): False} | {
            str(ds.SOPInstanceUID): True for ds in good
        }


def test_many_files_in_a_row_that_the_store_does_not_take_hold_no_other_up(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(app, tmp_path, *plain_series("refused", slices=7))
    stuck = app.spool.inbox()
    (good,) = plain_series("behind them", slices=1)
    accept(app, tmp_path, good)
    refuse(monkeypatch, *(path.name for path in stuck))

    with pytest.raises(StoreUnavailable):
        index_inbox(app)

    assert app.spool.inbox() == stuck
    assert len([path for path in stored(app) if path.is_file()]) == 1


def test_a_store_that_is_away_is_not_asked_for_every_file(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(app, tmp_path, *plain_series("store away", slices=9))
    Path(app.settings.object_store_url).rename(tmp_path / "away")
    monkeypatch.setattr(index, "BATCH_SIZE", 2)
    asked = refuse(monkeypatch)

    with pytest.raises(StoreUnavailable):
        index_inbox(app)

    assert len(asked) == 3
    assert len(app.spool.inbox()) == 9


def test_a_file_that_the_disk_does_not_give_waits_and_holds_no_other_up(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = plain_series("one sector", slices=2)
    accept(app, tmp_path, bad)
    (stuck,) = app.spool.inbox()
    accept(app, tmp_path, good)
    once = Path.open

    def failing(self: Path, *arguments: Any, **more: Any) -> Any:
        if self.name == stuck.name:
            raise OSError(errno.EIO, "Input/output error")
        return once(self, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing)
        with pytest.raises(OSError, match="Input/output error"):
            index_inbox(app)
    job = job_of(app, str(good.SeriesInstanceUID))
    waiting = app.spool.inbox()
    index_inbox(app)

    assert (job.instance_count, waiting) == (1, [stuck])
    assert job_of(app, str(good.SeriesInstanceUID)).instance_count == 2
    assert (app.spool.inbox(), app.spool.quarantined()) == ([], [])


def ours(ds: Dataset) -> Dataset:
    ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, MANUFACTURER_MODEL_NAME
    ds.Modality = "SR"
    return ds


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.QUARANTINED, JobState.FAILED])
def test_our_own_result_that_comes_back_to_a_job_that_was_ended_leaves_it_so(
    app: Application, tmp_path: Path, state: JobState
) -> None:
    one, two = (ours(ds) for ds in plain_series("own", slices=2))
    receive(app, tmp_path, one)
    uid = str(one.SeriesInstanceUID)
    if state is JobState.FAILED:
        set_state(app, uid, JobState.RECEIVING)
    set_state(app, uid, state)

    receive(app, tmp_path, two)

    job = job_of(app, uid)
    assert (job.state, job.instance_count) == (state, 2)
    assert app.spool.inbox() == []
    with app.database.read() as session:
        last = session.scalars(select(Event.message).order_by(Event.id.desc())).first()
    assert last == "our own result came back: kept, never analysed (loop guard)"


def test_our_own_result_under_the_name_before_a_correction_holds_nothing(
    app: Application, tmp_path: Path
) -> None:
    first, late = plain_series("the patient", slices=2)
    (report,) = plain_series("our report", slices=1)
    report.StudyInstanceUID = first.StudyInstanceUID
    report.PatientName, report.PatientID = "Before^Correction", "before"
    receive(app, tmp_path, first)

    receive(app, tmp_path, ours(report))
    receive(app, tmp_path, late)

    assert job_of(app, str(report.SeriesInstanceUID)).reason_code == "own_object"
    job = job_of(app, str(first.SeriesInstanceUID))
    assert (job.state, job.instance_count) == (JobState.RECEIVING, 2)


@pytest.mark.parametrize("error", [IllegalTransition(1, "a", "b"), SeriesRejected("code", "why")])
def test_an_error_of_our_own_that_nobody_foresaw_is_one_files_and_not_the_inboxs(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    poison, good = plain_series("our own error", slices=2)
    accept(app, tmp_path, poison, good)
    once = index.job_for_arrival

    def job_for_arrival(session, header, settings, *, now):  # type: ignore[no-untyped-def]
        if header.sop_instance_uid == str(poison.SOPInstanceUID):
            raise error
        return once(session, header, settings, now=now)

    monkeypatch.setattr(index, "job_for_arrival", job_for_arrival)

    index_inbox(app)

    assert job_of(app, str(good.SeriesInstanceUID)).instance_count == 1
    assert job_of(app, str(poison.SOPInstanceUID)).reason_code == "unreadable"
    assert (len(app.spool.inbox()), len(app.spool.quarantined())) == (0, 1)
