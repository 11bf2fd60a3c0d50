"""Fleischner 2017: every row at its limits, whom it is for, the examination."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.findings import ClinicalContext, NoduleType
from inference.rules.fleischner import SizedNodule, assess_exam, assess_nodule
from tests.unit.inference.rules.examples import INCIDENTAL, sized

HIGH_RISK = dataclasses.replace(INCIDENTAL, high_risk=True)
NONE = "no routine follow-up"
OPTIONAL = "optional CT at 12 months"
HALF_A_YEAR = "CT at 6-12 months, then consider CT at 18-24 months"
HALF_A_YEAR_HIGH = "CT at 6-12 months, then CT at 18-24 months"
SOON = "consider CT at 3 months, PET/CT or tissue sampling"
SEVERAL = "CT at 3-6 months, then consider CT at 18-24 months"
SEVERAL_HIGH = "CT at 3-6 months, then CT at 18-24 months"


@pytest.mark.parametrize(
    ("mean_mm", "low", "high"),
    [
        (3.0, NONE, OPTIONAL),
        (5.49, NONE, OPTIONAL),  # rounds to 5 mm
        (5.5, HALF_A_YEAR, HALF_A_YEAR_HIGH),  # rounds to 6 mm
        (5.9, HALF_A_YEAR, HALF_A_YEAR_HIGH),
        (6.0, HALF_A_YEAR, HALF_A_YEAR_HIGH),
        (8.0, HALF_A_YEAR, HALF_A_YEAR_HIGH),
        (8.49, HALF_A_YEAR, HALF_A_YEAR_HIGH),  # rounds to 8 mm
        (8.5, SOON, SOON),  # rounds to 9 mm
        (30.0, SOON, SOON),
    ],
)
def test_a_single_solid_nodule(mean_mm: float, low: str, high: str) -> None:
    nodule = sized("solid", mean_mm)

    assert assess_nodule(nodule, INCIDENTAL).recommendation == low
    assert assess_nodule(nodule, HIGH_RISK).recommendation == high


@pytest.mark.parametrize(
    ("mm3", "low"),
    [(99.9, NONE), (100.0, HALF_A_YEAR), (250.0, HALF_A_YEAR), (250.1, SOON)],
)
def test_a_single_solid_nodule_by_volume(mm3: float, low: str) -> None:
    found = assess_nodule(sized("solid", 7.0, mm3=mm3), INCIDENTAL, by="volume")

    assert found.recommendation == low


@pytest.mark.parametrize(
    ("mean_mm", "low", "high"),
    [
        (5.49, NONE, OPTIONAL),
        (5.5, SEVERAL, SEVERAL_HIGH),
        (8.49, SEVERAL, SEVERAL_HIGH),
        (
            8.5,
            f"{SEVERAL}; this nodule alone: {SOON}",
            f"{SEVERAL_HIGH}; this nodule alone: {SOON}",
        ),
    ],
)
def test_several_solid_nodules(mean_mm: float, low: str, high: str) -> None:
    nodule, others = sized("solid", mean_mm), [sized("solid", 4.0)]

    assert assess_nodule(nodule, INCIDENTAL, others=others).recommendation == low
    assert assess_nodule(nodule, HIGH_RISK, others=others).recommendation == high


@pytest.mark.parametrize(
    ("mean_mm", "recommendation"),
    [
        (5.49, NONE),
        (5.5, "CT at 6-12 months; if persistent, CT every 2 years until 5 years"),
        (20.0, "CT at 6-12 months; if persistent, CT every 2 years until 5 years"),
    ],
)
@pytest.mark.parametrize("context", [INCIDENTAL, HIGH_RISK])
def test_a_single_ground_glass_nodule(
    mean_mm: float, recommendation: str, context: ClinicalContext
) -> None:
    found = assess_nodule(sized("ground-glass", mean_mm), context)

    assert found.recommendation == recommendation


@pytest.mark.parametrize(
    ("mean_mm", "solid_mm", "part"),
    [
        (5.49, 5.0, NONE),
        (5.5, 5.0, "if unchanged, CT every year for 5 years"),
        (20.0, 5.49, "if unchanged, CT every year for 5 years"),
        (20.0, 5.5, "highly suspicious"),
        (20.0, 8.49, "highly suspicious"),
        (20.0, 8.5, "PET/CT, biopsy or resection"),
    ],
)
def test_a_single_part_solid_nodule(mean_mm: float, solid_mm: float, part: str) -> None:
    found = assess_nodule(sized("part-solid", mean_mm, solid_mm), INCIDENTAL)

    assert part in str(found.recommendation)
    assert ("CT at 3-6 months" in str(found.recommendation)) == (mean_mm >= 5.5)


def test_a_part_solid_nodule_without_its_solid_part_names_it() -> None:
    found = assess_nodule(sized("part-solid", 12.0), INCIDENTAL)

    assert found.missing == ("solid_mean_diameter_mm",)
    assert "then by the size of the solid part" in str(found.recommendation)


@pytest.mark.parametrize(
    ("nodule", "recommendation"),
    [
        (
            sized("ground-glass", 5.49),
            "CT at 3-6 months; if stable, consider CT at 2 and 4 years",
        ),
        (
            sized("part-solid", 5.0, 3.0),
            "CT at 3-6 months; if stable, consider CT at 2 and 4 years",
        ),
        (sized("ground-glass", 5.5), "CT at 3-6 months, then as the most suspicious nodule asks"),
        (
            sized("part-solid", 20.0, 8.0),
            "CT at 3-6 months, then as the most suspicious nodule asks",
        ),
    ],
)
def test_several_subsolid_nodules(nodule: SizedNodule, recommendation: str) -> None:
    found = assess_nodule(nodule, INCIDENTAL, others=[sized("ground-glass", 4.0)])

    assert found.recommendation == recommendation


def test_nodules_are_several_among_their_like() -> None:
    others = [sized("ground-glass", 7.0), sized("calcified", 7.0)]

    assert (
        assess_nodule(sized("solid", 7.0), INCIDENTAL, others=others).recommendation == HALF_A_YEAR
    )


def test_what_is_over_30_mm_is_beyond_the_guideline() -> None:
    inside, beyond = (
        assess_nodule(sized("solid", mm), INCIDENTAL).recommendation for mm in (30.4, 30.5)
    )

    assert inside == SOON
    assert "beyond this guideline" in str(beyond)


def test_among_several_what_is_over_30_mm_leads() -> None:
    found = assess_exam([sized("solid", 20.0), sized("solid", 45.0)], INCIDENTAL)

    assert found.recommendation == "over 30 mm: beyond this guideline, a clinician decides"


def test_a_calcified_nodule_is_a_readers() -> None:
    found = assess_nodule(sized("calcified", 12.0), INCIDENTAL)

    assert (found.applicable, found.recommendation) == ("yes", None)
    assert "which a reader decides" in found.why


def test_an_unknown_risk_gives_both_and_is_named_only_where_it_matters() -> None:
    context = dataclasses.replace(INCIDENTAL, high_risk=None)

    open_risk = assess_nodule(sized("solid", 5.0), context)
    same = assess_nodule(sized("solid", 12.0), context)

    assert open_risk.recommendation == f"low risk: {NONE}; high risk: {OPTIONAL}"
    assert open_risk.missing == ("high_risk",)
    assert (same.recommendation, same.missing) == (SOON, ())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"screening_exam": True}, "a screening examination"),
        ({"age_years": 34.9}, "under 35 years"),
        ({"known_cancer": True}, "a known cancer"),
        ({"immunosuppressed": True}, "immunosuppression"),
    ],
)
def test_whom_it_is_not_for(change: dict[str, Any], reason: str) -> None:
    context = dataclasses.replace(INCIDENTAL, **change)

    for found in (
        assess_nodule(sized("solid", 12.0), context),
        assess_exam([sized("solid", 12.0)], context),
        assess_exam([], context),
    ):
        assert (found.applicable, found.recommendation) == ("no", None)
        assert found.why == f"Not meant for: {reason}"
        assert found.missing == ()


def test_every_reason_is_given() -> None:
    context = ClinicalContext(screening_exam=True, age_years=20.0, immunosuppressed=True)

    found = assess_exam([], context)

    assert found.why == "Not meant for: a screening examination, under 35 years, immunosuppression"


def test_it_is_for_people_of_35_years() -> None:
    context = dataclasses.replace(INCIDENTAL, age_years=35.0)

    assert assess_nodule(sized("solid", 7.0), context).applicable == "yes"


def test_what_is_not_known_of_the_patient_is_named() -> None:
    found = assess_nodule(sized("solid", 12.0), ClinicalContext())

    assert found.applicable == "unknown"
    assert found.recommendation == SOON
    assert found.missing == ("screening_exam", "age", "known_cancer", "immunosuppressed")
    assert "It applies only if these allow it" in found.why


def test_the_exam_goes_by_its_most_suspicious_nodule() -> None:
    nodules = [
        sized("ground-glass", 25.0),
        sized("part-solid", 12.0, 9.0),
        sized("calcified", 20.0),
    ]

    found = assess_exam(nodules, INCIDENTAL)

    assert "PET/CT, biopsy or resection" in str(found.recommendation)
    assert "Most suspicious by type and size of 3 nodules: part-solid nodule 12 mm" in found.why


def test_an_exam_without_nodules_does_not_exclude_cancer() -> None:
    found = assess_exam([], INCIDENTAL)

    assert found.recommendation is None
    assert "does not exclude cancer" in found.why
    assert "Only calcified" in assess_exam([sized("calcified", 9.0)], INCIDENTAL).why


def test_a_volume_that_shall_decide_must_be_known() -> None:
    with pytest.raises(ValueError, match="volume"):
        assess_nodule(sized("solid", 7.0), INCIDENTAL, by="volume")


ORDER = (NONE, HALF_A_YEAR, "CT at 6-12 months; if", "CT at 3-6 months to confirm", SOON, "over 30")


@pytest.mark.parametrize("nodule_type", ["solid", "ground-glass", "part-solid"])
@given(sizes_mm=st.tuples(st.floats(1, 60), st.floats(1, 60)))
def test_a_larger_nodule_is_never_followed_later(
    nodule_type: NoduleType, sizes_mm: tuple[float, float]
) -> None:
    places = []
    for mm in sorted(sizes_mm):
        found = assess_nodule(sized(nodule_type, mm, 4.0), INCIDENTAL)
        (place,) = [
            k for k, start in enumerate(ORDER) if str(found.recommendation).startswith(start)
        ]
        places.append(place)

    assert places == sorted(places)
