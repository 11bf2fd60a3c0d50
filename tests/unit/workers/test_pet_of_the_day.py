"""A PET of another study: of the same patient and day it is one to measure in, else it is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy import event

from dicom_node.read.series import load_ct_series
from inference.pet.uptake import SuvVolume
from tests.migrated import migrated_application
from tests.unit.workers.rows import add_delivery, receive, with_settings
from tests.unit.workers.test_late_pet import STUDY, analysed_ct, app, judge, revisions, slices
from tests.unit.workers.test_pet import SUV_AT, ct, pet_of
from workers.application import Application
from workers.settings import Settings
from workers.state.schema import Delivery, DeliveryState, Instance, Job, JobState
from workers.usecases.beside_ct import series_beside
from workers.usecases.find_pet import find_pet
from workers.usecases.revise_for_pet import revise_for_lost_pet, revise_for_pet

__all__ = ["app", "ct"]

OTHER_STUDY = {"StudyInstanceUID": "1.2.826.0.1.3680043.8.498.79"}


def day_of(app: Application, series_uid: str) -> str:
    with app.database.read() as session:
        return session.query(Job).filter_by(series_uid=series_uid, revision=1).one().patient_day


def pet_series(**values: str) -> list[Dataset]:
    return slices("pet", 2, **{**OTHER_STUDY, **values})


def beside(app: Application, series_uid: str) -> dict[str, bool]:
    """UIDs of what is beside a CT, and whether it is of the CT's study."""
    with app.database.read() as session:
        found = series_beside(session, STUDY, day_of(app, series_uid))
    return {uid: item.of_own_study for uid, item in found.items()}


def test_a_pet_of_another_study_of_the_day_is_measured_in(
    app: Application, ct: Path, tmp_path: Path
) -> None:
    series = load_ct_series(sorted(ct.glob("*.dcm")))
    receive(app, tmp_path, *map(dcmread, pet_of(ct, tmp_path / "pet", **OTHER_STUDY)))

    found, warnings = find_pet(app, series)

    assert isinstance(found, SuvVolume)
    assert found.suv.max() == pytest.approx(SUV_AT, rel=1e-3)
    assert warnings == ()


def test_that_it_cannot_be_used_names_another_study(
    app: Application, ct: Path, tmp_path: Path
) -> None:
    series = load_ct_series(sorted(ct.glob("*.dcm")))
    files = pet_of(ct, tmp_path / "pet", FrameOfReferenceUID="1.2.3", **OTHER_STUDY)
    receive(app, tmp_path, *map(dcmread, files))

    found, (warning,) = find_pet(app, series)

    assert found is None
    assert warning.startswith("the PET of another study of this day was not used: it has another")


def test_the_pet_of_the_own_study_goes_first(app: Application, ct: Path, tmp_path: Path) -> None:
    series = load_ct_series(sorted(ct.glob("*.dcm")))
    uids = {"SeriesInstanceUID": "1.2.3.44"}
    other = list(map(dcmread, pet_of(ct, tmp_path / "pet", **OTHER_STUDY, **uids)))
    for number, ds in enumerate(other):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.44.{number}"
    receive(app, tmp_path / "1", *other)
    own = list(map(dcmread, pet_of(ct, tmp_path / "own")))[:-1]  # the smaller one
    receive(app, tmp_path / "2", *own)

    found, _ = find_pet(app, series)

    assert isinstance(found, SuvVolume)
    assert found.used.series == str(own[0].SeriesInstanceUID)


@pytest.mark.parametrize(
    "values",
    [
        {"PatientID": "4712"},
        {"IssuerOfPatientID": "elsewhere"},
        {"StudyDate": "20260102"},
        {"StudyDate": ""},
        {"PatientID": ""},
    ],
)
def test_of_another_patient_or_day_it_is_not_looked_at(
    app: Application, tmp_path: Path, values: dict[str, str]
) -> None:
    series = analysed_ct(app, tmp_path / "ct")
    receive(app, tmp_path / "pet", *pet_series(**values))

    judge(app)

    assert beside(app, series) == {}
    assert revisions(app, series) == [1]


def test_without_a_patient_id_no_other_study_is_looked_at(app: Application, tmp_path: Path) -> None:
    (first,) = slices("ct", 1, "CT", PatientID="")
    receive(app, tmp_path / "ct", first)
    receive(app, tmp_path / "pet", *pet_series(PatientID=""))

    assert day_of(app, str(first.SeriesInstanceUID)) == ""
    assert beside(app, str(first.SeriesInstanceUID)) == {}


def test_after_the_result_it_begins_one_revision(app: Application, tmp_path: Path) -> None:
    series = analysed_ct(app, tmp_path / "ct")
    receive(app, tmp_path / "pet", *pet_series())

    judge(app)
    judge(app)

    assert revisions(app, series) == [1, 2]
    assert list(beside(app, series).values()) == [False]


def test_its_own_ct_in_another_frame_begins_the_revision(app: Application, tmp_path: Path) -> None:
    series = analysed_ct(app, tmp_path / "ct")
    receive(app, tmp_path / "pet", *pet_series(FrameOfReferenceUID="1.2.3"))
    judge(app)
    assert revisions(app, series) == [1]
    low_dose = slices("low", 16, "CT", FrameOfReferenceUID="1.2.3", **OTHER_STUDY)
    receive(app, tmp_path / "low", *low_dose)

    judge(app)

    assert revisions(app, series) == [1, 2]
    assert len(beside(app, series)) == 2


def test_one_that_was_corrected_to_another_patient_is_no_longer_beside(
    app: Application, tmp_path: Path
) -> None:
    series = analysed_ct(app, tmp_path / "ct")
    pets = pet_series()
    receive(app, tmp_path / "pet", *pets)
    assert len(beside(app, series)) == 1
    for ds in pets:
        ds.PatientID = "4712"
    receive(app, tmp_path / "corrected", *pets)

    assert beside(app, series) == {}


