"""A correction counts when the PACS, which is asked, says the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_node.barriers import Barrier
from dicom_node.mini_pacs import MiniPacs
from tests.faults.corrections import NEW_NAME, OLD_NAME, came, indexed_again, named
from tests.faults.system import EMBEDDED, System
from tests.integration.bad_series import renamed, save
from tests.integration.service import free_port
from workers.state.schema import JobState

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniPacs]:
    """A PACS that answers queries from its catalogue."""
    folder = tmp_path_factory.mktemp("archive")
    made = MiniPacs(folder=folder, ae_title="ARCHIVE", port=free_port())
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def asking(archive: MiniPacs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A service that asks that PACS how large a series is, and whose."""
    query = {"ae_title": "ARCHIVE", "host": "127.0.0.1", "port": archive.port}
    made = System(
        EMBEDDED,
        tmp_path_factory.mktemp("asking"),
        environment={
            "PULMONODE_PACS_QUERY": json.dumps(query),
            "PULMONODE_INCOMPLETE_WAIT_S": "6",
        },
    )
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def _mended(asking: System) -> Iterator[None]:
    yield
    asking.mend()


@pytest.fixture
def series(small_phantom: Path, request: pytest.FixtureRequest) -> list[Dataset]:
    return named(renamed(sorted(small_phantom.glob("*.dcm")), request.node.name), OLD_NAME)


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
