"""Lung-RADS v2022 at its limits, and Brock against worked examples."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from inference.findings import Axis, ClinicalContext, LungRadsAssessment, Measurements
from inference.guidelines import assess_exam, assess_nodule, brock, round_mm

SCREENING = ClinicalContext(screening_exam=True)


def measured(mean_mm: float, solid_mm: float | None = None) -> Measurements:
    axis = Axis(k=0, start_ji=(0.0, 0.0), end_ji=(0.0, mean_mm), length_mm=mean_mm)
    return Measurements(
        long_axis=axis,
        short_axis=axis,
        contour_ji=np.zeros((3, 2)),
        mean_diameter_mm=mean_mm,
        max_3d_diameter_mm=mean_mm,
        volume_mm3=1.0,
        mean_hu=0.0,
        solid_mean_diameter_mm=solid_mm,
        solid_volume_mm3=None,
    )


@pytest.mark.parametrize(
    ("nodule_type", "mean_mm", "solid_mm", "category"),
    [
        ("solid", 5.9, None, "2"),
        ("solid", 5.94, None, "2"),  # rounds to 5.9
        ("solid", 5.95, None, "3"),  # rounds to 6.0
        ("solid", 7.9, None, "3"),
        ("solid", 8.0, None, "4A"),
        ("solid", 14.9, None, "4A"),
        ("solid", 15.0, None, "4B"),
        ("part-solid", 5.9, 3.0, "2"),
        ("part-solid", 6.0, 5.9, "3"),
        ("part-solid", 20.0, 6.0, "4A"),
        ("part-solid", 20.0, 7.9, "4A"),
        ("part-solid", 20.0, 8.0, "4B"),
        ("ground-glass", 29.9, None, "2"),
        ("ground-glass", 30.0, None, "3"),
        ("calcified", 20.0, None, None),
    ],
)
def test_category_at_baseline(
    nodule_type: str, mean_mm: float, solid_mm: float | None, category: str | None
) -> None:
    found = assess_nodule(measured(mean_mm, solid_mm), nodule_type, SCREENING)  # type: ignore[arg-type]

    assert found.category == category
    assert found.modifier is None
    assert found.applicable == "yes"


def test_halves_of_a_tenth_round_up() -> None:
    assert [round_mm(value) for value in (7.95, 7.949, 8.25, 0.05)] == [8.0, 7.9, 8.3, 0.1]


def test_outside_screening_there_is_no_category() -> None:
    found = assess_nodule(measured(20.0), "solid", ClinicalContext(screening_exam=False))

    assert (found.applicable, found.category) == ("no", None)


@pytest.mark.parametrize("screening", [True, None, False])
def test_nothing_found_is_never_category_1_or_2(screening: bool | None) -> None:
    found = assess_exam([], ClinicalContext(screening_exam=screening), coverage="full")

    assert found.category is None
    if screening is not False:
        assert "does not exclude cancer" in found.why


def test_the_exam_takes_the_highest_category() -> None:
    nodules = [
        LungRadsAssessment(applicable="yes", category=category, why="")
        for category in ("2", "4B", "4A", None)
    ]

    assert assess_exam(nodules, SCREENING, coverage="full").category == "4B"


def test_partial_coverage_is_said_beside_the_category() -> None:
    assert "not covered" in assess_exam([], SCREENING, coverage="partial").why
    opaque = assess_exam([], SCREENING, coverage="full", unseen=True)
    assert "could not be judged: category 0 may apply" in opaque.why
    assert "category 0" not in assess_exam([], SCREENING, coverage="full").why


KNOWN = ClinicalContext(age_years=62.0, sex="M", emphysema=False, family_history_lung_cancer=False)


def test_brock_at_its_reference_point_is_its_intercept() -> None:
    # All centred terms vanish at 62 years, 4 mm and 4 nodules: d/10 = 0.4, 0.4**-0.5 = 1.58113883.
    found = brock(
        max_diameter_mm=4.0,
        nodule_type="solid",
        nodule_count=4,
        context=KNOWN,
        upper_lobe=False,
        spiculation=False,
    )

    assert found.probability == pytest.approx(1 / (1 + math.exp(6.7892)), rel=1e-6)


def test_brock_agrees_with_the_folded_intercept() -> None:
    # PMC6717521 table 2 folds the centring into one constant.
    assert pytest.approx(0.2761, abs=5e-5) == (
        -6.7892 - 0.0287 * 62 + 5.3854 * 1.58113883 + 0.0824 * 4
    )
    context = ClinicalContext(
        age_years=70.0, sex="F", emphysema=True, family_history_lung_cancer=True
    )

    found = brock(
        max_diameter_mm=16.0,
        nodule_type="part-solid",
        nodule_count=2,
        context=context,
        upper_lobe=True,
        spiculation=True,
    )

    logit = 0.2761 + 0.0287 * 70 + 0.6011 + 0.2961 + 0.2953 - 5.3854 * 1.6**-0.5
    logit += 0.377 + 0.6581 - 0.0824 * 2 + 0.7729
    assert found.probability == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-4)


@pytest.mark.parametrize("name", ["age_years", "sex", "emphysema", "family_history_lung_cancer"])
def test_brock_is_withheld_while_an_input_is_unknown(name: str) -> None:
    found = brock(
        max_diameter_mm=10.0,
        nodule_type="solid",
        nodule_count=1,
        context=dataclasses.replace(KNOWN, **{name: None}),
        upper_lobe=None,
        spiculation=False,
    )

    assert found.probability is None
    assert "upper_lobe" in found.missing
    assert len(found.missing) == 2
