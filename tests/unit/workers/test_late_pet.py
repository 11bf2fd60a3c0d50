"""A PET series that comes after the CT's result, before it, or of somebody else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage

from dicom_node.compose.ct import CtIdentity, slice_dataset
from dicom_node.read.eligibility import load_rules
from tests.migrated import migrated_application
from tests.unit.workers.rows import (
    add_result,
    change,
    get_job,
    history,
    receive,
    with_settings,
)
from workers.application import Application
from workers.settings import Settings
from workers.state.context_tables import UsedContext
from workers.state.schema import Instance, Job, JobState
from workers.usecases.assemble import assemble_due, queue_due
from workers.usecases.revise_for_pet import PETS, pets_of, revise_for_pet

STUDY = "1.2.826.0.1.3680043.8.498.77"
FRAME = "1.2.826.0.1.3680043.8.498.78"
AFFINE = np.diag([3.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]]


@pytest.fixture
def app(settings: Settings) -> Application:
    return migrated_application(
        with_settings(settings, context_revises=True, quiet_time_s=1, study_hold_s=30)
    )


def slices(key: str, count: int, modality: str = "PT", **values: str) -> list[Dataset]:
    identity = CtIdentity(key=key, patient_id="4711", study_instance_uid=STUDY)
    found = []
    for index in range(count):
        ds = slice_dataset(np.zeros((8, 8), dtype=np.int16), index, count, AFFINE, identity)
        ds.Modality, ds.FrameOfReferenceUID = modality, FRAME
        if modality == "PT":
            ds.SOPClassUID = PositronEmissionTomographyImageStorage
            ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        found.append(ds)
    return found


def analysed_ct(app: Application, folder: Path) -> str:
    """A CT whose result stands, made when the study held what it holds now; its series' UID."""
    (ct,) = slices("ct", 1, "CT")
    receive(app, folder, ct)
    series = str(ct.SeriesInstanceUID)
    with app.database.write() as session:
        job = session.query(Job).filter_by(series_uid=series).one()
        job.state = JobState.DELIVERED
        session.add(
            UsedContext(
                job_id=job.id, digest="x", content={PETS: pets_of(session, STUDY, job.patient_day)}
            )
        )
        job_id = job.id
    add_result(app, job_id)
    return series


def judge(app: Application) -> None:
    """Let the node judge what has been quiet for long enough."""
    assemble_due(app, load_rules(None), now=app.now() + 60)


def revisions(app: Application, series: str) -> list[int]:
    with app.database.read() as session:
        rows = session.query(Job).filter_by(series_uid=series).order_by(Job.revision)
        return [job.revision for job in rows]


def test_a_pet_after_the_result_begins_one_revision(app: Application, tmp_path: Path) -> None:
    series = analysed_ct(app, tmp_path / "ct")
    receive(app, tmp_path / "pet", *slices("pet", 2))

    judge(app)

    assert revisions(app, series) == [1, 2]
    judge(app)
    assert revisions(app, series) == [1, 2]
    with app.database.write() as session:
        assert revise_for_pet(session, app.settings, STUDY, app.now()) == 0


def test_without_the_setting_it_changes_nothing(app: Application, tmp_path: Path) -> None:
    other = migrated_application(with_settings(app.settings, context_revises=False))
    series = analysed_ct(other, tmp_path / "ct")
    receive(other, tmp_path / "pet", *slices("pet", 2))

    judge(other)

    assert revisions(other, series) == [1]


def test_a_pet_that_was_there_begins_nothing_until_more_of_it_comes(
    app: Application, tmp_path: Path
) -> None:
    first, second, third = slices("pet", 3)
    receive(app, tmp_path / "pet", first, second)
    judge(app)
    series = analysed_ct(app, tmp_path / "ct")

    with app.database.write() as session:
        assert revise_for_pet(session, app.settings, STUDY, app.now()) == 0
    receive(app, tmp_path / "more", third)
    judge(app)

    assert revisions(app, series) == [1, 2]


def test_a_pet_counts_when_it_can_be_read_and_its_end_waits_for_that(
    app: Application, tmp_path: Path
) -> None:
    pet = slices("pet", 2)
    receive(app, tmp_path / "pet", *pet)
    change(app, Instance, str(pet[1].SOPInstanceUID), stored=False)
    series = analysed_ct(app, tmp_path / "ct")

    judge(app)
    assert revisions(app, series) == [1]
    change(app, Instance, str(pet[1].SOPInstanceUID), stored=True)
    judge(app)

    assert revisions(app, series) == [1, 2]


def test_a_pet_of_another_frame_of_reference_is_noted_and_begins_nothing(
    app: Application, tmp_path: Path
) -> None:
    series = analysed_ct(app, tmp_path / "ct")
    receive(app, tmp_path / "pet", *slices("pet", 2, FrameOfReferenceUID="1.2.3"))

    judge(app)

    assert revisions(app, series) == [1]
    job_id = get_job(app, 1).id
    assert any("another Frame of Reference" in line for line in history(app, job_id))


