"""A report by DICOM that comes after the result: revision 2 where it changes something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from tests.integration.bad_series import plain_series
from tests.unit.dicom_node.read.sr_files import basic_text
from tests.unit.workers.context.known import give, known
from tests.unit.workers.context.test_reports import STUDY, of_study, report
from tests.unit.workers.rows import (
    change,
    commit,
    history,
    job_of,
    receive,
    revisions,
    set_state,
    with_settings,
)
from workers.application import Application
from workers.state.context_tables import UsedContext
from workers.state.schema import Instance, JobState
from workers.usecases.index import index_inbox
from workers.usecases.known_context import frozen
from workers.usecases.revise_for_context import revise_for_context
from workers.usecases.take_answers import take_answers

JOHN = {"PatientID": "0815", "PatientName": "Doe^John"}
ELSEWHERE = {"StudyInstanceUID": "1.2.840.99.2", "StudyDate": "20260101", "AccessionNumber": "A0"}


@pytest.fixture
def site(app: Application) -> Application:
    """The same, where context starts revisions."""
    return replace(app, settings=with_settings(app.settings, context_revises=True))


def use(app: Application, job_id: int) -> None:
    """Let a job's result be made of what is known now."""
    resolved = known(app, of=of_study())
    with app.database.write() as session:
        content = frozen(resolved, of_study())
        session.add(UsedContext(job_id=job_id, digest=resolved.digest, content=content))


def result(app: Application, folder: Path) -> str:
    """The confirmed result of a CT of Jane Roe, made of what is known by then; its series."""
    datasets = plain_series("late reports", slices=2)
    for ds in datasets:
        ds.PatientID, ds.IssuerOfPatientID, ds.PatientName = "4711", "HOSP", "Roe^Jane"
        ds.PatientBirthDate, ds.PatientSex = "19600402", "F"
        ds.StudyInstanceUID, ds.StudyDate, ds.AccessionNumber = STUDY, "20260302", "A1"
    receive(app, folder / "ct", *datasets)
    series_uid = str(datasets[0].SeriesInstanceUID)
    job_id = commit(app, series_uid)
    use(app, job_id)
    set_state(app, series_uid, JobState.DELIVERING, JobState.CONFIRMED)
    return series_uid


def came(app: Application, path: Path) -> int:
    """Receive a report as the node does; how many revisions it started."""
    app.spool.accept(str(dcmread(path).SOPInstanceUID), path.read_bytes())
    index_inbox(app)
    take_answers(app)
    return revise_for_context(app, now=app.now())


def test_a_late_report_of_the_ct_starts_revision_2_once(site: Application, tmp_path: Path) -> None:
    series_uid = result(site, tmp_path)
    path = basic_text(tmp_path / "sr.dcm", "8 mm nodule in the RUL.")

    assert (came(site, path), came(site, path)) == (1, 0)

    assert revisions(site, series_uid) == [(1, JobState.CONFIRMED), (2, JobState.RECEIVING)]
    (line,) = history(site, job_of(site, series_uid).id)
    assert line == "clinical context came or changed after revision 1"


def test_the_history_in_a_late_report_of_an_earlier_study_starts_one(
    site: Application, tmp_path: Path
) -> None:
    series_uid = result(site, tmp_path)

    assert came(site, basic_text(tmp_path / "sr.dcm", "40 pack-years.", **ELSEWHERE)) == 1

    assert job_of(site, series_uid).revision == 2


@pytest.mark.parametrize(
    "others",
    [
        {**ELSEWHERE},  # whose nodules are not this CT's
        {**ELSEWHERE, **JOHN},
        {**ELSEWHERE, "IssuerOfPatientID": "OTHER"},
        {"CompletionFlag": "PARTIAL"},
    ],
    ids=["of another study", "of another patient", "of another issuer", "preliminary"],
)
def test_a_late_report_that_changes_nothing_starts_none(
    site: Application, tmp_path: Path, others: dict[str, Any]
) -> None:
    series_uid = result(site, tmp_path)

    assert came(site, basic_text(tmp_path / "sr.dcm", "8 mm nodule in the RUL.", **others)) == 0

    assert revisions(site, series_uid) == [(1, JobState.CONFIRMED)]


def test_a_late_report_that_says_what_another_said_before_starts_none(
    site: Application, tmp_path: Path
) -> None:
    words = "8 mm nodule in the right upper lobe."
    give(site, report(f"FINDINGS: {words}", accession="A1"))
    result(site, tmp_path)

    assert came(site, basic_text(tmp_path / "sr.dcm", words)) == 0


def test_a_report_that_was_used_and_turns_out_to_be_another_patients_starts_one(
    site: Application, tmp_path: Path
) -> None:
    came(site, basic_text(tmp_path / "1.dcm", "40 pack-years.", **ELSEWHERE))
    series_uid = result(site, tmp_path)

    corrected = basic_text(tmp_path / "2.dcm", "40 pack-years.", **ELSEWHERE, **JOHN)

    assert came(site, corrected) == 1
    assert job_of(site, series_uid).revision == 2


def test_a_late_report_waits_for_an_analysis_that_may_have_missed_it(
    site: Application, tmp_path: Path
) -> None:
    series_uid = result(site, tmp_path)
    job_id = job_of(site, series_uid).id
    change(site, type(job_of(site, series_uid)), job_id, state=JobState.ANALYSING)

    assert came(site, basic_text(tmp_path / "sr.dcm", "8 mm nodule in the RUL.")) == 0

    change(site, type(job_of(site, series_uid)), job_id, state=JobState.CONFIRMED)
    assert revise_for_context(site, now=site.now()) == 1


def test_a_late_report_after_the_ct_was_removed_is_noted(site: Application, tmp_path: Path) -> None:
    series_uid = result(site, tmp_path)
    with site.database.write() as session:
        for row in session.query(Instance).filter_by(series_uid=series_uid):
            row.removed_at = site.now()

    assert came(site, basic_text(tmp_path / "sr.dcm", "8 mm nodule in the RUL.")) == 0

    job = job_of(site, series_uid)
    assert job.revision == 1
    assert "after its instances were removed" in history(site, job.id)[-1]


def test_without_the_setting_a_late_report_starts_none(app: Application, tmp_path: Path) -> None:
    series_uid = result(app, tmp_path)

    assert came(app, basic_text(tmp_path / "sr.dcm", "8 mm nodule in the RUL.")) == 0

    assert job_of(app, series_uid).revision == 1
