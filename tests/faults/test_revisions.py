"""What changes after it was sent: the patient's name, and the number of slices.

Corrections and late slices arrive while the analysis or the delivery is held at a barrier, or
after everything was confirmed. The recording PACS tells which names left the house.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.barriers import Barrier
from dicom_node.mini_pacs import MiniPacs
from tests.faults.system import EMBEDDED, System
from tests.faults.verdict import SEG, SR
from tests.integration.bad_series import renamed, save
from tests.integration.service import free_port, wait_for
from workers.state.schema import JobState

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
OLD_NAME = "PHANTOM^OLD"
NEW_NAME = "PHANTOM^NEW"

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


def named(datasets: Sequence[Dataset], name: str) -> list[Dataset]:
    for ds in datasets:
        ds.PatientName = name
    return list(datasets)


def came(system: System, study_uid: str, sop_class_uid: str | None = None) -> list[Dataset]:
    """What the PACS holds of a study (its latest bytes), in the order of first arrival."""
    paths = dict.fromkeys(record.path for record in system.recorder.received(sop_class_uid))
    found = [dcmread(path, force=True) for path in paths]
    return [ds for ds in found if str(ds.StudyInstanceUID) == study_uid]


def confirmed(system: System, series_uid: str, revision: int) -> dict[str, Any]:
    """The job once that revision is confirmed; it must be the newest."""

    def reached() -> dict[str, Any] | None:
        job = system.service.job(series_uid)
        return job if (job["revision"], job["state"]) == (revision, JobState.CONFIRMED) else None

    wait_for(
        lambda: [j for j in system.service.jobs() if j["series_instance_uid"] == series_uid],
        limit_s=30,
        message="the job is seen",
    )
    try:
        found = wait_for(reached, limit_s=90, message=f"revision {revision} is confirmed")
    except AssertionError as error:
        raise AssertionError(f"{error}: {system.service.job(series_uid)}") from None
    assert isinstance(found, dict)
    return found


def indexed_again(system: System, series_uid: str, revision: int) -> None:
    """Until the correction is in the database."""
    wait_for(
        lambda: system.service.job(series_uid)["revision"] == revision,
        limit_s=60,
        message="the correction is known",
    )


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


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[MiniPacs]:
    """A PACS that answers queries from its catalogue."""
    made = MiniPacs(folder=tmp_path / "archive", ae_title="ARCHIVE", port=free_port())
    made.start()
    yield made
    made.stop()


@pytest.fixture
def asking(archive: MiniPacs, tmp_path: Path) -> Iterator[System]:
    """A service that asks that PACS how large a series is, and whose."""
    query = {"ae_title": "ARCHIVE", "host": "127.0.0.1", "port": archive.port}
    folder = tmp_path / "asking"
    folder.mkdir()
    made = System(
        EMBEDDED,
        folder,
        environment={
            "PULMONODE_PACS_QUERY": json.dumps(query),
            "PULMONODE_INCOMPLETE_WAIT_S": "6",
        },
    )
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("archive_says", "state"),
    [(NEW_NAME, JobState.CONFIRMED), (OLD_NAME, JobState.QUARANTINED)],
)
def test_a_correction_counts_when_the_pacs_agrees(
    asking: System,
    archive: MiniPacs,
    series: list[Dataset],
    tmp_path: Path,
    archive_says: str,
    state: JobState,
) -> None:
    entry = Dataset()
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "PatientID"):
        setattr(entry, keyword, series[0][keyword].value)
    entry.PatientName = archive_says
    entry.NumberOfSeriesRelatedInstances = len(series)
    archive.catalogue.append(entry)
    study_uid, series_uid = str(series[0].StudyInstanceUID), str(series[0].SeriesInstanceUID)
    asking.plan.arm(Barrier.ANALYSE_TAKEN, "hold")
    asking.service.send(save(series, tmp_path / "old"))
    asking.plan.wait_for_hit(Barrier.ANALYSE_TAKEN)

    asking.service.send(save(named(series, NEW_NAME), tmp_path / "new"))
    indexed_again(asking, series_uid, 2)
    asking.plan.let_go(Barrier.ANALYSE_TAKEN)
    job = asking.service.wait_for_job(series_uid)

    assert (job["revision"], job["state"]) == (2, state), job
    names = {str(ds.PatientName) for ds in came(asking, study_uid)}
    assert names == ({NEW_NAME} if state is JobState.CONFIRMED else set())
    if state is JobState.QUARANTINED:
        assert job["reason_code"] == "correction_not_agreed"
        assert "says otherwise" in job["reason"]
