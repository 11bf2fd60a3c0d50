"""Mayo Clinic model against examples worked by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.findings import ClinicalContext, MayoEstimate, NoduleType
from inference.rules.mayo import mayo

KNOWN = ClinicalContext(
    age_years=65.0,
    ever_smoker=True,
    extrathoracic_cancer_over_5_years=False,
    known_cancer=False,
)


def estimate(
    diameter_mm: float = 15.0,
    *,
    nodule_type: NoduleType = "solid",
    upper_lobe: bool | None = True,
    spiculation: bool | None = True,
    **changes: Any,
) -> MayoEstimate:
    return mayo(
        diameter_mm=diameter_mm,
        nodule_type=nodule_type,
        context=dataclasses.replace(KNOWN, **changes),
        upper_lobe=upper_lobe,
        spiculation=spiculation,
    )


def test_a_smoker_with_a_spiculated_nodule_in_the_upper_lobe() -> None:
    # -6.8272 + 0.0391 * 65 (2.5415) + 0.7917 + 0.1274 * 15 (1.911) + 1.0407 + 0.7838 = 0.2415;
    # 1 / (1 + e^-0.2415)
    assert estimate().probability == pytest.approx(0.560083, abs=1e-6)


def test_a_young_person_who_never_smoked() -> None:
    # -6.8272 + 0.0391 * 40 (1.564) + 0.1274 * 5 (0.637) = -4.6262; 1 / (1 + e^4.6262)
    found = estimate(5.0, upper_lobe=False, spiculation=False, age_years=40.0, ever_smoker=False)

    assert found.probability == pytest.approx(0.009697, abs=1e-6)


def test_an_extrathoracic_cancer_of_long_ago() -> None:
    # -6.8272 + 0.0391 * 70 (2.737) + 0.7917 + 1.3388 + 0.1274 * 20 (2.548) = 0.5883
    found = estimate(
        20.0,
        upper_lobe=False,
        spiculation=False,
        age_years=70.0,
        extrathoracic_cancer_over_5_years=True,
    )

    assert found.probability == pytest.approx(0.642975, abs=1e-5)


@pytest.mark.parametrize(
    ("diameter_mm", "given"), [(3.9, False), (4.0, True), (30.0, True), (30.1, False)]
)
def test_it_is_for_4_to_30_mm(diameter_mm: float, given: bool) -> None:
    found = estimate(diameter_mm)

    assert (found.probability is not None) == given
    assert (found.withheld is None) == given
    assert found.missing == ()


def test_it_is_withheld_after_a_recent_cancer_and_for_calcified_nodules() -> None:
    assert "cancer" in str(estimate(known_cancer=True).withheld)
    assert "calcification" in str(estimate(nodule_type="calcified").withheld)


@pytest.mark.parametrize(
    ("field", "missing"),
    [
        ("age_years", "age"),
        ("ever_smoker", "ever_smoker"),
        ("extrathoracic_cancer_over_5_years", "extrathoracic_cancer_over_5_years"),
        ("known_cancer", "known_cancer"),
        ("upper_lobe", "upper_lobe"),
        ("spiculation", "spiculation"),
    ],
)
def test_every_input_that_is_missing_is_named(field: str, missing: str) -> None:
    found = estimate(**{field: None})  # type: ignore[arg-type]

    assert (found.probability, found.missing, found.withheld) == (None, (missing,), None)


@given(sizes_mm=st.tuples(st.floats(4, 30), st.floats(4, 30)))
def test_a_larger_nodule_is_never_less_likely_malignant(sizes_mm: tuple[float, float]) -> None:
    small, large = (estimate(mm).probability for mm in sorted(sizes_mm))

    assert small is not None
    assert large is not None
    assert small <= large
