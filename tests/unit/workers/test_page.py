# ruff: noqa: RUF001 - Chinese punctuation is meant
"""The page: one sheet whatever stands on it, nothing outside of it, nothing lost in silence."""

from __future__ import annotations

import io
import math
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from dicom_node.read.ct_series import CtSeries
from inference.findings import LungSummary, Quality
from inference.grade_values import ModalityShare
from inference.report_values import ReportComparison, ReportedAs, ReportUsed
from tests.conftest import need_program
from tests.unit.workers.page_cases import (
    CREATED,
    GRADE,
    findings_of,
    need_wide_font,
    nodules_of,
    page_of,
    renamed,
    small_series,
    text_of,
)
from workers.page.compose import ranges, show_date
from workers.page.draw import draw_case
from workers.page.layout import LEVEL_COLOURS
from workers.page.words import ENGLISH

LONG_NAME = "Featherstonehaugh-Cholmondeley^Maximiliana Wilhelmina Theodora^^Prof. Dr. Dr.^III"
DPI = 60


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> CtSeries:
    return small_series(tmp_path_factory.mktemp("page"))


def rendered(pdf: bytes, tmp_path: Path) -> np.ndarray:  # type: ignore[type-arg]
    """The page as poppler draws it, grey."""
    path = tmp_path / "page.pdf"
    path.write_bytes(pdf)
    subprocess.run(
        [need_program("pdftoppm"), "-r", str(DPI), "-png", "-singlefile", str(path),
         str(tmp_path / "page")],
        check=True,
    )  # fmt: skip
    return np.asarray(Image.open(tmp_path / "page.png").convert("RGB")).astype(int)


def test_the_page_says_what_was_simulated_and_what_is_known_and_masked(series: CtSeries) -> None:
    shares = GRADE.modalities
    grade = replace(
        GRADE,
        modalities={
            **shares,
            "clinical": replace(shares["clinical"], simulated=True),
            "pet": ModalityShare(present=True, masked=True),
            "serology": ModalityShare(present=True, masked=True),
        },
    )

    text = text_of(page_of(series, nodules=nodules_of(series, 1, grade)))

    assert "Learned from SIMULATED patients: clinical data" in text
    assert "Known, not used (masked by setting): PET, serology" in text


def test_the_page_says_what_was_found_of_whom_and_that_it_is_not_for_diagnosis(
    series: CtSeries,
) -> None:
    header = series.headers[0]

    text = text_of(page_of(series, nodules=nodules_of(series, 2)))

    assert text.count(ENGLISH.not_for_diagnosis) == 2
    assert str(header.PatientID) in text
    assert "2 nodules reported. Highest model level: nodule 1" in text
    for value in ("left upper lobe", "part-solid", "III", "73 %", "4A", "8.2 %", "revision 2"):
        assert value in text
    assert "CT image" in text
    assert "+21.4" in text
    assert "-5.2" in text
    assert "PET" not in text  # it was not there: no bar of nothing
    assert "CASE-0042: level IV, confirmed, similarity 0.91" in text
    assert "growth is not judged by this version" in text
    assert "Lung-RADS v2022: screening not known" in text
    assert "no probability of cancer" in text
    assert "detector abcdef01" in text


def test_sizes_are_those_of_the_findings(series: CtSeries) -> None:
    (nodule,) = nodules_of(series, 1)
    measured = nodule.measurements

    text = text_of(page_of(series, nodules=[nodule]))

    assert f"{measured.long_axis.length_mm:.1f} x {measured.short_axis.length_mm:.1f}" in text
    assert f"{measured.mean_diameter_mm:.1f}" in text
    assert f"{measured.volume_mm3:.0f}" in text


@pytest.mark.parametrize("count", [1, 3, 10, 30, 80])
def test_any_number_of_nodules_fits_one_page(series: CtSeries, count: int) -> None:
    (nodule,) = nodules_of(series, 1)
    long_notes = tuple(f"limit {index}: " + "words and more words " * 12 for index in range(40))

    text = text_of(
        page_of(
            renamed(series, PatientName=LONG_NAME, StudyDescription="Very long " * 6),
            nodules=[replace(nodule, id=number) for number in range(1, count + 1)],
            limits=long_notes,
        )
    )

    listed = re.findall(r"\n\d+\nleft upper lobe\n", text)
    assert len(listed) >= min(count, 30)
    left = re.findall(r"and (\d+) more in the structured report", text)
    assert left  # of 40 notes of two lines each, at least
    if count > len(listed):
        assert str(count - len(listed)) in left
    if count > 3:
        assert "are shown in the key images" in text


@pytest.mark.peer
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("count", [0, 2, 30])
def test_nothing_is_drawn_beyond_the_margins(
    series: CtSeries, tmp_path: Path, language: str, count: int
) -> None:
    if language == "zh":
        need_wide_font()
    header = {"PatientName": LONG_NAME, "StudyDescription": "W" * 64, "PatientID": "9" * 64}

    page = rendered(
        page_of(
            renamed(series, **header),
            language,
            nodules=nodules_of(series, count),
            limits=("a limit that is longer than the page is wide " * 8,) * 20,
            quality=Quality(slice_spacing_mm=2.0, coverage="partial", warnings=("W" * 400,)),
        ),
        tmp_path,
    )

    bar = round(18 / 72 * DPI) + 1
    margin = round(29 / 72 * DPI)
    body = page[bar:-bar]
    assert body.shape[1] == math.ceil(595.28 / 72 * DPI)
    assert (body[:, :margin] > 240).all()
    assert (body[:, -margin:] > 240).all()
    assert (body < 128).any()


