"""Lung-RADS v2022 with earlier examinations: growth, thresholds crossed, steps down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.findings import NoduleType, PriorNodule
from inference.rules.lung_rads import assess_nodule
from inference.rules.lung_rads_growth import grows, grows_slowly
from inference.rules.lung_rads_table import rank
from tests.unit.inference.rules.examples import SCREENING, measured, prior


def category(
    mean_mm: float,
    *priors: PriorNodule,
    nodule_type: NoduleType = "solid",
    solid_mm: float | None = None,
    proven_benign: bool = False,
    juxtapleural: bool = False,
) -> str | None:
    return assess_nodule(
        measured(mean_mm, solid_mm),
        nodule_type,
        SCREENING,
        priors=priors,
        proven_benign=proven_benign,
        juxtapleural=juxtapleural,
    ).category


@pytest.mark.parametrize(
    ("now_mm", "history", "found"),
    [
        (7.5, [(6.0, 365)], False),  # 1.5 mm is not more than 1.5 mm
        (7.6, [(6.0, 365)], True),
        (7.6, [(6.0, 90)], True),
        (6.8, [(6.0, 90)], False),  # 0.8 mm in a quarter is not extrapolated to 3.2 mm a year
        (9.0, [(6.0, 730.5)], False),  # 1.5 mm a year
        (9.1, [(6.0, 730.5)], True),
        (7.8, [(7.3, 90), (6.8, 180), (6.2, 270)], True),  # 1.6 mm in nine months
        (7.8, [(7.8, 90), (6.0, 270)], False),  # stable since the latest
        (8.0, [(7.0, 365), (5.0, 1000)], False),  # older ones do not count
        (5.0, [(8.0, 365)], False),
    ],
)
def test_growth_is_more_than_1_5_mm_within_12_months(
    now_mm: float, history: list[tuple[float, float]], found: bool
) -> None:
    assert grows(now_mm, history) == found


@pytest.mark.parametrize(
    ("now_mm", "history", "found"),
    [
        (8.0, [(7.2, 365), (6.4, 730)], True),
        (8.0, [(7.2, 365), (6.5, 730)], False),  # 1.5 mm in all
        (8.0, [(6.4, 365)], False),  # two examinations
        (8.0, [(8.0, 365), (6.4, 730)], False),
    ],
)
def test_slow_growth_needs_three_examinations_and_more_than_1_5_mm(
    now_mm: float, history: list[tuple[float, float]], found: bool
) -> None:
    assert grows_slowly(now_mm, history) == found


@pytest.mark.parametrize(
    ("now_mm", "before_mm", "expected"),
    [(5.6, 4.0, "4A"), (7.9, 6.0, "4A"), (8.0, 6.0, "4B"), (20.0, 10.0, "4B")],
)
def test_a_growing_solid_nodule(now_mm: float, before_mm: float, expected: str) -> None:
    assert category(now_mm, prior(before_mm, category="2")) == expected


def test_what_grows_is_never_judged_milder_than_before() -> None:
    assert category(7.0, prior(5.0, category="4B")) == "4B"


def test_growth_comes_before_the_juxtapleural_row_and_before_a_work_up() -> None:
    assert category(7.0, prior(5.0, category="2"), juxtapleural=True) == "4A"
    assert category(9.0, prior(7.0, category="4B"), proven_benign=True) == "4B"


def test_a_part_solid_nodule_whose_whole_grew_is_not_benign_by_an_earlier_work_up() -> None:
    before = prior(12.0, nodule_type="part-solid", solid_mm=5.0, category="4B")

    found = category(14.0, before, nodule_type="part-solid", solid_mm=5.0, proven_benign=True)

    assert found == "4B"


def test_a_juxtapleural_nodule_that_does_not_grow_stays_category_2() -> None:
    assert category(7.0, prior(6.8, category="2"), juxtapleural=True) == "2"
    assert category(8.1, prior(7.9), juxtapleural=True) == "2"


@pytest.mark.parametrize(
    ("now_mm", "before_mm", "held", "expected"),
    [
        (6.0, 5.9, "2", "3"),
        (8.0, 7.9, "3", "4A"),
        (15.0, 14.9, "4A", "4B"),
        (6.0, 5.9, "4A", "4A"),  # not lower than it was: it is not stable
    ],
)
def test_a_crossed_threshold_reclassifies_without_growth(
    now_mm: float, before_mm: float, held: str, expected: str
) -> None:
    assert category(now_mm, prior(before_mm, category=held)) == expected


@pytest.mark.parametrize(
    ("days", "held", "expected"),
    [
        (180, "3", "2"),
        (150, "3", "2"),
        (149, "3", "3"),
        (90, "4A", "3"),
        (75, "4A", "3"),
        (74, "4A", "4A"),
        (365, "4A", "3"),  # one step at a time
        (365, "4B", "4B"),
        (365, "4X", "4B"),
        (365, "2", "2"),
        (365, None, "3"),
        (365, "0", "3"),
    ],
)
@pytest.mark.parametrize("before_mm", [7.0, 7.5, 7.9])
def test_what_is_stable_or_smaller_steps_down(
    days: float, held: str | None, expected: str, before_mm: float
) -> None:
    assert category(7.0, prior(before_mm, days=days, category=held)) == expected


def test_4b_that_was_proven_benign_is_category_2() -> None:
    assert category(16.0, prior(16.0, category="4B"), proven_benign=True) == "2"


def test_4b_that_became_clearly_smaller_stays_and_the_lower_category_is_offered() -> None:
    shrunk, hardly = (
        assess_nodule(measured(mm), "solid", SCREENING, priors=[prior(9.5, days=60, category="4B")])
        for mm in (7.9, 8.0)
    )

    assert (shrunk.category, hardly.category) == ("4B", "4B")
    assert shrunk.offered[0].startswith("3: clearly smaller")
    assert hardly.offered == ()


@pytest.mark.parametrize("nodule_type", ["solid", "part-solid"])
def test_slow_growth_over_several_examinations_is_4b(nodule_type: NoduleType) -> None:
    priors = [
        prior(7.2, days=365, nodule_type=nodule_type, solid_mm=3.0, category="3"),
        prior(6.4, days=730, nodule_type=nodule_type, solid_mm=3.0, category="3"),
    ]

    slow = category(8.0, *reversed(priors), nodule_type=nodule_type, solid_mm=3.0)
    stable = category(7.9, *priors, nodule_type=nodule_type, solid_mm=3.0)

    assert (slow, stable) == ("4B", "2")


@pytest.mark.parametrize(
    ("solid_mm", "before_mm", "expected"),
    [
        (3.9, 2.0, "4A"),
        (4.0, 2.0, "4B"),
        (7.0, 5.0, "4B"),
        (3.9, 0.0, "4A"),  # new
        (4.0, 0.0, "4B"),
    ],
)
def test_a_solid_part_that_grew_or_is_new(solid_mm: float, before_mm: float, expected: str) -> None:
    before = prior(12.0, nodule_type="part-solid", solid_mm=before_mm, category="3")

    assert category(12.0, before, nodule_type="part-solid", solid_mm=solid_mm) == expected


def test_ground_glass_with_a_new_solid_part() -> None:
    before = prior(12.0, nodule_type="ground-glass", category="2")

    assert category(12.0, before, nodule_type="part-solid", solid_mm=3.9) == "4A"
    assert category(12.0, before, nodule_type="part-solid", solid_mm=4.0) == "4B"
    assert category(12.0, before) == "4B"  # all of it became solid


def test_a_part_solid_nodule_that_is_stable_steps_down() -> None:
    before = prior(12.0, days=180, nodule_type="part-solid", solid_mm=5.0, category="3")

    assert category(12.0, before, nodule_type="part-solid", solid_mm=5.0) == "2"


def test_a_part_solid_nodule_whose_whole_grew_does_not_step_down() -> None:
    before = prior(12.0, days=180, nodule_type="part-solid", solid_mm=5.0, category="3")

    assert category(14.0, before, nodule_type="part-solid", solid_mm=5.0) == "3"


def test_without_an_earlier_solid_part_there_is_no_step_down() -> None:
    before = prior(12.0, days=180, nodule_type="part-solid", category="3")

    assert category(12.0, before, nodule_type="part-solid", solid_mm=0.0) == "3"
    assert category(12.0, before, nodule_type="part-solid", solid_mm=6.0) == "4A"
    assert category(7.9, prior(6.0, nodule_type="part-solid", category="3")) == "4A"


@pytest.mark.parametrize(
    ("now_mm", "before_mm", "expected"),
    [
        (29.9, 20.0, "2"),  # growing, below 30 mm
        (30.0, 29.9, "3"),  # crossed
        (31.0, 31.0, "2"),
        (31.5, 30.0, "2"),  # slowly growing
        (31.6, 30.0, "3"),  # growing, for which the table has no row but that of its size
        (25.0, 31.0, "2"),
    ],
)
def test_ground_glass_seen_before(now_mm: float, before_mm: float, expected: str) -> None:
    before = prior(before_mm, nodule_type="ground-glass", category="3")

    assert category(now_mm, before, nodule_type="ground-glass") == expected


def test_what_lost_its_solid_part_is_not_ground_glass_from_the_start() -> None:
    before = prior(20.0, days=90, nodule_type="part-solid", solid_mm=9.0, category="4B")

    assert category(20.0, before, nodule_type="ground-glass") == "4B"


def test_a_nodule_that_is_calcified_now_is_a_readers() -> None:
    assert category(9.0, prior(9.0, category="4A"), nodule_type="calcified") is None


@given(
    sizes_mm=st.tuples(st.floats(1, 40), st.floats(1, 40)),
    before_mm=st.floats(1, 40),
    days=st.floats(1, 1500),
    held=st.sampled_from([None, "2", "3", "4A", "4B"]),
)
def test_the_larger_a_solid_nodule_is_now_the_higher_its_category(
    sizes_mm: tuple[float, float], before_mm: float, days: float, held: str | None
) -> None:
    before = prior(before_mm, days=days, category=held)

    small, large = (category(mm, before) for mm in sorted(sizes_mm))

    assert rank(small) <= rank(large)


def test_a_prior_lies_before() -> None:
    with pytest.raises(ValueError, match="prior lies 0 days before"):
        prior(5.0, days=0)
