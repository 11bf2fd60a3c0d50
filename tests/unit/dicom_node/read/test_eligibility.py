from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dicom_node.read.eligibility import (
    InvalidRules,
    RuleSet,
    age_years,
    is_of_its_kind,
    judge,
    load_rules,
    names_chest,
    rank_series,
)
from dicom_node.read.geometry import SeriesGeometry, check_geometry
from dicom_node.read.header import Identity, InstanceHeader, read_header
from dicom_node.read.series import load_ct_series
from tests.conftest import need_ct
from tests.unit.dicom_node.read.test_geometry import grid

RULES = load_rules()


def chest(**changes: Any) -> InstanceHeader:
    usual = replace(
        grid()[0],
        image_type=("ORIGINAL", "PRIMARY", "AXIAL"),
        body_part_examined="CHEST",
        series_description="Chest 2.5mm",
        patient_age="061Y",
        samples_per_pixel=1,
        rescale_slope=1.0,
        rescale_intercept=-1024.0,
    )
    return replace(usual, **changes)


def geometry(spacing_mm: float = 2.5) -> SeriesGeometry:
    return SeriesGeometry(spacing_mm=spacing_mm, extent_mm=300.0)


def test_a_usual_chest_ct_is_eligible_without_a_warning() -> None:
    verdict = judge([chest()], geometry(), RULES)

    assert (verdict.eligible, verdict.code, verdict.warnings) == (True, None, ())
    assert [check.rule_id for check in verdict.checks] == [rule.id for rule in RULES.rules]
    assert all(check.passed for check in verdict.checks)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"modality": "MR"}, "not_ct", "modality is MR"),
        ({"modality": ""}, "not_ct", "modality is unknown"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.2.1"}, "enhanced_ct", "multi-frame"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"}, "not_ct_image", "not CT Image"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "localizer", "localizer"),
        ({"series_description": "Topogram 0.6"}, "localizer_by_description", "localizer"),
        ({"image_type": ("DERIVED", "SECONDARY", "MIP")}, "projection", "axial originals"),
        ({"series_description": "Thorax MPR cor"}, "projection_by_description", "axial originals"),
        ({"series_description": "Dose Report"}, "dose_or_screen", "dose sheet"),
        ({"study_description": "Daily QA"}, "quality_assurance", "(Daily QA)"),
        ({"samples_per_pixel": 3}, "colour", "3 samples per pixel"),
        ({"patient_age": "017Y"}, "under_age", "17 years old"),
        ({"patient_age": "011M"}, "under_age", "0.9 years old"),
        ({"body_part_examined": "Head", "series_description": "5.0"}, "other_body_part", "HEAD"),
        ({"series_description": "Brain 5mm"}, "other_region_by_description", "region"),
        ({"slice_thickness_mm": 10.0}, "thickness", "10 mm thick"),
        ({"pixel_spacing_mm": (2.0, 2.0)}, "pixel_spacing", "2 mm"),
        (
            {
                "manufacturer": "Pulmonode",
                "manufacturer_model_name": "Pulmonode",
                "modality": "SR",
            },
            "own_object",
            "loop guard",
        ),
    ],
)
def test_what_is_no_chest_ct_of_an_adult_is_refused_with_its_reason(
    changes: dict[str, Any], code: str, words: str
) -> None:
    verdict = judge([chest(**changes)], geometry(), RULES)

    assert (verdict.eligible, verdict.code) == (False, code)
    assert words in verdict.reason


def test_slices_too_far_apart_are_refused() -> None:
    assert judge([chest()], geometry(spacing_mm=10.0), RULES).code == "spacing"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lossy_image_compression": "01"}, "compressed with loss"),
        ({"image_type": ("DERIVED", "PRIMARY", "AXIAL")}, "derived"),
        ({"patient_age": ""}, "age is unknown"),
        ({"rescale_intercept": None}, "rescale intercept is unknown"),
        ({"image_type": ("DERIVED", "SECONDARY", "AXIAL")}, "marked secondary"),
        ({"burned_in_annotation": "YES"}, "burned into"),
    ],
)
def test_what_may_be_analysed_with_care_is_warned_of(changes: dict[str, Any], words: str) -> None:
    verdict = judge([chest(**changes)], geometry(), RULES)

    assert verdict.eligible
    assert any(words in warning for warning in verdict.warnings)


