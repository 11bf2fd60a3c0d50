# ruff: noqa: RUF001 - Chinese punctuation is meant
"""Every language says the same, and reports are whole in each."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.compose.content import (
    ContributionContent,
    NotAnalysedSeries,
    SimilarCaseContent,
)
from dicom_node.compose.profile import Profile
from dicom_node.compose.sr_text import summary_lines
from dicom_node.compose.template_check import check_sr
from dicom_node.compose.words import LANGUAGES, Language, load_table, words_of
from dicom_node.read.ct_series import CtSeries
from tests.unit.dicom_node.compose.cases import (
    compose_both,
    decode,
    read_headers,
    report,
    series_on_disk,
    sphere,
    three_nodules,
)

CHINESE = words_of("zh")
ENGLISH = words_of("en")
HIGHEST = "Highest category of 2 nodules, as at baseline."
SEVERAL = "solid nodule 8 mm, one of several of its kind"
LABEL = (
    "solid, 8.0 x 8.0 mm, 236 mm3, left upper lobe, Lung-RADS 4A, model level III (suspicion 72 %)"
)
OWN = (
    "Lung-RADS: solid nodule 8.0 mm at baseline",
    "appearance, as readers would rate it from 1 to 5: margin 4.0, spiculation 2.3",
    (
        "what the suspicion rests on: CT image +31 points (attention 80 %), clinical data -2 "
        "points (attention 20 %, learned from SIMULATED patients)"
    ),
    "similar cases: C-12 (91 % alike, level III, reader-rated)",
)
MASKED = "Nodules 1, 2: known, not used for the model level (masked by setting): serology, PET"
OTHERS = [language for language in LANGUAGES if language != "en"]


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def is_chinese(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("section", ["say", "names", "phrases"])
def test_every_language_has_the_same_sentences_with_the_same_placeholders(
    language: Language, section: str
) -> None:
    english: dict[str, str] = getattr(load_table("en"), section)
    other: dict[str, str] = getattr(load_table(language), section)

    assert list(other) == list(english)
    assert {key: placeholders(text) for key, text in other.items()} == {
        key: placeholders(text) for key, text in english.items()
    }


def test_chinese_is_chinese() -> None:
    table = load_table("zh")
    same_in_both = {"brock", "mayo", "comma", "semicolon", "pet", "ml", "offer_4x", "own", "about"}
    same_in_both |= {"fact", "fleischner_nodule", "lung_rads_why"}
    same_in_both |= {"rp_mm", "rp_axes"}

    for section in (table.say, table.names, table.phrases):
        for key, text in section.items():
            assert is_chinese(text) or key in same_in_both, key


@pytest.mark.parametrize("key", list(load_table("en").phrases))
def test_every_sentence_of_the_findings_is_recognised_by_its_own_pattern(key: str) -> None:
    template = load_table("en").phrases[key]
    text = template.format(**dict.fromkeys(placeholders(template), "7"))
    expected = load_table("zh").phrases[key].format(**dict.fromkeys(placeholders(template), "7"))

    assert CHINESE.translate(text) == expected
    assert ENGLISH.translate(text) == text


def test_what_a_sentence_is_made_of_is_translated_too() -> None:
    text = (
        "Most suspicious by type and size of 2 nodules: part-solid nodule 9 mm with solid part "
        "4 mm, one of several of its kind. It applies only if these allow it: age, known_cancer"
    )

    assert CHINESE.translate(text) == (
        "2 个结节中按类型和大小最可疑者：部分实性结节 9 mm，实性成分 4 mm，同类多个之一。"
        "仅在以下条件允许时适用：年龄，已知恶性肿瘤"
    )
    assert ENGLISH.translate(text).endswith("allow it: age, known cancer")


def test_a_sentence_that_no_table_knows_stays_as_it_is() -> None:
    assert CHINESE.translate("a new kind of warning (3 mm)") == "a new kind of warning (3 mm)"


def full_report(series: CtSeries) -> tuple[tuple[str, ...], tuple[str, ...]]:
    nodules = [
        sphere(
            series, number, (5 * number, 30, 30), 4.0,
            lung_rads_why="solid nodule 8.0 mm at baseline",
            fleischner="CT at 6-12 months, then CT at 18-24 months",
            attributes={"spiculation": 2.31, "margin": 4.0, "calcification": 6.0},
            contributions=(
                ContributionContent(modality="ct_image", points=31.4, attention=0.8),
                ContributionContent(
                    modality="clinical", points=-2.0, attention=0.2, simulated=True
                ),
            ),
            masked=("serology", "pet"),
            similar_cases=(
                SimilarCaseContent(
                    case_id="C-12", similarity=0.912, level="III", evidence="reader-rated"
                ),
            ),
            brock_missing=("emphysema", "spiculation"),
            mayo_probability=0.124 if number == 1 else None,
            mayo_missing=() if number == 1 else ("ever_smoker",),
            model_level="III", model_suspicion=0.72,
        )
        for number in (1, 2)
    ]  # fmt: skip
    content = report(
        nodules,
        exam_lung_rads_why=HIGHEST,
        exam_lung_rads_management="6-month low-dose CT",
        exam_lung_rads_offered=("0: parts of the lungs are not covered",),
        exam_fleischner="no routine follow-up",
        exam_fleischner_why=SEVERAL,
        weights={"detector": "a" * 64, "grader": "b" * 64},
        bank_version="site-3",
        limits=("nodules under 6 mm mean diameter are not reported",),
        warnings=("age is unknown",),
        facts={"Lung volume": "4321 ml"},
    )
    return tuple(summary_lines(content)), tuple(summary_lines(content, CHINESE))


def test_the_report_says_everything_once_and_in_order(series: CtSeries) -> None:
    english, chinese = full_report(series)

    assert english == (
        "Research use only. Not for diagnosis. Not verified by a physician.",
        "2 nodules reported.",
        f"Lung-RADS v2022 category 4A (applicable: unknown): {HIGHEST}",
        "Management for Lung-RADS 4A: 6-month low-dose CT.",
        "For the reader to decide: 0: parts of the lungs are not covered",
        f"Fleischner 2017 (applicable: unknown): no routine follow-up. Reason: {SEVERAL}",
        f"Nodule 1, {LABEL}, Mayo 12.4 %",
        *(f"Nodule 1, {text}" for text in OWN),
        f"Nodule 2, {LABEL}",
        *(f"Nodule 2, {text}" for text in OWN),
        "Nodules 1, 2: Fleischner 2017: CT at 6-12 months, then CT at 18-24 months",
        MASKED,
        "Nodules 1, 2: no Brock risk, not known: emphysema, spiculation",
        "Nodule 2: no Mayo risk, not known: smoking",
        "Lung volume: 4321 ml",
        "Warning: age is unknown",
        "Limit: nodules under 6 mm mean diameter are not reported",
        "Pulmonode 0.1.0, revision 1",
        "Weights by SHA-256: detector aaaaaaaaaaaa, grader bbbbbbbbbbbb",
        "Typical cases: site-3",
    )
    assert len(chinese) == len(english)
    assert all(is_chinese(line) for line in chinese)


@pytest.mark.parametrize("charset", ["", "ISO_IR 100", "GB18030"])
def test_a_chinese_report_is_utf_8_with_english_codes_and_the_patients_own_name(
    charset: str, tmp_path: Path
) -> None:
    name = {"": "Wang^Xiao", "ISO_IR 100": "M\u00fcller^J\u00f6rg", "GB18030": "Wang^Xiao=王^小东"}
    _, paths = series_on_disk(tmp_path, shape=(20, 60, 60))
    for path in paths:
        ds = dcmread(path)
        ds.SpecificCharacterSet = charset or None
        ds.PatientName = name[charset]
        ds.save_as(path)
    series = read_headers(paths)
    profile = Profile(name="chinese", language="zh")
    seg, sr = compose_both(series, report(three_nodules(series)), profile=profile)
    assert seg is not None

    ds = decode(sr)

    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert ds.PatientName == name[charset]
    assert check_sr(ds, seg=decode(seg), profile=profile) == []
    said = texts(ds)
    assert "仅供研究使用，不得用于诊断。未经医师审核。" in said
    assert any(text.startswith("结节 1，实性，10.0 x 10.0 mm") for text in said)
    for item in walk(ds):
        for code in (
            *item.get("ConceptNameCodeSequence", ()),
            *item.get("ConceptCodeSequence", ()),
        ):
            assert str(code.CodeMeaning).isascii()
    names = {str(item.TextValue) for item in walk(ds) if concept(item) == "Tracking Identifier"}
    assert names == {"Nodule 1", "Nodule 2", "Nodule 3"}


def test_where_a_name_uses_a_character_set_that_is_not_declared_the_report_stays_english(
    tmp_path: Path,
) -> None:
    _, paths = series_on_disk(tmp_path, shape=(4, 20, 20))
    for path in paths:
        ds = dcmread(path)
        ds.SpecificCharacterSet = "GB18030"
        ds.PatientName = "Wang^Xiao=王^小东"
        ds.save_as(path)
        data = path.read_bytes()
        path.write_bytes(data.replace(b"GB18030 ", b"        "))
    series = read_headers(paths)

    _, sr = compose_both(series, report(), profile=Profile(name="chinese", language="zh"))

    assert any(text.startswith("Research use only") for text in texts(decode(sr)))


def test_a_report_that_nothing_was_analysed_speaks_chinese() -> None:
    missed = NotAnalysedSeries(
        number=3, images=4, code="thickness", why="slices 8 mm thick, limit 6 mm"
    )

    said = summary_lines(report(not_analysed=(missed,), limits=(), warnings=(), facts={}), CHINESE)

    assert said[1].startswith("未分析")
    assert said[2] == "序列 3（4 幅图像）：层厚 8 mm，上限 6 mm"


def walk(item: Dataset) -> list[Dataset]:
    found = []
    for child in item.get("ContentSequence") or ():
        found += [child, *walk(child)]
    return found


def concept(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def texts(ds: Dataset) -> list[str]:
    return [str(item.TextValue) for item in walk(ds) if item.ValueType == "TEXT"]
