"""Letters of the page: its languages and fonts, names in any script, where lines break."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.valuerep import PersonName
from pypdf import PdfReader

from dicom_node.read.ct_series import CtSeries
from tests.unit.workers.page_cases import (
    findings_of,
    need_wide_font,
    nodules_of,
    page_of,
    renamed,
    small_series,
    text_of,
)
from workers.errors import FontMissing
from workers.page.compose import key_image_words, show_name
from workers.page.typeface import find_typeface
from workers.page.words import CHINESE, ENGLISH, WORDS

LATIN_ONLY = replace(find_typeface("en"), wide=None, wide_file=None)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> CtSeries:
    return small_series(tmp_path_factory.mktemp("page"))


def test_the_chinese_page_is_chinese(series: CtSeries) -> None:
    need_wide_font()

    pdf = page_of(series, "zh", nodules=nodules_of(series, 2))

    text = text_of(pdf)
    assert text.count(CHINESE.not_for_diagnosis) == 2
    assert "报告 2 个结节" in text
    assert "左肺上叶" in text
    assert "部分实性" in text
    assert "nodules reported" not in text


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


def test_lines_are_broken_at_spaces_and_inside_what_has_none() -> None:
    room = LATIN_ONLY.width("words and wo", 10)

    lines = LATIN_ONLY.wrap("words and words " + "x" * 40, 10, room)

    assert lines[0] == "words and"
    assert all(LATIN_ONLY.width(line, 10) <= room for line in lines)
    assert "".join(lines).replace(" ", "") == "wordsandwords" + "x" * 40
