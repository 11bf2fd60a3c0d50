"""Brock model 2b against examples worked by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.findings import ClinicalContext
from inference.rules.brock import brock

KNOWN = ClinicalContext(age_years=62.0, sex="M", emphysema=False, family_history_lung_cancer=False)


def test_at_its_reference_point_it_is_its_intercept() -> None:
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


def test_a_small_nodule_of_a_man_without_other_risks() -> None:
    # -6.7892 + 0.0287 * (55 - 62) = -6.9901; 0.8**-0.5 = 1.118034, so the size gives
    # -5.3854 * (1.118034 - 1.581139) = +2.494006; one nodule -0.0824 * (1 - 4) = +0.2472.
    # Sum -4.248894; 1 / (1 + e^4.248894) = 1 / 71.0280
    found = brock(
        max_diameter_mm=8.0,
        nodule_type="solid",
        nodule_count=1,
        context=dataclasses.replace(KNOWN, age_years=55.0),
        upper_lobe=False,
        spiculation=False,
    )

    assert found.probability == pytest.approx(0.014079, abs=1e-6)


def test_a_part_solid_nodule_with_every_risk() -> None:
    # -6.7892 + 0.0287 * 8 + 0.6011 + 0.2961 + 0.2953 = -5.3671; 1.6**-0.5 = 0.790569, so the size
    # gives -5.3854 * (0.790569 - 1.581139) = +4.257533; part-solid 0.377, upper lobe 0.6581, two
    # nodules -0.0824 * -2 = +0.1648, spiculation 0.7729. Sum 0.863233; 1 / (1 + e^-0.863233)
    found = brock(
        max_diameter_mm=16.0,
        nodule_type="part-solid",
        nodule_count=2,
        context=ClinicalContext(
            age_years=70.0, sex="F", emphysema=True, family_history_lung_cancer=True
        ),
        upper_lobe=True,
        spiculation=True,
    )

    assert found.probability == pytest.approx(0.703335, abs=1e-5)


def test_it_agrees_with_the_folded_intercept() -> None:
    # PMC6717521 table 2 folds the centring into one constant.
    folded = -6.7892 - 0.0287 * 62 + 5.3854 * 1.58113883 + 0.0824 * 4

    assert folded == pytest.approx(0.2761, abs=5e-5)


@given(sizes_mm=st.tuples(st.floats(3, 60), st.floats(3, 60)))
def test_a_larger_nodule_is_never_less_likely_cancer(sizes_mm: tuple[float, float]) -> None:
    small, large = (
        brock(
            max_diameter_mm=mm,
            nodule_type="ground-glass",
            nodule_count=1,
            context=KNOWN,
            upper_lobe=True,
            spiculation=False,
        ).probability
        for mm in sorted(sizes_mm)
    )

    assert small is not None
    assert large is not None
    assert small <= large


@pytest.mark.parametrize("name", ["age_years", "sex", "emphysema", "family_history_lung_cancer"])
def test_it_is_withheld_while_an_input_is_unknown(name: str) -> None:
    found = brock(
        max_diameter_mm=10.0,
        nodule_type="solid",
        nodule_count=1,
        context=dataclasses.replace(KNOWN, **{name: None}),  # type: ignore[arg-type]
        upper_lobe=None,
        spiculation=False,
    )

    assert found.probability is None
    assert "upper_lobe" in found.missing
    assert len(found.missing) == 2
