"""An instance that is known arrives again: repeat, repair, correction, or other pixels."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_node.read.header import Identity, InstanceHeader
from tests.integration.bad_series import plain_series
from tests.unit.workers.rows import (
    alarms,
    analysed,
    aside,
    change,
    delivery_states,
    get_job,
    history,
    job_of,
    receive,
    revisions,
    set_state,
)
from workers.application import Application
from workers.state.schema import DeliveryState, Instance, Job, JobState
from workers.usecases.arrive_again import changed_attributes

HEADER = InstanceHeader(
    sop_instance_uid="1.1", sop_class_uid="1.2", series_instance_uid="1.3",
    study_instance_uid="1.4", transfer_syntax_uid="1.2.840.10008.1.2.1",
    identity=Identity(patient_id="1", patient_name="Old^Name", study_date="20260101"),
    source_ae_title="CT1", slice_thickness_mm=1.0,
)  # fmt: skip


def corrected(ds: Dataset) -> Dataset:
    copied = copy.deepcopy(ds)
    copied.PatientName = "Right^Name"
    return copied


def other_pixels(ds: Dataset) -> Dataset:
    copied = copy.deepcopy(ds)
    copied.PixelData = bytes(len(ds.PixelData))
    return copied


def one_study(*keys: str) -> list[Dataset]:
    """One slice of each of several series of one patient's study."""
    datasets = [plain_series(key, slices=1)[0] for key in keys]
    for ds in datasets[1:]:
        ds.StudyInstanceUID = datasets[0].StudyInstanceUID
        ds.PatientName, ds.PatientID = datasets[0].PatientName, datasets[0].PatientID
    return datasets


def uid_of(ds: Dataset) -> str:
    return str(ds.SeriesInstanceUID)


def instance(app: Application, ds: Dataset) -> Instance:
    with app.database.read() as session:
        return session.get_one(Instance, str(ds.SOPInstanceUID))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ()),
        ({"source_ae_title": "CT2", "problems": ("odd",)}, ()),
        ({"transfer_syntax_uid": "1.2.840.10008.1.2.4.70"}, ()),
        ({"slice_thickness_mm": 2.0}, ("slice_thickness_mm",)),
        ({"identity": replace(HEADER.identity, study_date="20260102")}, ("study_date",)),
        (
            {"identity": replace(HEADER.identity, patient_name="New^Name"), "modality": "PT"},
            ("patient_name", "modality"),
        ),
    ],
)
def test_what_differs_is_named_with_the_patient_first_and_the_transfer_left_out(
    changes: dict[str, object], names: tuple[str, ...]
) -> None:
    assert changed_attributes(HEADER, replace(HEADER, **changes)) == names  # type: ignore[arg-type]


