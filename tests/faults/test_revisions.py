"""What changes after it was sent: the patient's name, and the number of slices.

Corrections and late slices arrive while the analysis or the delivery is held at a barrier, or
after everything was confirmed. The recording PACS tells which names left the house.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_node.barriers import Barrier
from tests.faults.corrections import NEW_NAME, OLD_NAME, came, confirmed, indexed_again, named
from tests.faults.system import EMBEDDED, System
from tests.faults.verdict import SEG, SR
from tests.integration.bad_series import renamed, save
from workers.state.schema import JobState

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    made = System(
        EMBEDDED,
        tmp_path_factory.mktemp("revisions"),
        destination={"retraction": "rejection_note"},
    )
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def _mended(system: System) -> Iterator[None]:
    yield
    system.mend()


@pytest.fixture
def series(small_phantom: Path, request: pytest.FixtureRequest) -> list[Dataset]:
    return named(renamed(sorted(small_phantom.glob("*.dcm")), request.node.name), OLD_NAME)


@pytest.mark.parametrize(
    "barrier",
    [
        Barrier.ANALYSE_BEFORE_COMMIT,
        pytest.param(Barrier.ANALYSE_TAKEN, marks=pytest.mark.long),
        pytest.param(Barrier.ANALYSE_COMPOSED, marks=pytest.mark.long),
    ],
)
def test_a_name_corrected_during_the_analysis_leaves_under_the_new_one_only(
    system: System, series: list[Dataset], tmp_path: Path, barrier: Barrier
) -> None:
    study_uid, series_uid = str(series[0].StudyInstanceUID), str(series[0].SeriesInstanceUID)
    system.plan.arm(barrier, "hold")
    system.service.send(save(series, tmp_path / "old"))
    system.plan.wait_for_hit(barrier)

    system.service.send(save(named(series, NEW_NAME), tmp_path / "new"))
    indexed_again(system, series_uid, 2)
    system.plan.let_go(barrier)
    job = confirmed(system, series_uid, 2)

    assert {str(ds.PatientName) for ds in came(system, study_uid)} == {NEW_NAME}
    assert len(came(system, study_uid, SR)) == len(came(system, study_uid, SEG)) == 1
    assert "patient_name" in job["correction"]
    assert [(r["revision"], r["state"]) for r in job["revisions"]] == [
        (1, JobState.SUPERSEDED),
        (2, JobState.CONFIRMED),
    ]


@pytest.mark.long  # during the analysis, during the delivery and after it are the harder ones
def test_a_name_corrected_before_the_delivery_leaves_under_the_new_one_only(
    system: System, series: list[Dataset], tmp_path: Path
) -> None:
    study_uid, series_uid = str(series[0].StudyInstanceUID), str(series[0].SeriesInstanceUID)
    system.plan.arm(Barrier.DELIVER_TAKEN, "hold")
    system.service.send(save(series, tmp_path / "old"))
    system.plan.wait_for_hit(Barrier.DELIVER_TAKEN)

    system.service.send(save(named(series, NEW_NAME), tmp_path / "new"))
    indexed_again(system, series_uid, 2)
    system.plan.let_go(Barrier.DELIVER_TAKEN)
    confirmed(system, series_uid, 2)

    of_results = [*came(system, study_uid, SR), *came(system, study_uid, SEG)]
    assert {str(ds.PatientName) for ds in of_results} == {NEW_NAME}
    assert len(of_results) == 2


def test_a_name_corrected_during_the_delivery_leaves_with_nothing_more(
    system: System, series: list[Dataset], tmp_path: Path
) -> None:
    """What the PACS has already answered for cannot be held back; it is retracted."""
    study_uid, series_uid = str(series[0].StudyInstanceUID), str(series[0].SeriesInstanceUID)
    system.plan.arm(Barrier.DELIVER_BETWEEN_OBJECTS, "hold")
    system.service.send(save(series, tmp_path / "old"))
    system.plan.wait_for_hit(Barrier.DELIVER_BETWEEN_OBJECTS)
    first = system.service.job(series_uid)

    system.service.send(save(named(series, NEW_NAME), tmp_path / "new"))
    indexed_again(system, series_uid, 2)
    system.plan.let_go(Barrier.DELIVER_BETWEEN_OBJECTS)
    confirmed(system, series_uid, 2)

    of_results = [*came(system, study_uid, SR), *came(system, study_uid, SEG)]
    assert sorted(str(ds.PatientName) for ds in of_results) == [NEW_NAME, NEW_NAME, OLD_NAME]
    (note,) = came(system, study_uid, KEY_OBJECT_SELECTION)
    assert rejected(note) == {item["sop_instance_uid"] for item in first["objects"]}


def test_a_name_corrected_after_the_delivery_is_delivered_anew_and_the_old_one_retracted(
    system: System, series: list[Dataset], tmp_path: Path
) -> None:
    study_uid, series_uid = str(series[0].StudyInstanceUID), str(series[0].SeriesInstanceUID)
    system.service.send(save(series, tmp_path / "old"))
    first = confirmed(system, series_uid, 1)

    system.service.send(save(named(series, NEW_NAME), tmp_path / "new"))
    second = confirmed(system, series_uid, 2)

    old, new = came(system, study_uid, SR)
    assert (str(old.PatientName), str(new.PatientName)) == (OLD_NAME, NEW_NAME)
    (note,) = came(system, study_uid, KEY_OBJECT_SELECTION)
    assert str(note.PatientName) == NEW_NAME
    assert note.ConceptNameCodeSequence[0].CodeValue == "113038"
    assert rejected(note) == {item["sop_instance_uid"] for item in first["objects"]}
    assert not rejected(note) & {item["sop_instance_uid"] for item in second["objects"]}
    assert second["revisions"][0]["state"] == JobState.SUPERSEDED


def rejected(note: Dataset) -> set[str]:
    return {
        str(instance.ReferencedSOPInstanceUID)
        for study in note.CurrentRequestedProcedureEvidenceSequence
        for part in study.ReferencedSeriesSequence
        for instance in part.ReferencedSOPSequence
    }


def test_late_slices_after_confirmed_make_a_revision_that_keeps_the_tracking_uids(
    system: System, series: list[Dataset], tmp_path: Path
) -> None:
    study_uid, series_uid = str(series[0].StudyInstanceUID), str(series[0].SeriesInstanceUID)
    series.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    paths = save(series, tmp_path / "series")
    system.service.send(paths[:-4])
    first = confirmed(system, series_uid, 1)

    system.service.send(paths[-4:])
    second = confirmed(system, series_uid, 2)

    before, after = (tracking_uids(system, job) for job in (first, second))
    assert before
    assert before == after
    old, new = came(system, study_uid, SR)
    (predecessor,) = new.PredecessorDocumentsSequence
    (in_series,) = predecessor.ReferencedSeriesSequence
    (named_by_new,) = in_series.ReferencedSOPSequence
    assert named_by_new.ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert new.SeriesInstanceUID == old.SeriesInstanceUID
    assert new.InstanceNumber > old.InstanceNumber
    for kind in ("sr", "seg"):
        was, now = (
            next(item for item in job["objects"] if item["kind"] == kind) for job in (first, second)
        )
        assert was["series_instance_uid"] == now["series_instance_uid"]
        assert was["sop_instance_uid"] != now["sop_instance_uid"]
    # What the administrator sees: both, in the list and on the job's own page.
    shown = system.cli_json("jobs", "show", series_uid)
    assert [(r["revision"], r["state"]) for r in shown["revisions"]] == [
        (1, JobState.SUPERSEDED),
        (2, JobState.CONFIRMED),
    ]
    listed = system.cli_json("jobs", "list")
    rows = [row for row in listed if row["series_instance_uid"] == series_uid]
    assert sorted((row["revision"], row["instances"]) for row in rows) == [(1, 60), (2, 64)]


def tracking_uids(system: System, job: dict[str, Any]) -> list[str]:
    findings = json.loads(system.read_object(job["findings_path"]) or b"")
    return [nodule["tracking_uid"] for nodule in findings["nodules"]]
