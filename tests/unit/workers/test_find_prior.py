"""Which earlier examination a study is compared with: the same patient's, or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_node.read.ct_series import CtSeries
from dicom_node.read.series import load_ct_series
from tests.integration.bad_series import plain_series, save
from tests.unit.workers.rows import change, commit, receive, with_settings
from workers.application import Application
from workers.state.schema import Instance, Job, JobState, Result, ResultObject
from workers.state.store import put_content
from workers.usecases.find_prior import find_prior

SLICES = 16


def of_patient(key: str, **header: str) -> list[Dataset]:
    datasets = plain_series(key, slices=SLICES)
    values = {"PatientID": "4711", "PatientName": "Muster^Eva", "PatientBirthDate": "19600203"}
    for ds in datasets:
        for keyword, value in (values | header).items():
            setattr(ds, keyword, value)
    return datasets


def result_of(datasets: list[Dataset]) -> dict[str, Any]:
    return {
        "status": "analysed",
        "study_instance_uid": str(datasets[0].StudyInstanceUID),
        "algorithm": {"version": "0.0.1", "weights": {}},
        "candidates": [{"centre_lps_mm": [1.0, 2.0, 3.0]}],
        "nodules": [
            {
                "tracking_uid": "1.2.3.4",
                "centre_lps_mm": [10.0, 20.0, 30.0],
                "type": "solid",
                "mean_diameter_mm": 8.0,
                "volume_mm3": 268.0,
                "solid_mean_diameter_mm": None,
                "laterality": "left",
                "lobe": {"name": None, "probability": None},
                "guidelines": {"lung_rads": {"category": "4A"}},
            }
        ],
    }


def add_earlier(app: Application, tmp_path: Path, key: str, **header: str) -> int:
    """A study that was received and analysed before; the number of its job."""
    datasets = of_patient(key, **header)
    receive(app, tmp_path / key, *datasets)
    job_id = commit(app, str(datasets[0].SeriesInstanceUID))
    path, sha256 = put_content(app.store, json.dumps(result_of(datasets)).encode(), ".json")
    change(app, Result, job_id, findings_path=path, findings_sha256=sha256)
    return job_id


def current(tmp_path: Path, **header: str) -> CtSeries:
    header = {"StudyDate": "20260301", "AcquisitionDate": "20260301"} | header
    return load_ct_series(save(of_patient("now", **header), tmp_path / "now"))


def dates(day: str) -> dict[str, str]:
    return {"StudyDate": day, "AcquisitionDate": day}


def test_the_newest_earlier_study_of_the_patient_is_taken_with_its_ct(
    app: Application, tmp_path: Path
) -> None:
    add_earlier(app, tmp_path, "old", **dates("20240301"))
    add_earlier(app, tmp_path, "newer", **dates("20251201"))
    add_earlier(app, tmp_path, "later", **dates("20260401"))

    exam, warnings = find_prior(app, current(tmp_path))

    assert exam is not None
    assert exam.key == str(of_patient("newer")[0].StudyInstanceUID)
    assert exam.days_before == 90
    assert exam.volume is not None
    assert exam.volume.shape == (SLICES, 64, 64)
    assert not exam.same_method  # another version: it is measured again
    (finding,) = exam.findings
    assert (finding.key, finding.centre_lps_mm, finding.category) == (
        "1.2.3.4",
        (10.0, 20.0, 30.0),
        "4A",
    )
    assert exam.places == ((1.0, 2.0, 3.0),)
    assert warnings == ()


@pytest.mark.parametrize("header", [{"PatientID": "4712"}, {"IssuerOfPatientID": "OTHER"}])
def test_another_patient_of_the_same_name_is_never_even_read(
    app: Application, tmp_path: Path, header: dict[str, str]
) -> None:
    add_earlier(app, tmp_path, "other", **dates("20251201"), **header)

    assert find_prior(app, current(tmp_path)) == (None, ())


@pytest.mark.parametrize(
    ("header", "said"),
    [({"PatientBirthDate": "19610203"}, "birth date"), ({"PatientSex": "F"}, "sex")],
)
def test_the_same_id_with_another_birth_date_or_sex_is_refused_with_its_reason(
    app: Application, tmp_path: Path, header: dict[str, str], said: str
) -> None:
    add_earlier(app, tmp_path, "doubtful", **dates("20251201"), **header)

    exam, (warning,) = find_prior(app, current(tmp_path))

    assert exam is None
    assert said in warning
    assert "1961" not in warning


def test_what_is_refused_by_its_header_is_not_decoded(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_earlier(app, tmp_path, "doubtful", **dates("20251201"), PatientSex="F")
    now = current(tmp_path)
    decoded: list[int] = []
    monkeypatch.setattr(
        "workers.usecases.find_prior.load_ct_series", lambda paths, **_: decoded.append(len(paths))
    )

    assert find_prior(app, now)[0] is None

    assert decoded == []


def test_without_a_patient_id_nothing_is_looked_for(app: Application, tmp_path: Path) -> None:
    add_earlier(app, tmp_path, "old", **dates("20251201"), PatientID="")

    assert find_prior(app, current(tmp_path, PatientID="")) == (None, ())


def test_a_superseded_result_and_switched_off_priors_are_left_alone(
    app: Application, tmp_path: Path
) -> None:
    job_id = add_earlier(app, tmp_path, "old", **dates("20251201"))
    object.__setattr__(app, "settings", with_settings(app.settings, priors="off"))
    off = find_prior(app, current(tmp_path))
    object.__setattr__(app, "settings", with_settings(app.settings, priors="own"))
    change(app, Job, job_id, state=JobState.SUPERSEDED)

    assert off == (None, ())
    assert find_prior(app, current(tmp_path)) == (None, ())


def test_findings_that_cannot_be_read_are_a_warning_and_the_next_one_is_taken(
    app: Application, tmp_path: Path
) -> None:
    add_earlier(app, tmp_path, "old", **dates("20240301"))
    lost = add_earlier(app, tmp_path, "lost", **dates("20251201"))
    change(app, Result, lost, findings_path="results/none.json")

    exam, (warning,) = find_prior(app, current(tmp_path))

    assert exam is not None
    assert exam.key == str(of_patient("old")[0].StudyInstanceUID)
    assert "cannot be read" in warning


def test_when_the_ct_is_gone_its_report_tells_whose_and_when_it_was(
    app: Application, tmp_path: Path
) -> None:
    job_id = add_earlier(app, tmp_path, "gone", **dates("20251201"))
    report = of_patient("gone", **dates("20251201"))[0]
    save([report], tmp_path / "report")
    data = (tmp_path / "report/0000.dcm").read_bytes()
    path, sha256 = put_content(app.store, data, ".dcm")
    with app.database.write() as session:
        for row in session.query(Instance):
            row.stored = False
    change(app, ResultObject, f"1.2.9.{job_id}", path=path, sha256=sha256)

    exam, _ = find_prior(app, current(tmp_path))

    assert exam is not None
    assert exam.volume is None
    assert exam.days_before == 90
    assert len(exam.findings) == 1
