"""From the inbox to jobs, without network: what arrives again, late, cut or for another patient."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from tests.integration.bad_series import plain_series, save
from workers.application import Application
from workers.errors import StoreUnavailable
from workers.state.jobs import current_job, move
from workers.state.schema import Event, Instance, Job, JobState, Result
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
