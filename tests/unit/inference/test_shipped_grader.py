"""The shipped grader: what it may rest on, and what it says of cases that are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from inference.findings import CaseFindings
from inference.grade_values import NoduleGrade
from inference.graders import BANK_FILE, LIMITS, TrainedGrading, make_grading, to_judge
from inference.grading.bank import CaseRecord, load_bank
from inference.image_row import FROM_PIXELS
from inference.phantom import make_phantom
from inference.pipeline import analyse
from inference.training.shapes import EXCLUDED_PATIENTS
from inference.volume import Volume
from inference.weights import SHIPPED, load_weights
from tests.unit.inference.test_shipped_segmenter import SLAB
from workers.case import CaseResult

LEVELS = ("I", "II", "III", "IV")


@pytest.fixture(scope="module")
def grading() -> TrainedGrading:
    return make_grading()


@pytest.fixture(scope="module")
def slab() -> Volume:
    return make_phantom(SLAB).volume


@pytest.fixture(scope="module")
def found(slab: Volume, grading: TrainedGrading) -> CaseFindings:
    return analyse(slab, grading=grading)


def test_a_calcified_nodule_gets_level_one_or_none(
    found: CaseFindings, grading: TrainedGrading
) -> None:
    calcified = [nodule.grade for nodule in found.nodules if nodule.type == "calcified"]

    assert calcified
    assert all(grade.level == "I" or grade.withheld for grade in calcified)
    assert set(LIMITS) <= set(found.limits)
    assert found.bank_version == grading.bank_version
    assert found.weights["grader"] == load_weights("grader").sha256
    assert "grading" in found.timings_s


def test_equal_input_gets_equal_grades(
    slab: Volume, found: CaseFindings, grading: TrainedGrading
) -> None:
    again = analyse(slab, grading=grading)

    assert [nodule.grade for nodule in again.nodules] == [nodule.grade for nodule in found.nodules]


def test_without_a_grader_the_report_says_so(findings: CaseFindings) -> None:
    assert findings.nodules
    assert all(nodule.grade.withheld == "no grader was at work" for nodule in findings.nodules)
    assert any("no grader is chosen" in limit for limit in findings.limits)


@pytest.mark.real_ct
def test_the_lidc_nodule_is_graded_as_suspicious_with_its_reasons(
    analysed_ct: Callable[[str], CaseResult],
) -> None:
    # Readers' mean is 4.75. The patient is in nothing that was trained, nor in the bank.
    found = analysed_ct("lidc_idri_0001").findings
    grade = min(
        found.nodules,
        key=lambda item: float(np.linalg.norm(np.subtract(item.centre_lps_mm, (56, 86, -116)))),
    ).grade

    assert grade.level in ("III", "IV")
    assert grade.suspicion is not None
    assert grade.suspicion > 0.5
    assert 1 <= len(grade.similar_cases) <= 5
    assert [case.similarity for case in grade.similar_cases] == sorted(
        (case.similarity for case in grade.similar_cases), reverse=True
    )
    shares = [grade.modalities[name] for name in FROM_PIXELS]
    assert sum(share.attention or 0 for share in shares) == pytest.approx(1, abs=1e-5)
    assert all(share.contribution is not None for share in shares)


def test_the_bank_holds_nobody_who_is_kept_for_others() -> None:
    bank = load_bank(SHIPPED / BANK_FILE, sha256=load_weights("grader").facts["bank_sha256"])

    assert not EXCLUDED_PATIENTS & {record.patient for record in bank.records}
    assert {record.evidence for record in bank.records} == {"reader-rated"}
    assert {record.level for record in bank.records} == set(LEVELS)


def test_the_graph_of_the_shipped_model_is_in_use() -> None:
    facts = load_weights("grader").facts

    assert facts["use_of_the_bank"]["edges"] > 1
    assert facts["use_of_the_bank"]["twin"] > 0.01
    assert all(
        abs(value) > 0.01 for layers in facts["mu"].values() for both in layers for value in both
    )
    assert all(facts["loss"][name] > 0 for name in ("semantic", "contrastive", "reconstruction"))


def test_its_twin_in_the_bank_moves_a_shipped_grade(grading: TrainedGrading) -> None:
    weights, bank = load_weights("grader"), grading.judge.bank
    one = bank.table.rows(np.array([3])).only(FROM_PIXELS)
    suspicions = []
    for rating in (1.0, 5.0):
        record = CaseRecord(
            case_id="twin", patient="twin", rating=rating, evidence="confirmed", source="test"
        )
        grade = to_judge(weights, bank.with_cases([record], one, "2")).judge(one)[0]
        assert grade.suspicion is not None
        suspicions.append(grade.suspicion)

    assert suspicions[1] - suspicions[0] > 0.01


def test_air_and_what_is_far_too_large_get_no_grade(grading: TrainedGrading) -> None:
    bank = grading.judge.bank.table.only(FROM_PIXELS)
    names = bank.names["ct_measures"]
    withheld = []
    for column, value in (("mean_hu", -990.0), ("log_mean_diameter_mm", np.log(39.0))):
        measures = bank.features["ct_measures"][:1].copy()
        measures[0, names.index(column)] = value
        row = replace(
            bank.rows(np.array([0])),
            features={**bank.rows(np.array([0])).features, "ct_measures": measures},
        )
        withheld.append(grading.judge.judge(row)[0].withheld)

    assert withheld[0] is not None
    assert withheld[0].startswith("mean_hu -990.0 is outside")
    assert withheld[1] is not None
    assert withheld[1].startswith("mean_diameter_mm 39.0 is outside")


def test_a_withheld_grade_has_nothing_but_its_reason() -> None:
    grade = NoduleGrade(withheld="too large")

    assert grade.level is None
    assert grade.suspicion is None
    assert grade.probabilities == ()
