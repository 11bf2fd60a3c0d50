"""Which nodule is which: one to one, by place; never by guess."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inference.findings import (
    Axis,
    BrockEstimate,
    FleischnerAssessment,
    LungRadsAssessment,
    MayoEstimate,
    Measurements,
    Nodule,
    VoiMask,
)
from inference.follow_up.change import as_listed, change_since
from inference.follow_up.exam import PriorExam, PriorFinding
from inference.follow_up.matching import match_by_place, match_by_size

AXIS = Axis(k=0, start_ji=(0.0, 0.0), end_ji=(1.0, 0.0), length_mm=10.0)


def nodule(place: tuple[float, float, float], diameter_mm: float = 10.0, **other: Any) -> Nodule:
    measured = Measurements(
        long_axis=AXIS,
        short_axis=AXIS,
        contour_ji=np.zeros((1, 2)),
        mean_diameter_mm=diameter_mm,
        max_3d_diameter_mm=diameter_mm,
        volume_mm3=np.pi / 6 * diameter_mm**3,
        mean_hu=30.0,
        solid_mean_diameter_mm=None,
        solid_volume_mm3=None,
    )
    made = Nodule(
        id=1,
        centre_lps_mm=place,
        voi=VoiMask(origin_kji=(0, 0, 0), mask=np.ones((1, 1, 1), dtype=bool)),
        detection_probability=0.9,
        measurements=measured,
        type="solid",
        laterality="left",
        lobe=None,
        lobe_probability=None,
        lung_rads=LungRadsAssessment(applicable="unknown", category=None, why=""),
        fleischner=FleischnerAssessment(applicable="unknown", recommendation=None, why=""),
        brock=BrockEstimate(probability=None, missing=()),
        mayo=MayoEstimate(probability=None),
    )
    return replace(made, **other)


def finding(
    key: str, place: tuple[float, float, float] | None, diameter_mm: float = 10.0, **other: Any
) -> PriorFinding:
    made = PriorFinding(
        key=key,
        centre_lps_mm=place,
        type="solid",
        mean_diameter_mm=diameter_mm,
        volume_mm3=np.pi / 6 * diameter_mm**3,
        laterality="left",
    )
    return replace(made, **other)


def match(nodules: list[Nodule], findings: list[PriorFinding]) -> dict[int, int]:
    return match_by_place(nodules, [item.centre_lps_mm for item in nodules], findings)


def test_the_pairs_are_the_best_as_a_whole_not_one_by_one() -> None:
    # Greedily the first would take B, which lies nearer, and leave nothing for the second.
    nodules = [nodule((0, 0, 0)), nodule((10, 0, 0))]
    findings = [finding("A", (-6, 0, 0)), finding("B", (4, 0, 0))]

    assert match(nodules, findings) == {0: 0, 1: 1}


def test_nothing_far_and_nothing_of_impossible_size_is_matched() -> None:
    assert match([nodule((0, 0, 0), 6.0)], [finding("A", (14, 0, 0), 6.0)]) == {}
    assert match([nodule((0, 0, 0), 30.0)], [finding("A", (0, 0, 0), 4.0)]) == {}
    assert match([nodule((0, 0, 0), 14.0)], [finding("A", (5, 0, 0), 7.0)]) == {0: 0}


def test_of_two_at_one_place_the_likelier_by_size_and_type_is_taken() -> None:
    findings = [
        finding("A", (2, 0, 0), 5.0, type="ground-glass"),
        finding("B", (2, 0, 0), 10.0),
    ]

    assert match([nodule((0, 0, 0))], findings) == {0: 1}


def test_without_places_only_what_leaves_no_choice_is_matched() -> None:
    one = [nodule((0, 0, 0))]

    assert match_by_size(one, [finding("A", None)]) == {0: 0}
    assert match_by_size(one, [finding("A", None), finding("B", None)]) == {}
    assert match_by_size([*one, *one], [finding("A", None)]) == {}
    assert match_by_size(one, [finding("A", None, laterality="right")]) == {}
    assert match_by_size(one, [finding("A", None, 20.0)]) == {}
    assert match_by_size([replace(one[0], laterality=None)], [finding("A", None)]) == {}


@pytest.mark.parametrize(
    ("then_mm", "now_mm", "status", "doubling"),
    [
        (10.0, 10.7, "stable", None),  # +22.5 %: within the error of volumetry
        (10.0, 12.6, "grown", 100 / np.log2(1.26**3)),
        (10.0, 8.0, "shrunk", None),
    ],
)
def test_change_is_by_volume_and_the_doubling_time_withheld_under_25_percent(
    then_mm: float, now_mm: float, status: str, doubling: float | None
) -> None:
    exam = PriorExam(key="1.2", days_before=100, findings=())
    then = as_listed(finding("A", (0, 0, 0), then_mm), exam)

    change = change_since(
        nodule((0, 0, 0), now_mm), then, matched_by="place", key="A", distance_mm=0.0
    )

    assert change.status == status
    assert change.growth is not None
    assert change.growth.doubling_days == (None if doubling is None else pytest.approx(doubling))


def test_without_a_volume_the_diameter_decides() -> None:
    exam = PriorExam(key="1.2", days_before=100, findings=())
    then = as_listed(finding("A", (0, 0, 0), 10.0, volume_mm3=None), exam)

    changes = [
        change_since(nodule((0, 0, 0), now), then, matched_by="size", key="A", distance_mm=None)
        for now in (8.4, 11.4, 11.6)
    ]

    assert [change.status for change in changes] == ["shrunk", "stable", "grown"]
    assert all("less certain" in change.why for change in changes)


def test_an_examination_that_is_not_earlier_is_refused() -> None:
    with pytest.raises(ValueError, match="wanted over 0"):
        PriorExam(key="1.2", days_before=0, findings=())