@pytest.mark.peer
def test_a_line_beyond_the_margin_would_be_seen(series: CtSeries, tmp_path: Path) -> None:
    """The check above, on a page whose margin was cut."""
    page = rendered(page_of(series, nodules=nodules_of(series, 2)), tmp_path)

    assert not (page[20:-20, : round(60 / 72 * DPI)] > 240).all()


@pytest.mark.peer
def test_probabilities_are_drawn_as_long_as_they_are(series: CtSeries, tmp_path: Path) -> None:
    page = rendered(page_of(series, nodules=nodules_of(series, 1)), tmp_path)

    lengths = [
        int((np.abs(page - np.round(np.array(colour) * 255)).max(axis=-1) < 12).any(axis=0).sum())
        for colour in LEVEL_COLOURS
    ]

    shares = np.array(lengths) / sum(lengths)
    assert shares == pytest.approx(GRADE.probabilities, abs=0.06)


def test_a_page_without_nodules_says_so_and_shows_what_was_looked_at(series: CtSeries) -> None:
    pdf = draw_case(series, findings_of(), revision=1, created=CREATED, language="en").page

    text = text_of(pdf)
    assert "No nodule above the threshold. This does not exclude cancer." in text
    assert "What was looked at" in text
    assert "Rated cases" not in text
    assert "Place" not in text
    assert len(PdfReader(io.BytesIO(pdf)).pages[0].images) == 3


def test_a_partial_study_is_marked_under_the_summary(series: CtSeries) -> None:
    text = text_of(
        page_of(
            series,
            quality=Quality(slice_spacing_mm=2.0, coverage="partial"),
            lungs=LungSummary(left_ml=None, right_ml=None, total_ml=900.0, beyond=("last slice",)),
        )
    )

    assert "PARTIAL: the lungs reach beyond the last slice." in text
    assert "900 ml" in text


def test_missing_values_stay_missing(series: CtSeries) -> None:
    bare = renamed(
        series, PatientName=None, PatientID=None, StudyDate=None, PatientBirthDate="unknown"
    )
    (nodule,) = nodules_of(series, 1, grade=None)
    unknown = replace(nodule, lobe=None, laterality=None)

    text = text_of(page_of(bare, nodules=[unknown]))

    assert "None" not in text
    assert "nan" not in text.lower()
    assert "1 nodule reported. No model level was given." in text
    assert "withheld" in text
    assert "unknown" in text  # the birth date as it stands


def test_pictures_of_three_nodules_the_others_are_named(series: CtSeries) -> None:
    pdf = page_of(series, nodules=nodules_of(series, 7))

    assert len(PdfReader(io.BytesIO(pdf)).pages[0].images) == 9
    assert "Nodules 4-7 are shown in the key images." in text_of(pdf)


@pytest.mark.parametrize(
    ("language", "source", "listed", "only"),
    [
        ("en", "Radiologist's report: HL7 message RAD-1, 2026-03-02",
         "listed only because the report (HL7 message RAD-1, 2026-03-02) describes it: 9 mm",
         "Found, not in the report: 1"),
        ("zh", "放射科报告：HL7 消息 RAD-1，2026-03-02",
         "仅因报告（HL7 消息 RAD-1，2026-03-02）描述而列出：9 mm", "已检出但报告未述的结节：1"),
    ],
)  # fmt: skip
def test_a_page_says_what_the_radiologists_report_says(
    series: CtSeries, language: str, source: str, listed: str, only: str
) -> None:
    need_wide_font()
    report = ReportUsed(source="hl7", message_id="RAD-1", on="2026-03-02")
    first, second = nodules_of(series, 2)
    told = ReportedAs(
        reports=(report,), said={}, words="9 mm", why=("right side",), listed_for_it=True,
        spiculation=True,
    )  # fmt: skip

    text = text_of(
        page_of(
            series,
            language,
            nodules=[first, replace(second, reported_as=told)],
            reported=ReportComparison(reports=(report,), detected_only=(1,)),
        )
    )

    flat = "".join(text.split())
    for words in (source, listed, only):
        assert "".join(words.split()) in flat


def test_equal_findings_give_equal_bytes_and_an_even_number(series: CtSeries) -> None:
    first, second = (page_of(series, nodules=nodules_of(series, 1)) for _ in range(2))

    assert first == second
    assert len(first) % 2 == 0


def test_the_file_itself_names_no_patient(series: CtSeries) -> None:
    named = renamed(series, PatientName="Unmistakable^Name", PatientID="ID-4711")

    information = PdfReader(io.BytesIO(page_of(named))).metadata

    assert information is not None
    assert "Unmistakable" not in str(dict(information))
    assert "4711" not in str(dict(information))
    assert ENGLISH.not_for_diagnosis in str(information.title)


def test_numbers_and_dates_in_short() -> None:
    assert ranges([4, 5, 6, 8, 10, 11]) == "4-6, 8, 10-11"
    assert [show_date(each) for each in ("20000131", "", None, "around 1950")] == [
        "2000-01-31", "-", "-", "around 1950",
    ]  # fmt: skip
