"""Reports that come by DICOM (SR), from the inbox to what a CT may use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy import select

from dicom_node.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME
from tests.unit.dicom_node.read.sr_files import (
    FINDING,
    NODULE,
    REPORT,
    SITE,
    SR_UID,
    basic_text,
    code,
    group,
    item,
    number,
    write_sr,
)
from tests.unit.workers.context.known import give, known
from tests.unit.workers.context.test_reports import of_study, report, sizes, values
from workers.application import Application
from workers.context.facts import Person
from workers.context.resolve import Resolved
from workers.state.answer_tables import AnswerReport, ReportOutcome
from workers.state.context_tables import ContextMessage
from workers.state.schema import Job, JobState
from workers.usecases.index import index_inbox
from workers.usecases.take_answers import take_answers

NEXT_UID = "1.2.840.113619.9.2"


def arrive(app: Application, *paths: Path) -> Resolved:
    """Receive reports, look at them as the node does; what a CT of the study then uses."""
    for path in paths:
        app.spool.accept(str(dcmread(path).SOPInstanceUID), path.read_bytes())
    index_inbox(app)
    take_answers(app)
    return known(app, of=of_study())


def test_a_text_report_of_the_study_says_nodules_and_history(
    app: Application, tmp_path: Path
) -> None:
    path = basic_text(tmp_path / "1.dcm", "8 mm nodule in the RUL. Emphysema.", "40 pack-years.")

    resolved = arrive(app, path)

    assert sizes(resolved) == [8.0]
    assert resolved.exam is not None
    (source,) = resolved.exam.reports
    assert (source.source, source.message_id, source.on) == ("dicom sr", SR_UID, "2026-03-02")
    found = values(resolved)
    assert found["pack_years"] == (40.0, "dicom sr", SR_UID, "2026-03-02")
    assert found["emphysema"][:2] == (True, "dicom sr")
    with app.database.read() as session:
        assert session.scalars(select(AnswerReport.outcome)).all() == [ReportOutcome.NOT_OURS]
        assert session.scalars(select(Job.state)).all() != [JobState.QUARANTINED]


def test_a_measurement_report_of_another_maker_gives_sizes_and_sites(
    app: Application, tmp_path: Path
) -> None:
    measured = item(
        "CONTAINER", ("126010", "DCM", "Imaging Measurements"),
        group(
            code(FINDING, NODULE),
            code(SITE, ("42400003", "SCT", "Upper lobe of right lung")),
            number(("103339001", "SCT", "Long Axis"), 9.4),
            number(("103340004", "SCT", "Short Axis"), 7.0),
        ),
    )  # fmt: skip

    resolved = arrive(app, write_sr(tmp_path / "1.dcm", REPORT, [measured]))

    assert resolved.exam is not None
    (nodule,) = resolved.exam.nodules
    assert (nodule.size_mm, nodule.axes_mm, nodule.lobe) == (9.4, (9.4, 7.0), "RUL")


@pytest.mark.parametrize(
    "others",
    [
        {"StudyInstanceUID": "1.2.3.4"},
        {"CompletionFlag": "PARTIAL"},
        {"PatientBirthDate": "19710101"},
        {"PatientID": "0815"},
        {"IssuerOfPatientID": "OTHER"},
        {"Manufacturer": MANUFACTURER, "ManufacturerModelName": MANUFACTURER_MODEL_NAME},
    ],
    ids=lambda others: next(iter(others)),
)
def test_a_report_that_is_anothers_or_ours_says_nothing_of_the_cts_nodules(
    app: Application, tmp_path: Path, others: dict[str, Any]
) -> None:
    path = basic_text(tmp_path / "1.dcm", "8 mm nodule in the RUL.", **others)

    assert sizes(arrive(app, path)) is None


def test_a_prior_studys_report_gives_history_alone(app: Application, tmp_path: Path) -> None:
    path = basic_text(
        tmp_path / "1.dcm", "8 mm nodule in the RUL. Emphysema.",
        StudyInstanceUID="1.2.3.4", StudyDate="20250401", AccessionNumber="A0",
    )  # fmt: skip

    resolved = arrive(app, path)

    assert resolved.exam is None
    assert values(resolved) == {"emphysema": (True, "dicom sr", SR_UID, "2025-04-01")}


def test_a_report_takes_the_place_of_the_one_it_names(app: Application, tmp_path: Path) -> None:
    first = basic_text(tmp_path / "1.dcm", "8 mm nodule in the RUL.")
    reference = Dataset()
    reference.ReferencedSOPInstanceUID = SR_UID
    series = Dataset()
    series.ReferencedSOPSequence = [reference]
    study = Dataset()
    study.ReferencedSeriesSequence = [series]
    second = basic_text(
        tmp_path / "2.dcm", "6 mm nodule in the LUL.", uid=NEXT_UID, ContentTime="120000",
        PredecessorDocumentsSequence=[study],
    )  # fmt: skip

    assert sizes(arrive(app, second, first)) == [6.0]


def test_the_same_report_by_hl7_and_by_dicom_is_told_once(app: Application, tmp_path: Path) -> None:
    give(app, report("FINDINGS: 8 mm nodule in the RUL.", accession="A1", control="RAD-1"))

    resolved = arrive(app, basic_text(tmp_path / "1.dcm", "8 mm nodule in the RUL."))

    assert sizes(resolved) == [8.0]
    assert resolved.exam is not None
    assert len(resolved.exam.reports) == 2


def test_a_report_that_is_sent_again_is_kept_once(app: Application, tmp_path: Path) -> None:
    path = basic_text(tmp_path / "1.dcm", "8 mm nodule in the RUL.")

    arrive(app, path)
    arrive(app, path)

    with app.database.read() as session:
        assert len(session.scalars(select(ContextMessage.id)).all()) == 1


def test_a_report_that_comes_again_for_another_patient_leaves_the_first(
    app: Application, tmp_path: Path
) -> None:
    words = ("8 mm nodule in the RUL.", "40 pack-years.")
    assert "pack_years" in values(arrive(app, basic_text(tmp_path / "1.dcm", *words)))
    whose = {"PatientID": "0815", "PatientName": "Doe^John"}

    resolved = arrive(app, basic_text(tmp_path / "2.dcm", *words, **whose))

    assert (sizes(resolved), values(resolved)) == (None, {})


def test_the_last_word_on_whose_a_report_is_counts_also_where_it_was_said_before(
    app: Application, tmp_path: Path
) -> None:
    words = ("8 mm nodule in the RUL.", "40 pack-years.")
    of_jane = basic_text(tmp_path / "1.dcm", *words)
    of_john = basic_text(tmp_path / "2.dcm", *words, PatientID="0815", PatientName="Doe^John")
    john = of_study(person=Person(names=("Doe^John",), birth_date="19600402", sex="F"))

    for path, hers, his in (
        (of_jane, [8.0], None),
        (of_john, None, [8.0]),
        (of_jane, [8.0], None),
        (of_jane, [8.0], None),
        (of_john, None, [8.0]),
        (of_jane, [8.0], None),
    ):
        assert sizes(arrive(app, path)) == hers
        assert sizes(known(app, ("0815", "HOSP"), of=john)) == his

    with app.database.read() as session:
        assert len(session.scalars(select(ContextMessage.id)).all()) == 5
        assert len(session.scalars(select(AnswerReport.id)).all()) == 2


def test_a_copy_that_was_not_looked_at_in_time_counts_when_it_comes_back(
    app: Application, tmp_path: Path
) -> None:
    of_jane = basic_text(tmp_path / "1.dcm", "8 mm nodule in the RUL.")
    of_john = basic_text(
        tmp_path / "2.dcm", "8 mm nodule in the RUL.", PatientID="0815", PatientName="Doe^John"
    )
    assert sizes(arrive(app, of_jane, of_john)) is None

    assert sizes(arrive(app, of_jane)) == [8.0]
