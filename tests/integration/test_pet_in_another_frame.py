"""A PET in another frame of reference than the CT, and then the CT that was taken with it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from dicom_node.read.eligibility import load_rules
from tests.migrated import migrated_application
from tests.unit.workers.rows import receive
from tests.unit.workers.test_pet import (
    IDENTITY,
    SUV_AT,
    ct_with_nodule,
    moved_away,
    own_ct_of,
    pet_of,
)
from workers.application import Application
from workers.settings import Settings
from workers.state.jobs import current_job
from workers.state.schema import JobState, Result
from workers.state.store import get_content
from workers.usecases.analyse import analyse_next
from workers.usecases.assemble import assemble_due, queue_due


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Application]:
    opened = migrated_application(
        Settings(
            data_dir=tmp_path / "data",
            host="127.0.0.1",
            disk_reserve_bytes=0,
            detector="classical",
            segmenter="classical",
            context_revises=True,
        )
    )
    yield opened
    opened.database.close()


def analysed(app: Application, series_uid: str) -> tuple[int, dict[str, Any]]:
    """Judge and analyse what is due; revision and findings of the series' newest job."""
    hours = (app.now() + 3600.0 * hour for hour in itertools.count(1))
    while assemble_due(app, load_rules(None), now=next(hours)):
        pass  # a late series begins a revision, which is judged next
    queue_due(app, now=next(hours))
    assert analyse_next(app) is not None
    with app.database.read() as session:
        job = current_job(session, series_uid)
        assert job is not None
        assert job.state == JobState.ANALYSED, job.reason
        result = session.get_one(Result, job.id)
        findings = get_content(app.store, result.findings_path, result.findings_sha256)
        return job.revision, json.loads(findings)


def test_a_pet_is_refused_until_the_ct_that_was_taken_with_it_comes_and_then_measured(
    app: Application, tmp_path: Path
) -> None:
    ct = ct_with_nodule(tmp_path / "ct", IDENTITY)
    slices = [dcmread(path) for path in sorted(ct.glob("*.dcm"))]
    series = str(slices[0].SeriesInstanceUID)
    receive(app, tmp_path / "1", *slices)
    receive(app, tmp_path / "2", *map(dcmread, moved_away(pet_of(ct, tmp_path / "pet"))))

    revision, first = analysed(app, series)

    assert (revision, first["pet"]) == (1, None)
    (warning,) = [text for text in first["quality"]["warnings"] if "PET" in text]
    assert "send the CT that was taken with it" in warning

    own = own_ct_of(ct, tmp_path / "own", SliceThickness="8")
    receive(app, tmp_path / "3", *map(dcmread, own))
    revision, second = analysed(app, series)

    assert revision == 2
    (nodule,) = second["nodules"]
    assert nodule["pet"]["suv_max"] == pytest.approx(SUV_AT, rel=1e-3)
    assert second["pet"]["registration"]["ct_series_instance_uid"] == "1.2.3.8"
    assert not [text for text in second["quality"]["warnings"] if "PET" in text]
    with app.database.read() as session:
        beside = current_job(session, "1.2.3.8")
        assert beside is not None
        assert (beside.state, beside.reason_code) == (JobState.NOT_ELIGIBLE, "thickness")


def test_a_ct_whose_slices_name_two_days_is_not_analysed_again_and_again(
    app: Application, tmp_path: Path
) -> None:
    ct = ct_with_nodule(tmp_path / "ct", IDENTITY)
    slices = [dcmread(path) for path in sorted(ct.glob("*.dcm"))]
    slices.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    for ds in slices[len(slices) // 2 :]:
        ds.StudyDate = "20260102"
    other = {"StudyInstanceUID": "1.2.3.79", "StudyDate": "20260102"}
    receive(app, tmp_path / "1", *map(dcmread, pet_of(ct, tmp_path / "pet", **other)))
    receive(app, tmp_path / "2", slices[0])
    receive(app, tmp_path / "3", *slices[1:])
    receive(app, tmp_path / "4", slices[-1])

    revision, _ = analysed(app, str(slices[0].SeriesInstanceUID))

    assert revision == 1
