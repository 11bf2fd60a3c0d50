# ruff: noqa: RUF001 - Chinese punctuation is meant
"""The page: one sheet whatever stands on it, nothing outside of it, nothing lost in silence."""

from __future__ import annotations

import io
import math
import re
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName
from pypdf import PdfReader

from dicom_node.read.ct_series import CtSeries
from inference.findings import LungSummary, ModalityShare, Quality
from inference.report_values import ReportComparison, ReportedAs, ReportUsed
from tests.conftest import need_program
from tests.unit.workers.page_cases import (
    CREATED,
    GRADE,
    findings_of,
    need_wide_font,
    nodules_of,
    small_series,
    text_of,
)
from workers.errors import FontMissing
from workers.page.compose import (
    PICTURED_AT_MOST,
    compose_page,
    key_image_words,
    ranges,
    show_date,
    show_name,
)
from workers.page.content import PagePicture
from workers.page.draw import draw_case
from workers.page.layout import LEVEL_COLOURS, draw_page
from workers.page.typeface import find_typeface
from workers.page.words import CHINESE, ENGLISH, WORDS

LONG_NAME = "Featherstonehaugh-Cholmondeley^Maximiliana Wilhelmina Theodora^^Prof. Dr. Dr.^III"
LATIN_ONLY = replace(find_typeface("en"), wide=None, wide_file=None)
DPI = 60


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> CtSeries:
    return small_series(tmp_path_factory.mktemp("page"))


def page_of(series: CtSeries, language: str = "en", **more: object) -> bytes:
    """A page with pictures of the nodules that it shows; the sheets of the others are not drawn."""
    findings = findings_of(**more)  # type: ignore[arg-type]
    shown = replace(findings, nodules=findings.nodules[:PICTURED_AT_MOST])
    words, typeface = WORDS[language], find_typeface(language)
    drawn = draw_case(series, shown, revision=2, created=CREATED, language=language)
    looked_at = PagePicture(caption=words.looked_at, tiles=(Image.new("RGB", (90, 90)),) * 3)
    content = compose_page(
        series,
        findings,
        pictures=drawn.nodules,
        looked_at=looked_at,
        created=CREATED,
        revision=2,
        language=language,
        typeface=typeface,
    )
    return draw_page(content, typeface)


def renamed(series: CtSeries, **values: object) -> CtSeries:
    """The series with other header values in every slice."""
    headers = []
    for header in series.headers:
        ds = Dataset(dict(header.items()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # senders are not always within the standard
            for keyword, value in values.items():
                ds.pop(keyword, None)
                setattr(ds, keyword, value)
        headers.append(ds)
    return replace(series, headers=tuple(headers))


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


def test_the_chinese_page_is_chinese(series: CtSeries) -> None:
    need_wide_font()

    pdf = page_of(series, "zh", nodules=nodules_of(series, 2))

    text = text_of(pdf)
    assert text.count(CHINESE.not_for_diagnosis) == 2
    assert "报告 2 个结节" in text
    assert "左肺上叶" in text
    assert "部分实性" in text
    assert "nodules reported" not in text


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
        report=report, said={}, words="9 mm", why=("right side",), listed_for_it=True,
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


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_page_brings_all_its_fonts(series: CtSeries, language: str) -> None:
    """A viewer without them would take others, of other widths."""
    if language == "zh":
        need_wide_font()

    assert fonts_without_file(page_of(series, language, nodules=nodules_of(series, 2))) == []


def fonts_without_file(pdf: bytes) -> list[str]:
    """Fonts of a page that a reader must find elsewhere."""
    (page,) = PdfReader(io.BytesIO(pdf)).pages
    names = []
    for font in page["/Resources"]["/Font"].values():  # type: ignore[index,union-attr]
        described = font.get_object()
        inner = described.get("/DescendantFonts")
        if inner is not None:
            described = inner[0].get_object()
        descriptor = described.get("/FontDescriptor")
        if descriptor is None or "/FontFile2" not in descriptor.get_object():
            names.append(str(described["/BaseFont"]))
    return names


def test_the_two_languages_have_the_same_braces_to_fill(series: CtSeries) -> None:
    del series
    for name in ENGLISH.__slots__:
        english, chinese = getattr(ENGLISH, name), getattr(CHINESE, name)
        if isinstance(english, str):
            found = [set(re.findall(r"{(\w+)}", text)) for text in (english, chinese)]
            assert found[0] == found[1], name
        else:
            assert len(english) == len(chinese), name
    assert list(ENGLISH.types) == list(CHINESE.types)
    assert list(ENGLISH.places) == list(CHINESE.places)
    assert list(ENGLISH.modalities) == list(CHINESE.modalities)
    assert list(WORDS) == ["en", "zh"]


def test_english_pictures_need_no_letter_that_their_font_lacks(series: CtSeries) -> None:
    (nodule,) = nodules_of(series, 1)

    words = key_image_words(nodule, findings_of([nodule]), revision=1, image="45", language="en")

    assert all(getattr(words, name).isascii() for name in words.__slots__)
    assert words.title == "Nodule 1, part-solid, left upper lobe"
    assert words.axial == "Axial, image 45"
    for said in ("mm3", "model level III (suspicion 73 %)", "Lung-RADS 4A", "Brock 8.2 %"):
        assert said in words.subtitle


def test_names_are_written_in_all_letters_that_can_be_drawn(series: CtSeries) -> None:
    header = renamed(series, PatientName=PersonName("Wang^XiaoDong=王^小东")).headers[0]

    assert show_name(header, LATIN_ONLY) == "Wang, XiaoDong"
    need_wide_font()
    assert show_name(header, find_typeface("en")) == "Wang, XiaoDong / 王, 小东"


def test_a_name_in_no_known_letters_is_written_with_question_marks(series: CtSeries) -> None:
    header = renamed(series, PatientName=PersonName("Ivan" + chr(0x43E) + chr(0x432))).headers[0]

    assert LATIN_ONLY.drawable(show_name(header, LATIN_ONLY)) == "Ivan??"


def test_a_chinese_name_stands_on_an_english_page(series: CtSeries) -> None:
    need_wide_font()
    chinese = renamed(series, PatientName=PersonName("Wang^XiaoDong=王^小东"))

    text = text_of(page_of(chinese, nodules=nodules_of(series, 1)))

    assert "Wang, XiaoDong / 王, 小东" in text


def test_a_language_without_font_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("workers.page.typeface.WIDE_FONT_FILES", ())

    with pytest.raises(FontMissing, match=r"fonts-wqy-microhei.*PULMONODE_FONT_FILE"):
        find_typeface("zh")
    assert find_typeface("en") == LATIN_ONLY
    broken = tmp_path / "font.ttf"
    broken.write_bytes(b"no font")
    with pytest.raises(FontMissing, match=r"font\.ttf cannot be used"):
        find_typeface("zh", broken)


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


def test_lines_are_broken_at_spaces_and_inside_what_has_none() -> None:
    room = LATIN_ONLY.width("words and wo", 10)

    lines = LATIN_ONLY.wrap("words and words " + "x" * 40, 10, room)

    assert lines[0] == "words and"
    assert all(LATIN_ONLY.width(line, 10) <= room for line in lines)
    assert "".join(lines).replace(" ", "") == "wordsandwords" + "x" * 40


def test_numbers_and_dates_in_short() -> None:
    assert ranges([4, 5, 6, 8, 10, 11]) == "4-6, 8, 10-11"
    assert [show_date(each) for each in ("20000131", "", None, "around 1950")] == [
        "2000-01-31", "-", "-", "around 1950",
    ]  # fmt: skip
