"""The shipped grader: what it may rest on, and what it says of cases that are known."""

from __future__ import annotations

import numpy as np
import pytest

from inference.findings import NoduleGrade
from inference.graders import BANK_FILE, LIMITS, TrainedGrading, make_grading
from inference.grading.bank import load_bank
from inference.phantom import make_phantom
from inference.pipeline import analyse
from inference.training.shapes import EXCLUDED_PATIENTS
from inference.weights import SHIPPED, load_weights
from tests.conftest import need_ct
from tests.unit.inference.test_real_ct import read
from tests.unit.inference.test_shipped_segmenter import SLAB

LEVELS = ("I", "II", "III", "IV")


@pytest.fixture(scope="module")
def grading() -> TrainedGrading:
    return make_grading()


def test_a_calcified_nodule_gets_level_one_or_none(grading: TrainedGrading) -> None:
    found = analyse(make_phantom(SLAB).volume, grading=grading)
    calcified = [nodule.grade for nodule in found.nodules if nodule.type == "calcified"]

    assert calcified
    assert all(grade.level == "I" or grade.withheld for grade in calcified)
    assert set(LIMITS) <= set(found.limits)
    assert found.bank_version == grading.bank_version
    assert found.weights["grader"] == load_weights("grader").sha256
    assert "grading" in found.timings_s


def test_equal_input_gets_equal_grades(grading: TrainedGrading) -> None:
    volume = make_phantom(SLAB).volume

    first, second = (analyse(volume, grading=grading) for _ in range(2))

    assert [nodule.grade for nodule in first.nodules] == [nodule.grade for nodule in second.nodules]


def test_without_a_grader_the_report_says_so() -> None:
    found = analyse(make_phantom(SLAB).volume)

    assert all(nodule.grade.withheld == "no grader was at work" for nodule in found.nodules)
    assert any("no grader is chosen" in limit for limit in found.limits)


@pytest.mark.real_ct
def test_the_lidc_nodule_is_graded_as_suspicious_with_its_reasons(grading: TrainedGrading) -> None:
    # Readers' mean is 4.75. The patient is in nothing that was trained, nor in the bank.
    volume = read(need_ct("lidc_idri_0001"))

    found = analyse(volume, grading=grading)
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
    assert grade.modalities["ct_image"].present


def test_the_bank_holds_nobody_who_is_kept_for_others() -> None:
    bank = load_bank(SHIPPED / BANK_FILE, sha256=load_weights("grader").facts["bank_sha256"])

    assert not EXCLUDED_PATIENTS & {record.patient for record in bank.records}
    assert {record.evidence for record in bank.records} == {"reader-rated"}
    assert {record.level for record in bank.records} == set(LEVELS)


def test_the_graph_of_the_shipped_model_is_in_use() -> None:
    facts = load_weights("grader").facts

    assert facts["edges_per_case"] > 1
    assert all(
        abs(value) > 0.01 for layers in facts["mu"].values() for both in layers for value in both
    )
    assert facts["loss"]["semantic"] > 0
    assert facts["loss"]["contrastive"] > 0
    assert facts["training"]["reconstruction_weight"] > 0


def test_a_withheld_grade_has_nothing_but_its_reason() -> None:
    grade = NoduleGrade(withheld="too large")

    assert grade.level is None
    assert grade.suspicion is None
    assert grade.probabilities == ()
