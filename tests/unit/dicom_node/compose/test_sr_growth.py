"""What became of a nodule stands in its own groups, and changes nothing that viewers rely on."""

from __future__ import annotations

import dataclasses

import pytest
from pydicom.dataset import Dataset

from dicom_node.compose import codes
from dicom_node.compose.content import GrowthContent
from dicom_node.compose.content_tree import items, template_of, tracking_uid_of
from dicom_node.compose.template_check import check_sr
from dicom_node.read.ct_series import CtSeries
from tests.unit.dicom_node.compose.cases import compose_both, decode, report, three_nodules
from tests.unit.dicom_node.compose.test_sr import groups, texts, values

GROWN = GrowthContent(
    status="grown",
    why="mean diameter 9.8 mm then, 13.5 mm now",
    volume_change_percent=125.44,
    doubling_days=170.6,
    diameter_change_mm=3.651,
)
NEW = GrowthContent(status="new", why="nothing at this place before")
UNKNOWN = GrowthContent(status="unknown", why="that CT does not cover the place")


@pytest.fixture(scope="module")
def followed(series: CtSeries) -> Dataset:
    nodules = [
        dataclasses.replace(nodule, growth=growth)
        for nodule, growth in zip(three_nodules(series), (GROWN, NEW, UNKNOWN), strict=True)
    ]
    return decode(compose_both(series, report(nodules))[1])


def change_of(group: Dataset) -> list[str]:
    return [
        str(item.ConceptCodeSequence[0].CodeMeaning)
        for item in items(group, codes.CHANGE_SINCE_PRIOR)
    ]


def test_change_is_a_code_and_numbers_of_the_group_with_the_measurements(
    followed: Dataset,
) -> None:
    of_segments = [group for group in groups(followed) if template_of(group) == "1411"]

    assert [change_of(group) for group in of_segments] == [["Larger"], ["New"], []]
    measured = values(of_segments[0])
    assert measured["Volume change since earlier examination"] == 125.4
    assert measured["Mean diameter change since earlier examination"] == 3.65
    assert measured["Volume doubling time"] == 171
    assert "Volume doubling time" not in values(of_segments[1])


def test_the_reason_is_a_line_of_text_for_each_nodule(followed: Dataset) -> None:
    said = texts(followed)

    assert f"Nodule 1, larger since the earlier CT: {GROWN.why}" in said
    assert f"Nodule 2, new since the earlier CT: {NEW.why}" in said
    assert f"Nodule 3, unknown since the earlier CT: {UNKNOWN.why}" in said


def test_groups_and_their_order_are_as_without_it(series: CtSeries, followed: Dataset) -> None:
    expected = [
        (template, nodule.tracking_uid)
        for nodule in three_nodules(series)
        for template in ("1501", "1410", "1411")
    ]

    assert [(template_of(group), tracking_uid_of(group)) for group in groups(followed)] == expected
    assert check_sr(followed) == []
