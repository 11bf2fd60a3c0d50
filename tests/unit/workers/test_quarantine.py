"""What is held for a person, and which files are kept aside for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_node.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME
from tests.integration.bad_series import plain_series, save
from tests.unit.workers.rows import (
    add_job,
    add_result,
    alarms,
    analysed,
    aside,
    count,
    delivery_states,
    get_job,
    history,
    job_of,
    receive,
    set_state,
)
from workers.application import Application
from workers.state.schema import DeliveryState, Instance, Job, JobState
from workers.usecases import index, revise
from workers.usecases.index import index_inbox
from workers.usecases.quarantine import hold_job

NO_DICOM = b"this is no DICOM file"


def uid_of(ds: Dataset) -> str:
    return str(ds.SeriesInstanceUID)


def into_study_of(ours: Dataset, stranger: Dataset) -> Dataset:
    stranger.StudyInstanceUID = ours.StudyInstanceUID
    return stranger


def hold(app: Application, job_id: int, code: str = "truncated") -> None:
    with app.database.write() as session:
        hold_job(session, session.get_one(Job, job_id), code, "why", now=1.0)


@pytest.mark.parametrize("state", [JobState.SUPERSEDED, JobState.QUARANTINED, JobState.CANCELLED])
def test_a_job_that_was_ended_is_not_held_but_told(app: Application, state: JobState) -> None:
    job_id = add_job(app, state, reason_code="before")

    hold(app, job_id)

    job = get_job(app, job_id)
    assert (job.state, job.reason_code) == (state, "before")
    assert history(app, job_id) == ["why"]


def test_a_held_job_has_its_reason_and_calls_somebody(app: Application) -> None:
    job_id = add_job(app, JobState.RECEIVING)

    hold(app, job_id)

    job = get_job(app, job_id)
    assert (job.state, job.reason_code, job.reason) == (JobState.QUARANTINED, "truncated", "why")
    assert alarms(app) == [("job_stopped", str(job_id))]


def test_a_file_that_cannot_be_read_is_a_job_of_its_own(app: Application) -> None:
    app.spool.accept("1.2.3.4", NO_DICOM)

    index_inbox(app)

    job = job_of(app, "1.2.3.4")
    (held,) = app.spool.quarantined()
    assert (job.state, job.reason_code) == (JobState.QUARANTINED, "unreadable")
    assert aside(app) == [(held.name, "unreadable")]
    assert held.read_bytes() == NO_DICOM


def test_an_unreadable_file_that_is_sent_again_is_one_job(app: Application) -> None:
    for _ in range(3):
        app.spool.accept("1.2.3.4", NO_DICOM)
        index_inbox(app)

    assert count(app, Job) == 1
    assert len(aside(app)) == len(app.spool.quarantined()) == 3


def test_an_unreadable_copy_of_our_own_result_is_no_job(app: Application) -> None:
    add_result(app, add_job(app, JobState.CONFIRMED), sop_uid="1.2.9")
    app.spool.accept("1.2.9", NO_DICOM)

    index_inbox(app)

    assert count(app, Job) == 1
    assert len(app.spool.quarantined()) == 1


def test_one_bad_file_holds_none_of_its_batch_back(app: Application, tmp_path: Path) -> None:
    datasets = plain_series("batch", slices=3)
    app.spool.accept("1.2.3.4", NO_DICOM)

    receive(app, tmp_path, *datasets)

    assert job_of(app, uid_of(datasets[0])).instance_count == 3


def test_a_file_that_nobody_foresaw_is_kept_aside_and_the_others_are_indexed(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, poison = plain_series("poison", slices=2)
    paths = save([good, poison], tmp_path / "sent")
    once = revise.job_for_arrival

    def job_for_arrival(session, header, settings, *, now):  # type: ignore[no-untyped-def]
        if header.sop_instance_uid == str(poison.SOPInstanceUID):
            raise LookupError("nobody foresaw this")
        return once(session, header, settings, now=now)

    monkeypatch.setattr(index, "job_for_arrival", job_for_arrival)
    for path, ds in zip(paths, (good, poison), strict=True):
        app.spool.accept(str(ds.SOPInstanceUID), path.read_bytes())

    index_inbox(app)

    assert job_of(app, uid_of(good)).instance_count == 1
    assert job_of(app, str(poison.SOPInstanceUID)).reason_code == "unreadable"
    assert len(app.spool.quarantined()) == 1
    assert app.spool.inbox() == []


def test_a_strangers_file_stays_out_of_the_index(app: Application, tmp_path: Path) -> None:
    (ours,) = plain_series("ours", slices=1)
    (stranger,) = plain_series("stranger", slices=1)
    receive(app, tmp_path, ours)

    receive(app, tmp_path, into_study_of(ours, stranger))

    assert count(app, Instance) == 1
    assert [code for _, code in aside(app)] == ["conflicting_patient"]


def test_a_stranger_stops_the_analysis_under_way_and_no_result_that_is_there(
    app: Application, tmp_path: Path
) -> None:
    first, second = (plain_series(key, slices=1)[0] for key in ("first", "second"))
    into_study_of(first, second)
    second.PatientID, second.PatientName = first.PatientID, first.PatientName
    (stranger,) = plain_series("stranger", slices=1)
    receive(app, tmp_path, first, second)
    set_state(app, uid_of(first), JobState.COMPLETE, JobState.QUEUED, JobState.ANALYSING)
    done = analysed(app, uid_of(second))

    receive(app, tmp_path, into_study_of(first, stranger))

    assert job_of(app, uid_of(first)).reason_code == "conflicting_patient"
    assert delivery_states(app, done) == {DeliveryState.QUEUED}
    assert get_job(app, done).state == JobState.DELIVERING


def test_our_own_result_that_comes_back_is_kept_and_never_analysed(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("own", slices=1)
    ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, MANUFACTURER_MODEL_NAME
    ds.Modality = "SEG"

    receive(app, tmp_path, ds)

    job = job_of(app, uid_of(ds))
    assert (job.state, job.reason_code) == (JobState.NOT_ELIGIBLE, "own_object")
    assert alarms(app) == []


def test_our_own_result_that_comes_back_twice_is_still_refused(
    app: Application, tmp_path: Path
) -> None:
    one, two = plain_series("own twice", slices=2)
    for ds in (one, two):
        ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, MANUFACTURER_MODEL_NAME
        ds.Modality = "SR"

    receive(app, tmp_path, one)
    receive(app, tmp_path, two)

    assert job_of(app, uid_of(one)).reason_code == "own_object"