@pytest.mark.parametrize(
    "changes",
    [
        {"body_part_examined": ""},
        {"series_description": "HEAD NECK CHEST 2.5"},
        {"series_description": "Lung 1.0 B60f"},
        {"series_description": "3.0 chest/abdomen"},
        {"body_part_examined": "THORAX"},
    ],
)
def test_what_may_hold_lungs_is_left_to_the_pixels(changes: dict[str, Any]) -> None:
    assert judge([chest(**changes)], geometry(), RULES).eligible


def test_age_comes_from_the_birth_date_when_it_is_not_given() -> None:
    born = Identity(birth_date="20080102", study_date="20260101")

    assert age_years(chest(patient_age="", identity=born)) == 17.0
    assert age_years(chest(patient_age="", identity=Identity())) is None


@pytest.mark.parametrize(
    "text",
    [
        "rules: [{id: a, field: modality, reason: x}]",
        "rules: [{id: a, field: nonsense, require: {equals: CT}, reason: x}]",
        "rules: [{id: a, field: modality, require: {equals: CT, one_of: [CT]}, reason: x}]",
        "rules: [{id: a, field: modality, require: {like: CT}, reason: x}]",
        "rules: [{id: a, field: modality, require: {matches: '('}, reason: x}]",
        "rules: {",
        "rules: []",
        "rules: [{id: a, field: modality, require: {equals: CT}, reason: '{other}'}]",
        "rules: [{id: a, field: all_text, refuse: {matches: x}, reason: '{found}'}]",
        "rules: [{id: a, field: modality, require: {equals: CT}, reason: x, or: y}]",
        "rules: [&r {id: a, field: modality, require: {equals: CT}, reason: x}, *r]",
        "rules: [{id: a, field: modality, require: {equals: CT}, reason: x, unless: {field: no}}]",
        "nothing: 1",
    ],
)
def test_rules_that_make_no_sense_are_refused_with_their_place(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)

    with pytest.raises(InvalidRules, match=r"rules\.yaml"):
        load_rules(path)


def test_a_hospital_may_bring_its_own_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        "rules: [{id: kernel, field: convolution_kernel, refuse: {matches: '^b7'}, "
        "reason: 'kernel {found}'}]"
    )

    verdict = judge([chest(convolution_kernel="B70f", modality="MR")], geometry(), load_rules(path))

    assert (verdict.code, verdict.reason) == ("kernel", "kernel B70f")


def test_the_best_series_is_thin_original_and_not_sharpened() -> None:
    def rank(spacing_mm: float, **changes: Any) -> tuple[float, ...]:
        header = chest(slice_thickness_mm=spacing_mm, **changes)
        return rank_series([header] * 100, geometry(spacing_mm))

    best = rank(1.0, convolution_kernel="B30f")

    assert best > rank(1.0, convolution_kernel="B70f")
    assert best > rank(5.0, convolution_kernel="B30f")
    assert best > rank(1.0, convolution_kernel="B30f", image_type=("DERIVED", "PRIMARY"))
    assert rank(2.0) > rank(5.0)


