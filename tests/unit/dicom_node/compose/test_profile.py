from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from pydantic import ValidationError

from dicom_node.compose.profile import (
    DEFAULT,
    InvalidProfile,
    ObjectKind,
    Profile,
    SeriesDress,
    SeriesDresses,
    SrDress,
    find_profile,
    load_profiles,
    shipped_profile,
)
from dicom_node.errors import ComposeError

SHIPPED = {"default", "ohif", "air", "stone", "slicer", "weasis", "minimal"}


def test_the_shipped_profiles_are_there_and_named_after_their_files() -> None:
    profiles = load_profiles()

    assert set(profiles) == SHIPPED
    assert all(name == profile.name and profile.about for name, profile in profiles.items())
    assert profiles["default"].model_copy(update={"about": ""}) == DEFAULT


def test_a_site_adds_profiles_and_replaces_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "ward.yaml").write_text("objects: [sr]\nsr: {groups: [axes]}\nlanguage: zh\n")
    (tmp_path / "ohif.yaml").write_text("series:\n  sr: {number: 77, description: Ours}\n")
    (tmp_path / "readme.txt").write_text("no profile")

    profiles = load_profiles(tmp_path)

    assert set(profiles) == SHIPPED | {"ward"}
    assert (profiles["ward"].language, profiles["ward"].objects) == ("zh", (ObjectKind.SR,))
    assert profiles["ohif"].series_of(ObjectKind.SR) == SeriesDress(number=77, description="Ours")
    assert profiles["ohif"].sr == SrDress()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sr: {sop_klass: comprehensive}", r"ward\.yaml: sr\.sop_klass: Extra inputs"),
        ("colour: red", r"ward\.yaml: colour: Extra inputs"),
        ("sr: {sop_class: basic_text}", r"ward\.yaml: sr\.sop_class: Input should be"),
        ("objects: [sr, x_ray]", r"ward\.yaml: objects\.1: Input should be"),
        ("objects: [key_images]", r"ward\.yaml: profile: .*neither sr nor pdf"),
        ("objects: []", r"ward\.yaml: objects: .*at least one object"),
        ("objects: [sr]", r"ward\.yaml: profile: .*may not refer to a segmentation"),
        ("sr: {groups: [axes, region]}", r"ward\.yaml: profile: .*exactly when objects holds seg"),
        ("sr: {groups: [region, axes]}", r"ward\.yaml: sr\.groups: .*in this order"),
        ("series: {sr: {number: 9002, description: x}}", r"ward\.yaml: profile: .*share a number"),
        ("series: {sr: {number: 0, description: x}}", r"ward\.yaml: series\.sr\.number"),
        ("series: {sr: {number: 1, description: 'a\\b'}}", r"ward\.yaml: series\.sr\.description"),
        ("name: bed", r"ward\.yaml: name: must be the file's, ward"),
        ("- sr", r"ward\.yaml: keys and values are wanted"),
        ("sr: [", r"(?s)ward\.yaml: .*expected"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "ward.yaml").write_text(text)

    with pytest.raises(InvalidProfile, match=said):
        load_profiles(tmp_path)


def test_a_folder_or_a_name_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidProfile, match="nowhere is not a folder"):
        load_profiles(tmp_path / "nowhere")
    with pytest.raises(ComposeError, match="no report profile 'siemens'; there are air, default"):
        shipped_profile("siemens")
    assert find_profile(load_profiles(), "air").sr.sop_class == "comprehensive_3d"


def test_objects_stand_in_the_order_in_which_they_are_sent() -> None:
    profile = Profile(name="x", objects=("sr", "seg"))  # type: ignore[arg-type]

    assert profile.objects == (ObjectKind.SEG, ObjectKind.SR)
    with pytest.raises(ValidationError):
        Profile(name="X Y")


def test_equal_wishes_make_one_object_and_different_ones_never_do() -> None:
    """An object's identity follows from what shapes it, not from the profile's name."""
    profiles = load_profiles()
    reports = {name: profile.variant(ObjectKind.SR) for name, profile in profiles.items()}

    assert reports["stone"] == reports["default"]
    assert len(set(reports.values())) == len(reports) - 1
    assert len({profile.variant(ObjectKind.SEG) for profile in profiles.values()}) == 1


@pytest.mark.parametrize("kind", list(ObjectKind))
def test_everything_that_shapes_an_object_is_part_of_its_identity(kind: ObjectKind) -> None:
    dress = SeriesDress(number=50, description="elsewhere")
    moved = SeriesDresses(**{kind.value: dress})
    seen = [
        DEFAULT.variant(kind),
        Profile(name="x", series=moved).variant(kind),
    ]
    if kind is not ObjectKind.SEG:
        seen.append(Profile(name="x", language="zh").variant(kind))
    if kind is ObjectKind.SR:
        seen.append(Profile(name="x", series=SeriesDresses(seg=dress)).variant(kind))
        seen += [
            Profile(name="x", sr=SrDress(**choice)).variant(kind)  # type: ignore[arg-type]
            for choice in (
                {"sop_class": "comprehensive_3d"},
                {"source_image": "source"},
                {"axes_identifier_prefix": "A"},
                {"region": "box"},
                {"empty_report_title": "imaging"},
            )
        ]
        without = Profile(name="x", objects=(ObjectKind.SR,), sr=SrDress(groups=("axes", "region")))
        seen.append(without.variant(kind))

    assert all(one != other for one, other in itertools.combinations(seen, 2))


def test_a_series_is_one_for_all_profiles_that_name_and_number_it_alike() -> None:
    profiles = load_profiles()

    assert len({profile.series_variant(ObjectKind.SR) for profile in profiles.values()}) == 1
    moved = Profile(name="x", series=SeriesDresses(sr=SeriesDress(number=9, description="x")))
    assert moved.series_variant(ObjectKind.SR) != DEFAULT.series_variant(ObjectKind.SR)