def test_a_copy_over_another_network_node_is_kept_and_corrects_nothing(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("renumbered", slices=1)
    receive(app, tmp_path, ds)
    set_state(app, uid_of(ds), JobState.COMPLETE)
    ds.ImageComments = "sent by the archive"  # nothing that the index knows

    receive(app, tmp_path, ds)

    job = job_of(app, uid_of(ds))
    assert (job.state, job.correction, job.revision) == (JobState.COMPLETE, None, 1)
    assert instance(app, ds).times_received == 2


@pytest.mark.parametrize("states", [(JobState.COMPLETE,), (JobState.COMPLETE, JobState.QUEUED)])
def test_a_correction_before_the_analysis_lets_the_series_wait_again(
    app: Application, tmp_path: Path, states: tuple[JobState, ...]
) -> None:
    (ds,) = plain_series("waiting", slices=1)
    receive(app, tmp_path, ds)
    set_state(app, uid_of(ds), *states)

    receive(app, tmp_path, corrected(ds))

    job = job_of(app, uid_of(ds))
    assert (job.state, job.revision, job.correction) == (JobState.RECEIVING, 1, "patient_name")


def test_a_correction_during_the_analysis_takes_the_right_to_write_away(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("analysing", slices=1)
    receive(app, tmp_path, ds)
    set_state(app, uid_of(ds), JobState.COMPLETE, JobState.QUEUED, JobState.ANALYSING)

    receive(app, tmp_path, corrected(ds))

    assert revisions(app, uid_of(ds)) == [(1, JobState.SUPERSEDED), (2, JobState.RECEIVING)]
    assert job_of(app, uid_of(ds)).correction == "patient_name"
    assert job_of(app, uid_of(ds)).instance_count == 1


def test_a_correction_stops_what_is_on_its_way_under_the_old_name(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("delivering", slices=1)
    receive(app, tmp_path, ds)
    job_id = analysed(app, uid_of(ds), sending=DeliveryState.SENDING)

    receive(app, tmp_path, corrected(ds))

    assert delivery_states(app, job_id) == {DeliveryState.CANCELLED}
    assert revisions(app, uid_of(ds)) == [(1, JobState.SUPERSEDED), (2, JobState.RECEIVING)]


def test_a_correction_after_delivery_makes_a_revision_and_leaves_the_result(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("delivered", slices=1)
    receive(app, tmp_path, ds)
    job_id = analysed(app, uid_of(ds), sending=DeliveryState.CONFIRMED)
    set_state(app, uid_of(ds), JobState.CONFIRMED)

    receive(app, tmp_path, corrected(ds))

    assert delivery_states(app, job_id) == {DeliveryState.CONFIRMED}
    assert revisions(app, uid_of(ds)) == [(1, JobState.CONFIRMED), (2, JobState.RECEIVING)]


def test_a_correction_stops_the_earlier_revision_too_while_the_next_one_is_received(
    app: Application, tmp_path: Path
) -> None:
    first, late = plain_series("late, then corrected", slices=2)
    receive(app, tmp_path, first)
    job_id = analysed(app, uid_of(first))
    receive(app, tmp_path, late)

    receive(app, tmp_path, corrected(first))

    assert delivery_states(app, job_id) == {DeliveryState.CANCELLED}
    assert revisions(app, uid_of(first)) == [(1, JobState.SUPERSEDED), (2, JobState.RECEIVING)]


def test_corrections_of_many_slices_are_one_revision_that_names_each_attribute_once(
    app: Application, tmp_path: Path
) -> None:
    datasets = plain_series("many", slices=3)
    receive(app, tmp_path, *datasets)
    analysed(app, uid_of(datasets[0]))
    changed = [corrected(ds) for ds in datasets]
    changed[2].StudyDate = "20251231"

    receive(app, tmp_path, *changed)

    assert [revision for revision, _ in revisions(app, uid_of(datasets[0]))] == [1, 2]
    assert job_of(app, uid_of(datasets[0])).correction == "patient_name, study_date"


def test_a_corrected_series_forgets_what_the_pacs_had_said(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("asked", slices=1)
    receive(app, tmp_path, ds)
    job_id = job_of(app, uid_of(ds)).id
    change(app, Job, job_id, pacs_answers_alike=2)

    receive(app, tmp_path, corrected(ds))

    assert get_job(app, job_id).pacs_answers_alike == 0


def test_a_correction_does_not_undo_what_an_administrator_ended(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("cancelled", slices=1)
    receive(app, tmp_path, ds)
    set_state(app, uid_of(ds), JobState.CANCELLED)

    receive(app, tmp_path, corrected(ds))

    assert revisions(app, uid_of(ds)) == [(1, JobState.CANCELLED)]


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("conflicting_patient", JobState.RECEIVING),
        ("correction_not_agreed", JobState.RECEIVING),
        ("truncated", JobState.QUARANTINED),
    ],
)
def test_a_correction_heals_only_what_was_held_because_of_the_patient(
    app: Application, tmp_path: Path, code: str, state: JobState
) -> None:
    (ds,) = plain_series("held", slices=1)
    receive(app, tmp_path, ds)
    job_id = set_state(app, uid_of(ds), JobState.QUARANTINED)
    change(app, Job, job_id, reason_code=code)

    receive(app, tmp_path, corrected(ds))

    assert get_job(app, job_id).state == state


def test_a_corrected_patient_holds_back_the_results_of_the_studys_other_series(
    app: Application, tmp_path: Path
) -> None:
    first, second = one_study("first", "second")
    receive(app, tmp_path, first, second)
    job_id = analysed(app, uid_of(second))

    receive(app, tmp_path, corrected(first))

    assert delivery_states(app, job_id) == {DeliveryState.CANCELLED}
    job = get_job(app, job_id)
    assert (job.state, job.reason_code) == (JobState.QUARANTINED, "conflicting_patient")
    assert ("job_stopped", str(job_id)) in alarms(app)


@pytest.mark.parametrize(
    ("states", "found"),
    [
        ((JobState.COMPLETE, JobState.QUEUED), [(1, JobState.RECEIVING)]),
        (
            (JobState.COMPLETE, JobState.QUEUED, JobState.ANALYSING),
            [(1, JobState.SUPERSEDED), (2, JobState.RECEIVING)],
        ),
    ],
)
def test_a_corrected_patient_keeps_the_studys_other_series_from_being_reported_wrongly(
    app: Application,
    tmp_path: Path,
    states: tuple[JobState, ...],
    found: list[tuple[int, JobState]],
) -> None:
    first, second = one_study("first", "second")
    receive(app, tmp_path, first, second)
    set_state(app, uid_of(second), *states)

    receive(app, tmp_path, corrected(first))

    assert revisions(app, uid_of(second)) == found


def test_a_series_that_was_corrected_already_is_not_held_for_its_sibling(
    app: Application, tmp_path: Path
) -> None:
    first, second = one_study("first", "second")
    receive(app, tmp_path, first, second)
    receive(app, tmp_path, corrected(first))
    set_state(app, uid_of(first), JobState.COMPLETE)

    receive(app, tmp_path, corrected(second))

    assert job_of(app, uid_of(first)).state == JobState.COMPLETE


def test_other_pixels_stop_a_waiting_series_and_are_kept_aside(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("lie", slices=1)
    receive(app, tmp_path, ds)
    before = instance(app, ds)

    receive(app, tmp_path, other_pixels(ds))

    job = job_of(app, uid_of(ds))
    assert (job.state, job.reason_code) == (JobState.QUARANTINED, "pixels_changed")
    assert [code for _, code in aside(app)] == ["pixels_changed"]
    assert [path.name for path in app.spool.quarantined()] == [aside(app)[0][0]]
    assert instance(app, ds).pixels_sha256 == before.pixels_sha256


def test_other_pixels_take_an_analysis_under_way_back(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("lie", slices=1)
    receive(app, tmp_path, ds)
    set_state(app, uid_of(ds), JobState.COMPLETE, JobState.QUEUED, JobState.ANALYSING)

    receive(app, tmp_path, other_pixels(ds))

    assert revisions(app, uid_of(ds)) == [(1, JobState.QUARANTINED)]


def test_other_pixels_many_times_over_are_one_held_job(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("lie", slices=1)
    receive(app, tmp_path, ds)
    analysed(app, uid_of(ds), sending=DeliveryState.CONFIRMED)

    receive(app, tmp_path, other_pixels(ds))
    receive(app, tmp_path, other_pixels(ds))

    assert [revision for revision, _ in revisions(app, uid_of(ds))] == [1, 2]
    assert len(aside(app)) == 2


def test_other_pixels_stop_a_result_that_has_not_left(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("lie on the way", slices=1)
    receive(app, tmp_path, ds)
    first = analysed(app, uid_of(ds), sending=DeliveryState.SENDING)

    receive(app, tmp_path, other_pixels(ds))

    assert delivery_states(app, first) == {DeliveryState.CANCELLED}
    assert revisions(app, uid_of(ds)) == [(1, JobState.SUPERSEDED), (2, JobState.QUARANTINED)]


def test_other_pixels_stop_the_earlier_revision_too_while_the_next_one_is_received(
    app: Application, tmp_path: Path
) -> None:
    first, late = plain_series("late, then a lie", slices=2)
    receive(app, tmp_path, first)
    job_id = analysed(app, uid_of(first))
    receive(app, tmp_path, late)

    receive(app, tmp_path, other_pixels(first))

    assert delivery_states(app, job_id) == {DeliveryState.CANCELLED}
    assert revisions(app, uid_of(first)) == [(1, JobState.SUPERSEDED), (2, JobState.QUARANTINED)]


def test_a_cut_copy_of_a_whole_instance_is_kept_aside(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("cut later", slices=1)
    receive(app, tmp_path, ds)

    receive(app, tmp_path, ds, cut=100)

    assert len(app.spool.quarantined()) == 1
    assert not instance(app, ds).header["truncated"]


def test_a_repair_says_what_was_repaired_and_starts_the_quiet_time_again(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("repaired", slices=1)
    receive(app, tmp_path, ds, cut=100)
    job_id = job_of(app, uid_of(ds)).id
    change(app, Job, job_id, last_instance_at=1.0)

    receive(app, tmp_path, ds)

    assert f"a whole copy of {ds.SOPInstanceUID} replaced" in history(app, job_id)[-1]
    assert get_job(app, job_id).last_instance_at > 1.0


def test_a_repair_after_the_result_makes_a_revision(app: Application, tmp_path: Path) -> None:
    whole, cut = plain_series("repaired late", slices=2)
    receive(app, tmp_path, whole)
    receive(app, tmp_path, cut, cut=100)
    analysed(app, uid_of(whole), sending=DeliveryState.CONFIRMED)

    receive(app, tmp_path, cut)

    found = revisions(app, uid_of(whole))
    assert found == [(1, JobState.DELIVERING), (2, JobState.RECEIVING)]
    assert job_of(app, uid_of(whole)).instance_count == 2
