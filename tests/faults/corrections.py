"""Series that are sent again under another name, and what of them came out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.faults.system import System
from tests.integration.service import END_LIMIT_S, wait_for
from workers.state.schema import JobState

OLD_NAME = "PHANTOM^OLD"
NEW_NAME = "PHANTOM^NEW"


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
        limit_s=60,
        message="the job is seen",
    )
    try:
        found = wait_for(reached, limit_s=END_LIMIT_S, message=f"revision {revision} is confirmed")
    except AssertionError as error:
        raise AssertionError(f"{error}: {system.service.job(series_uid)}") from None
    assert isinstance(found, dict)
    return found


def indexed_again(system: System, series_uid: str, revision: int) -> None:
    """Until the correction is in the database."""
    wait_for(
        lambda: system.service.job(series_uid)["revision"] == revision,
        limit_s=180,
        message="the correction is known",
    )