def test_a_verdict_does_not_depend_on_which_instance_came_first() -> None:
    odd = chest(image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"), modality="")

    first = judge([odd, *[chest()] * 5], geometry(), RULES)

    assert first == judge([*[chest()] * 5, odd], geometry(), RULES)
    assert first.code == "localizer"


def test_no_free_text_of_the_patient_stands_in_a_reason_or_a_check() -> None:
    name = Identity(patient_name="Planted^Phantom", patient_id="P-1")
    header = chest(identity=name, series_description="Planted scout", study_description="P QA")

    verdict = judge([header], geometry(), RULES)

    assert not verdict.eligible
    failed = [check.text for check in verdict.checks if not check.passed]
    assert len(failed) == 3
    assert all("Planted" not in text for text in (*failed, verdict.reason))


def test_our_own_phantom_is_meant_to_be_analysed() -> None:
    name = Identity(patient_name="Phantom^Chest", patient_id="PHANTOM")

    assert judge([chest(identity=name, manufacturer="Pulmonode")], geometry(), RULES).eligible
    assert not judge([chest(identity=name)], geometry(), RULES).eligible


def test_a_limit_is_not_missed_by_rounding() -> None:
    assert judge([chest()], geometry(spacing_mm=5.0000004), RULES).eligible
    assert not judge([chest()], geometry(spacing_mm=5.01), RULES).eligible


def test_a_series_without_geometry_ranks_last() -> None:
    known = rank_series([chest(slice_thickness_mm=5.0)], geometry(5.0))

    assert rank_series([chest()], SeriesGeometry()) < known


REAL = {
    # series: (spacing in mm, words of each warning)
    "lidc_idri_0001": (2.5, []),
    "cmb_crc_MSB-01068": (2.5, []),
    "cptac_lscc_C3N-00247": (3.0, []),
    "lung_pet_ct_dx_A0001": (5.0, ["slices every 5 mm, 5 mm thick"]),
    "lung_fused_LungFCP-01-0001": (1.0, []),
}


@pytest.mark.real_ct
@pytest.mark.parametrize("name", REAL)
def test_every_real_series_is_eligible_regular_and_in_hu(name: str) -> None:
    spacing_mm, warned = REAL[name]
    paths = sorted((need_ct(name) / "dicom").glob("*.dcm"))

    headers = [read_header(path) for path in paths]
    found = check_geometry(headers)
    verdict = judge(headers, found, RULES)
    series = load_ct_series(paths)

    assert found.problems == ()
    assert found.spacing_mm == pytest.approx(spacing_mm)
    assert found.grid_error_mm < 0.1
    assert (verdict.eligible, verdict.code) == (True, None)
    warnings = [w for w in (*found.warnings, *verdict.warnings) if "age is unknown" not in w]
    assert len(warnings) == len(warned)
    assert all(words in text for words, text in zip(warned, warnings, strict=True))
    assert all(header.problems == () for header in headers)
    assert series.hu.shape == (len(paths), 512, 512)
    middle = series.hu[len(paths) // 2, 128:384, 128:384]
    assert 0.1 < float(((middle > -1000) & (middle < -700)).mean()) < 0.8  # lungs
    assert 0.1 < float(((middle > -200) & (middle < 200)).mean()) < 0.8  # soft tissue
    for k in (0, len(paths) // 2, len(paths) - 1):
        position = [float(value) for value in series.headers[k].ImagePositionPatient]
        assert (series.affine @ (k, 0, 0, 1))[:3] == pytest.approx(position, abs=0.05)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"slice_thickness_mm": 8.0}, True),
        ({"patient_age": "010Y"}, True),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.2.1"}, True),
        ({"slice_thickness_mm": 8.0, "image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, False),
        ({"patient_age": "010Y", "series_description": "Brain 5 mm"}, False),
        ({"patient_age": "010Y", "body_part_examined": "HEAD", "series_description": "x"}, False),
        ({"modality": "MR"}, False),
        ({"manufacturer": "Pulmonode", "manufacturer_model_name": "Pulmonode", "modality": "SR"},
         False),
    ],
)  # fmt: skip
def test_a_result_is_expected_of_a_chest_ct_however_bad_and_of_nothing_else(
    changes: dict[str, Any], expected: bool
) -> None:
    headers = [chest(**changes)]

    assert is_of_its_kind(headers, judge(headers, geometry(), RULES), RULES) is expected


@pytest.mark.parametrize(
    ("body_part", "description", "named"),
    [
        ("CHEST", "5 mm", True),
        ("", "Thorax native", True),
        ("", "胸部CT平扫", True),
        ("SPINE", "Spine 3 mm", False),
        ("", "", None),
    ],
)
def test_the_chest_is_known_by_body_part_or_words(
    body_part: str, description: str, named: bool | None
) -> None:
    header = chest(body_part_examined=body_part, series_description=description)

    assert names_chest([replace(header, study_description="")], geometry(), RULES) is named


def test_a_site_s_rules_tell_nobody_unless_they_say_so() -> None:
    rule = {"id": "mine", "field": "modality", "refuse": {"equals": "CT"}, "reason": "no"}
    silent = RuleSet.model_validate({"rules": [rule]})
    telling = RuleSet.model_validate({"rules": [{**rule, "tells": True}]})

    assert [
        is_of_its_kind([chest()], judge([chest()], geometry(), rules), rules)
        for rules in (silent, telling)
    ] == [False, True]
    assert names_chest([chest()], geometry(), silent) is None
