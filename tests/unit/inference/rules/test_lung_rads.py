"""Lung-RADS v2022: every row of first examinations at its limits, what is offered, the exam."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.findings import ClinicalContext, LungRadsAssessment, NoduleType
from inference.rules.lung_rads import assess_exam, assess_nodule
from inference.rules.lung_rads_table import rank
from tests.unit.inference.rules.examples import SCREENING, measured, prior


@pytest.mark.parametrize(
    ("nodule_type", "mean_mm", "solid_mm", "category"),
    [
        ("solid", 3.0, None, "2"),
        ("solid", 5.9, None, "2"),
        ("solid", 5.94, None, "2"),  # rounds to 5.9
        ("solid", 5.95, None, "3"),  # rounds to 6.0
        ("solid", 6.0, None, "3"),
        ("solid", 7.9, None, "3"),
        ("solid", 7.95, None, "4A"),  # rounds to 8.0
        ("solid", 8.0, None, "4A"),
        ("solid", 14.9, None, "4A"),
        ("solid", 14.95, None, "4B"),  # rounds to 15.0
        ("solid", 15.0, None, "4B"),
        ("part-solid", 5.9, 3.0, "2"),
        ("part-solid", 5.95, 3.0, "3"),
        ("part-solid", 6.0, 5.9, "3"),
        ("part-solid", 20.0, 5.9, "3"),
        ("part-solid", 20.0, 6.0, "4A"),
        ("part-solid", 20.0, 7.9, "4A"),
        ("part-solid", 20.0, 8.0, "4B"),
        ("ground-glass", 6.0, None, "2"),
        ("ground-glass", 29.9, None, "2"),
        ("ground-glass", 30.0, None, "3"),
        ("calcified", 20.0, None, None),
    ],
)
def test_category_at_baseline(
    nodule_type: NoduleType, mean_mm: float, solid_mm: float | None, category: str | None
) -> None:
    found = assess_nodule(measured(mean_mm, solid_mm), nodule_type, SCREENING)

    assert found.category == category
    assert found.modifier is None
    assert found.applicable == "yes"


@pytest.mark.parametrize(
    ("nodule_type", "mean_mm", "solid_mm", "category"),
    [
        ("solid", 3.9, None, "2"),
        ("solid", 4.0, None, "3"),
        ("solid", 5.9, None, "3"),
        ("solid", 6.0, None, "4A"),
        ("solid", 7.9, None, "4A"),
        ("solid", 8.0, None, "4B"),
        ("part-solid", 5.9, 3.0, "3"),
        ("part-solid", 6.0, 3.9, "4A"),
        ("part-solid", 6.0, 4.0, "4B"),
        ("ground-glass", 29.9, None, "2"),
        ("ground-glass", 30.0, None, "3"),
        ("calcified", 20.0, None, None),
    ],
)
def test_category_of_a_new_nodule(
    nodule_type: NoduleType, mean_mm: float, solid_mm: float | None, category: str | None
) -> None:
    found = assess_nodule(measured(mean_mm, solid_mm), nodule_type, SCREENING, new=True)

    assert found.category == category


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize(("mean_mm", "in_row"), [(9.9, True), (9.95, False), (10.0, False)])
def test_a_juxtapleural_solid_nodule_below_10_mm_is_category_2(
    mean_mm: float, in_row: bool, new: bool
) -> None:
    found = assess_nodule(measured(mean_mm), "solid", SCREENING, new=new, juxtapleural=True)

    assert (found.category == "2") == in_row


def test_the_juxtapleural_row_is_for_solid_nodules_only() -> None:
    found = assess_nodule(measured(9.0, 8.5), "part-solid", SCREENING, juxtapleural=True)

    assert found.category == "4B"


@pytest.mark.parametrize(
    ("mean_mm", "management"),
    [(5.0, "12-month"), (7.0, "6-month"), (10.0, "3-month"), (20.0, "tissue sampling")],
)
def test_each_category_has_its_management(mean_mm: float, management: str) -> None:
    found = assess_nodule(measured(mean_mm), "solid", SCREENING)

    assert management in str(found.management)


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("nodule_type", ["solid", "part-solid", "ground-glass"])
@given(sizes_mm=st.tuples(st.floats(1, 60), st.floats(1, 60)), share=st.floats(0, 1))
def test_a_larger_nodule_never_gets_a_lower_category(
    nodule_type: NoduleType, new: bool, sizes_mm: tuple[float, float], share: float
) -> None:
    small, large = (
        assess_nodule(measured(mm, share * mm), nodule_type, SCREENING, new=new).category
        for mm in sorted(sizes_mm)
    )

    assert rank(small) <= rank(large)


@given(mean_mm=st.floats(1, 60))
def test_a_new_solid_nodule_is_never_judged_milder_than_at_baseline(mean_mm: float) -> None:
    baseline = assess_nodule(measured(mean_mm), "solid", SCREENING)
    new = assess_nodule(measured(mean_mm), "solid", SCREENING, new=True)

    assert rank(new.category) >= rank(baseline.category)


def test_outside_screening_there_is_no_category() -> None:
    found = assess_nodule(measured(20.0), "solid", ClinicalContext(screening_exam=False))

    assert (found.applicable, found.category, found.offered) == ("no", None, ())


def test_where_screening_is_unknown_the_category_is_given_and_that_is_said() -> None:
    found = assess_nodule(measured(20.0), "solid", ClinicalContext())

    assert (found.applicable, found.category) == ("unknown", "4B")


def test_a_new_nodule_with_priors_is_refused() -> None:
    with pytest.raises(ValueError, match="a new nodule has 1 priors"):
        assess_nodule(measured(8.0), "solid", SCREENING, new=True, priors=[prior(7.0)])


def test_4x_is_offered_in_categories_3_and_4_and_never_set() -> None:
    small, large = (
        assess_nodule(measured(mm), "solid", SCREENING, suspicious=["spiculation"])
        for mm in (5.0, 6.0)
    )

    assert (small.category, small.offered) == ("2", ())
    assert (large.category, large.offered) == ("3", ("4X: spiculation",))


def test_4x_is_offered_again_where_it_was_set_before() -> None:
    found = assess_nodule(
        measured(9.0), "solid", SCREENING, priors=[prior(9.0, days=90, category="4X")]
    )

    assert found.category == "4B"
    assert found.offered == ("4X: so judged before",)


@pytest.mark.parametrize(
    ("mm3_before", "days", "offered"),
    [(500.0, 365, True), (500.1, 365, False), (500.0, 366, False)],
)
def test_4x_is_offered_for_ground_glass_that_doubled_within_a_year(
    mm3_before: float, days: float, offered: bool
) -> None:
    found = assess_nodule(
        measured(12.0, mm3=1000.0),
        "ground-glass",
        SCREENING,
        priors=[prior(10.0, days=days, nodule_type="ground-glass", mm3=mm3_before)],
    )

    assert found.category == "2"
    assert ("4X: ground glass that doubled within a year" in found.offered) == offered


@pytest.mark.parametrize(("mean_mm", "offered"), [(7.9, False), (8.0, True)])
def test_0_is_offered_for_a_large_new_solid_nodule(mean_mm: float, offered: bool) -> None:
    found = assess_nodule(measured(mean_mm), "solid", SCREENING, new=True)

    assert any(text.startswith("0: ") for text in found.offered) == offered


@pytest.mark.parametrize("screening", [True, None, False])
def test_nothing_found_is_never_category_1_or_2(screening: bool | None) -> None:
    found = assess_exam([], ClinicalContext(screening_exam=screening), coverage="full")

    assert found.category is None
    assert found.offered == ()
    if screening is not False:
        assert "does not exclude cancer" in found.why


def assessed(category: str | None, *offered: str) -> LungRadsAssessment:
    return LungRadsAssessment(applicable="yes", category=category, why="", offered=offered)


def test_the_exam_takes_the_highest_category() -> None:
    nodules = [assessed(category) for category in ("2", "4B", "4A", None)]

    found = assess_exam(nodules, SCREENING, coverage="full")

    assert found.category == "4B"
    assert "as at baseline" in found.why


def test_with_priors_the_exam_does_not_say_baseline() -> None:
    found = assess_exam([assessed("2")], SCREENING, coverage="full", baseline=False)

    assert found.why == "Highest category of 1 nodule."


def test_partial_coverage_is_said_beside_the_category() -> None:
    partial = assess_exam([], SCREENING, coverage="partial")
    opaque = assess_exam([], SCREENING, coverage="full", unseen=True)

    assert "not covered" in partial.why
    assert "could not be judged: category 0 may apply" in opaque.why
    assert partial.offered == ("0: parts of the lungs are not covered",)
    assert opaque.offered == ("0: parts of the lungs could not be judged",)
    assert "category 0" not in assess_exam([], SCREENING, coverage="full").why


def test_0_is_offered_while_an_earlier_ct_is_awaited_and_for_more_than_six_new_nodules() -> None:
    awaited = assess_exam([assessed("2")], SCREENING, coverage="full", prior_awaited=True)
    six, seven = (
        assess_exam([assessed("3")], SCREENING, coverage="full", new_count=count)
        for count in (6, 7)
    )

    assert (awaited.category, awaited.offered) == ("2", ("0: an earlier CT is being located",))
    assert six.offered == ()
    assert seven.offered[0].startswith("0: 7 new nodules")


def test_s_is_offered_and_the_modifier_stays_empty() -> None:
    found = assess_exam(
        [assessed("3")], SCREENING, coverage="full", significant=["coronary calcification"]
    )

    assert (found.category, found.modifier) == ("3", None)
    assert found.offered == ("S: coronary calcification",)


def test_the_exam_repeats_what_its_nodules_offer_once_but_no_lower_category() -> None:
    nodules = [
        assessed("4A", "4X: spiculation"),
        assessed("3", "4X: spiculation"),
        assessed("4B", "2: clearly smaller"),
        assessed(None, "1: if the calcification is complete"),
    ]

    assert assess_exam(nodules, SCREENING, coverage="full").offered == ("4X: spiculation",)


def test_1_is_offered_where_only_calcified_nodules_were_found() -> None:
    calcified = assess_nodule(measured(12.0), "calcified", SCREENING)

    found = assess_exam([calcified], SCREENING, coverage="full")

    assert found.category is None
    assert found.offered[0].startswith("1: if the calcification is")
