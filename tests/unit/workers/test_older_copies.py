"""A copy that arrived before the known one comes after it: it replaces and corrects nothing."""

from __future__ import annotations

import copy
from pathlib import Path

from pydicom.dataset import Dataset

from tests.integration.bad_series import plain_series
from tests.unit.workers.rows import accept, aside, history, job_of, receive
from workers.application import Application
from workers.state.schema import Instance, JobState
from workers.usecases.administer import retry
from workers.usecases.index import index_inbox


def corrected(ds: Dataset) -> Dataset:
    copied = copy.deepcopy(ds)
    copied.PatientName = "Right^Name"
    return copied


def uid_of(ds: Dataset) -> str:
    return str(ds.SeriesInstanceUID)


def instance(app: Application, ds: Dataset) -> Instance:
    with app.database.read() as session:
        return session.get_one(Instance, str(ds.SOPInstanceUID))


def stranger_then_corrected(app: Application, folder: Path) -> tuple[Dataset, str]:
    """A series that came for the wrong patient and again for the right one.

    Returns it as it is right, and the name of the wrong file, which is kept aside.
    """
    (first,), (second,) = (plain_series(key, slices=1) for key in ("first", "second"))
    second.StudyInstanceUID = first.StudyInstanceUID
    second.PatientName, second.PatientID = first.PatientName, first.PatientID
    wrong = copy.deepcopy(second)
    wrong.PatientName, wrong.PatientID = "Wrong^Name", "wrong"
    receive(app, folder, first)
    receive(app, folder, wrong)
    receive(app, folder, second)
    (held,) = app.spool.quarantined()
    return second, held.name


def test_a_retry_does_not_bring_the_wrong_patient_back_over_the_corrected_one(
    app: Application, tmp_path: Path
) -> None:
    ds, name = stranger_then_corrected(app, tmp_path)

    retry(app, uid_of(ds))
    index_inbox(app)

    job = job_of(app, uid_of(ds))
    assert instance(app, ds).header["identity"]["patient_name"] == str(ds.PatientName)
    assert (job.state, job.revision, job.correction) == (JobState.RECEIVING, 1, None)
    assert aside(app) == [(name, "conflicting_patient")]
    assert [path.name for path in app.spool.quarantined()] == [name]


def test_a_copy_older_than_the_known_one_is_kept_aside_in_view_and_corrects_nothing(
    app: Application, tmp_path: Path
) -> None:
    ds, name = stranger_then_corrected(app, tmp_path)
    retry(app, uid_of(ds))
    app.spool.take_back(name)

    index_inbox(app)

    job = job_of(app, uid_of(ds))
    assert instance(app, ds).header["identity"]["patient_name"] == str(ds.PatientName)
    assert (job.state, job.revision, job.correction) == (JobState.RECEIVING, 1, None)
    assert aside(app) == [(name, "older_copy")]
    assert [path.name for path in app.spool.quarantined()] == [name]
    assert history(app, job.id)[-1].startswith(f"an older copy of {ds.SOPInstanceUID}")


def test_a_whole_copy_older_than_the_cut_one_that_is_known_repairs_nothing(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("older, whole", slices=1)
    accept(app, tmp_path, corrected(ds))
    (older,) = app.spool.inbox()
    app.spool.quarantine(older)
    receive(app, tmp_path, ds, cut=100)
    app.spool.take_back(older.name)

    index_inbox(app)

    assert instance(app, ds).header["truncated"]
    assert aside(app) == [(older.name, "pixels_changed")]


def test_an_older_copy_that_says_the_same_goes(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("older, equal", slices=1)
    accept(app, tmp_path, ds)
    (older,) = app.spool.inbox()
    app.spool.quarantine(older)
    receive(app, tmp_path, ds)
    app.spool.take_back(older.name)

    index_inbox(app)

    assert instance(app, ds).times_received == 2
    assert (app.spool.inbox(), app.spool.quarantined()) == ([], [])


def test_copies_of_one_moment_are_told_apart_by_the_nanoseconds_of_their_names(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("the clock was set back", slices=1)
    app.spool._last_stamp = 2**62
    receive(app, tmp_path, ds)

    receive(app, tmp_path, corrected(ds))

    assert job_of(app, uid_of(ds)).correction == "patient_name"