@pytest.mark.parametrize("values", [{"PatientID": "4712"}, {"StudyDate": "20260102"}])
def test_a_result_that_measured_in_one_that_is_anothers_is_made_again(
    settings: Settings, tmp_path: Path, values: dict[str, str]
) -> None:
    """Whatever the setting of late context; and nothing of it leaves any more."""
    app = migrated_application(with_settings(settings, context_revises=False))
    pets = pet_series()
    receive(app, tmp_path / "pet", *pets)
    series = analysed_ct(app, tmp_path / "ct")
    with app.database.read() as session:
        job_id = session.query(Job).filter_by(series_uid=series).one().id
    waiting = add_delivery(app, job_id, state=DeliveryState.QUEUED)
    for ds in pets:
        for keyword, value in values.items():
            setattr(ds, keyword, value)

    receive(app, tmp_path / "corrected", *pets)

    assert revisions(app, series) == [1, 2]
    with app.database.read() as session:
        assert session.get_one(Delivery, waiting).state == DeliveryState.CANCELLED


def test_a_pet_corrected_during_the_analysis_makes_its_result_again(
    app: Application, tmp_path: Path
) -> None:
    pets = pet_series()
    receive(app, tmp_path / "pet", *pets)
    series = analysed_ct(app, tmp_path / "ct")
    with app.database.write() as session:
        job = session.query(Job).filter_by(series_uid=series).one()
        job.state, job_id = JobState.ANALYSING, job.id
    for ds in pets:
        ds.PatientID = "4712"
    receive(app, tmp_path / "corrected", *pets)
    assert revisions(app, series) == [1]

    with app.database.write() as session:  # as the commit does
        job = session.get_one(Job, job_id)
        job.state = JobState.ANALYSED
        assert revise_for_lost_pet(session, app.settings, job.patient_day, app.now()) == 1
        assert revise_for_lost_pet(session, app.settings, job.patient_day, app.now()) == 0


def test_one_whose_history_retention_removed_was_not_corrected(
    app: Application, tmp_path: Path
) -> None:
    pets = pet_series()
    receive(app, tmp_path / "pet", *pets)
    series = analysed_ct(app, tmp_path / "ct")
    uid = str(pets[0].SeriesInstanceUID)
    with app.database.write() as session:  # as `prune` does
        session.query(Instance).filter_by(series_uid=uid).delete()
        session.query(Job).filter_by(series_uid=uid).one().patient_day = ""

    with app.database.write() as session:
        day = session.query(Job).filter_by(series_uid=series).one().patient_day
        assert revise_for_lost_pet(session, app.settings, day, app.now()) == 0


def test_a_correction_of_its_name_alone_changes_nothing(app: Application, tmp_path: Path) -> None:
    pets = pet_series()
    receive(app, tmp_path / "pet", *pets)
    series = analysed_ct(app, tmp_path / "ct")
    for ds in pets:
        ds.PatientName = "Phantom^Lung^Dr"

    receive(app, tmp_path / "corrected", *pets)

    assert revisions(app, series) == [1]


def test_one_that_is_corrected_to_the_cts_patient_begins_the_revision(
    app: Application, tmp_path: Path
) -> None:
    series = analysed_ct(app, tmp_path / "ct")
    pets = pet_series(PatientID="4712")
    receive(app, tmp_path / "pet", *pets)
    judge(app)
    assert revisions(app, series) == [1]
    for ds in pets:
        ds.PatientID = "4711"
    receive(app, tmp_path / "corrected", *pets)

    judge(app)

    assert day_of(app, str(pets[0].SeriesInstanceUID)) == day_of(app, series)
    assert revisions(app, series) == [1, 2]


def test_one_of_a_study_whose_patient_is_in_doubt_is_not_beside(
    app: Application, tmp_path: Path
) -> None:
    series = analysed_ct(app, tmp_path / "ct")
    receive(app, tmp_path / "pet", *pet_series())
    strangers = slices("other", 1, PatientID="4712", **OTHER_STUDY)

    receive(app, tmp_path / "other", *strangers)

    assert beside(app, series) == {}


def test_a_file_that_is_kept_aside_does_not_say_whose_day_it_is(
    app: Application, tmp_path: Path
) -> None:
    first, second = pet_series()
    receive(app, tmp_path / "1", first)
    day = day_of(app, str(first.SeriesInstanceUID))
    second.PatientID = "4712"

    receive(app, tmp_path / "2", second)

    assert day_of(app, str(first.SeriesInstanceUID)) == day != ""


def test_what_is_beside_is_found_by_study_and_day_however_many_jobs_there_are(
    app: Application, tmp_path: Path
) -> None:
    series = analysed_ct(app, tmp_path / "ct")
    receive(app, tmp_path / "pet", *pet_series())
    asked: dict[str, object] = {}

    def note(_conn: object, _cursor: object, sql: str, values: object, *_: object) -> None:
        if re.search(r"^SELECT job[^)]*FROM job\b", sql):
            asked.setdefault(sql, values)

    event.listen(app.database.engine, "before_cursor_execute", note)
    beside(app, series)
    with app.database.write() as session:
        revise_for_pet(session, app.settings, STUDY, app.now())
    event.remove(app.database.engine, "before_cursor_execute", note)

    with app.database.engine.connect() as connection:
        plans = [
            step[3]
            for sql, values in asked.items()
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)  # type: ignore[arg-type]
        ]
    assert len(asked) >= 4
    assert not [step for step in plans if re.match(r"SCAN job|.*\((state|modality)=\?", step)]