OTHER = "1.2.3"
"""Frame of reference of a PET, and of the CT that was taken with it."""


@pytest.mark.parametrize(
    "values", [{}, {"SliceThickness": "8"}], ids=["eligible", "not eligible by itself"]
)
def test_the_ct_that_was_taken_with_a_pet_begins_one_revision_when_it_comes_late(
    app: Application, tmp_path: Path, values: dict[str, str]
) -> None:
    receive(app, tmp_path / "pet", *slices("pet", 2, FrameOfReferenceUID=OTHER))
    judge(app)
    series = analysed_ct(app, tmp_path / "ct")
    receive(app, tmp_path / "own", *slices("own", 16, "CT", FrameOfReferenceUID=OTHER, **values))

    judge(app)

    assert revisions(app, series) == [1, 2]
    judge(app)
    assert revisions(app, series) == [1, 2]


def test_a_pet_and_its_own_ct_that_both_come_late_begin_one_revision(
    app: Application, tmp_path: Path
) -> None:
    series = analysed_ct(app, tmp_path / "ct")
    receive(app, tmp_path / "pet", *slices("pet", 2, FrameOfReferenceUID=OTHER))
    judge(app)
    assert revisions(app, series) == [1]
    receive(app, tmp_path / "own", *slices("own", 16, "CT", FrameOfReferenceUID=OTHER))

    judge(app)

    assert revisions(app, series) == [1, 2]


def test_a_localizer_in_the_pets_frame_is_no_ct_of_its_own(
    app: Application, tmp_path: Path
) -> None:
    receive(app, tmp_path / "pet", *slices("pet", 2, FrameOfReferenceUID=OTHER))
    judge(app)
    series = analysed_ct(app, tmp_path / "ct")
    scout = slices("scout", 2, "CT", FrameOfReferenceUID=OTHER)
    for ds in scout:
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    receive(app, tmp_path / "scout", *scout)

    judge(app)

    assert revisions(app, series) == [1]


def test_another_ct_beside_a_pet_that_could_be_used_begins_nothing(
    app: Application, tmp_path: Path
) -> None:
    receive(app, tmp_path / "pet", *slices("pet", 2, FrameOfReferenceUID=OTHER))
    receive(app, tmp_path / "own", *slices("own", 16, "CT", FrameOfReferenceUID=OTHER))
    receive(app, tmp_path / "same", *slices("same", 2))
    series = analysed_ct(app, tmp_path / "ct")
    receive(app, tmp_path / "more", *slices("sharp", 16, "CT", FrameOfReferenceUID=OTHER))
    receive(app, tmp_path / "soft", *slices("soft", 2, "CT"))

    judge(app)

    assert revisions(app, series) == [1]


def test_a_ct_beside_a_pet_waits_for_its_files_so_that_its_end_counts(
    app: Application, tmp_path: Path
) -> None:
    receive(app, tmp_path / "pet", *slices("pet", 2, FrameOfReferenceUID=OTHER))
    judge(app)
    series = analysed_ct(app, tmp_path / "ct")
    own = slices("own", 16, "CT", FrameOfReferenceUID=OTHER)
    receive(app, tmp_path / "own", *own)
    for item in own:
        change(app, Instance, str(item.SOPInstanceUID), stored=False)

    judge(app)
    assert revisions(app, series) == [1]
    for item in own:
        change(app, Instance, str(item.SOPInstanceUID), stored=True)
    judge(app)

    assert revisions(app, series) == [1, 2]


def test_a_pet_of_another_patient_under_the_studys_uid_is_kept_aside(
    app: Application, tmp_path: Path
) -> None:
    series = analysed_ct(app, tmp_path / "ct")
    strangers = slices("pet", 2, PatientID="9999")
    receive(app, tmp_path / "pet", *strangers)

    judge(app)

    assert revisions(app, series) == [1]
    with app.database.read() as session:
        pet = session.query(Job).filter_by(series_uid=str(strangers[0].SeriesInstanceUID)).one()
        assert (pet.state, pet.reason_code) == (JobState.QUARANTINED, "conflicting_patient")
        assert pets_of(session, STUDY, "") == {}


def test_a_ct_waits_for_the_pet_that_is_still_coming_in(app: Application, tmp_path: Path) -> None:
    receive(app, tmp_path / "ct", *slices("ct", 1, "CT"))
    receive(app, tmp_path / "pet", *slices("pet", 1))
    with app.database.write() as session:
        session.query(Job).filter_by(modality="CT").one().state = JobState.COMPLETE

    queue_due(app, now=app.now() + 3600)
    waited = get_job(app, 1).state
    judge(app)
    queue_due(app, now=app.now() + 3600)

    assert (waited, get_job(app, 1).state) == (JobState.COMPLETE, JobState.QUEUED)
