from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as theirs

from inference.evaluation.grading import metrics
from inference.evaluation.grading.significance import (
    bootstrap_figures,
    delong,
    differences,
    mcnemar,
)
from inference.grading.calibration import fit_calibrator

PROBABILITIES = np.array(
    [[0.7, 0.1, 0.1, 0.1], [0.2, 0.5, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.1, 0.1, 0.2, 0.6]]
)
GRADES = np.array([0, 1, 2, 3])


def _random(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    grades = random.integers(0, 4, rows)
    logits = random.normal(size=(rows, 4)) + 1.2 * np.eye(4)[grades]
    return softmax(logits, axis=1), grades


def test_figures_of_four_rows_are_as_counted_by_hand() -> None:
    found = metrics.score(PROBABILITIES, GRADES, np.array([1.5, 2.5, 3.5, 4.5]))

    assert found["accuracy"] == 0.75
    assert found["within_one"] == 1.0
    # One disagreement of one grade; by chance 1/4 * sum over cells of (i - j)^2 n_i m_j / N:
    # given 0, 1, 3, 3 against 0, 1, 2, 3 -> expected 14.5 / 4 * ... = 11.5 / 4.
    chance = sum((a - b) ** 2 for a in (0, 1, 2, 3) for b in (0, 1, 3, 3)) / 4
    assert found["qwk"] == pytest.approx(1 - 1 / chance)
    assert found["macro_f1"] == pytest.approx((1 + 1 + 0 + 2 / 3) / 4)
    assert found["brier"] == pytest.approx((0.12 + 0.34 + 0.70 + 0.22) / 4)
    assert found["auc_ovr"] == pytest.approx(1.0)
    assert found["spearman"] == pytest.approx(1.0)


def test_figures_agree_with_scikit_learn() -> None:
    probabilities, grades = _random()
    given = probabilities.argmax(axis=1)

    found = metrics.score(probabilities, grades, grades + 1.0)

    assert found["auc_ovr"] == pytest.approx(
        theirs.roc_auc_score(grades, probabilities, multi_class="ovr")
    )
    assert found["qwk"] == pytest.approx(
        theirs.cohen_kappa_score(grades, given, weights="quadratic")
    )
    assert found["macro_f1"] == pytest.approx(theirs.f1_score(grades, given, average="macro"))
    assert found["accuracy"] == pytest.approx(theirs.accuracy_score(grades, given))


def test_ties_count_half() -> None:
    area = metrics.area_under_curve(np.array([1.0, 1.0, 0.0]), np.array([True, False, False]))

    assert area == 0.75


def test_a_grade_without_rows_has_no_area() -> None:
    assert np.isnan(metrics.macro_area(PROBABILITIES[:3], GRADES[:3]))


def test_calibration_error_of_two_bins_is_as_counted_by_hand() -> None:
    """16 rows of 0.6 of which 10 are right, 14 of 0.9 that are all wrong, two to a bin."""
    sure = np.array([0.6] * 16 + [0.9] * 14)
    probabilities = np.column_stack([sure, 1 - sure])
    grades = np.array([0] * 10 + [1] * 6 + [1] * 14)

    bins = metrics.reliability(probabilities, grades)
    error = metrics.calibration_error(probabilities, grades)

    assert bins[:, 2].tolist() == [2] * 15
    # Five bins of 0.6 are right both times, three never; seven of 0.9 never.
    assert error == pytest.approx((5 * 0.4 + 3 * 0.6 + 7 * 0.9) / 15)
    assert len(bins) == metrics.BINS
    assert metrics.calibration_error(np.tile([0.9, 0.1], (30, 1)), np.ones(30, int)) == (
        pytest.approx(0.9)
    )


def test_suspicion_is_the_probability_of_the_two_upper_grades() -> None:
    assert metrics.to_binary(PROBABILITIES)[:, 1].tolist() == pytest.approx([0.2, 0.3, 0.7, 0.8])


def test_the_weighted_figures_of_the_bootstrap_are_the_plain_ones_without_weights() -> None:
    probabilities, grades = _random()
    patients = np.repeat([f"P{n}" for n in range(100)], 4)

    boot = bootstrap_figures({"a": [probabilities]}, grades, patients, rounds=3)["a"]

    assert boot[0, 0] == pytest.approx(metrics.macro_area(probabilities, grades))
    assert boot[0, 1] == pytest.approx(
        metrics.weighted_kappa(grades, probabilities.argmax(axis=1), 4)
    )


def test_the_bootstrap_resamples_whole_patients_and_is_the_same_each_time() -> None:
    """A patient drawn twice counts twice: the figure of the expanded rows is the same."""
    probabilities, grades = _random(40)
    patients = np.repeat([f"P{n}" for n in range(10)], 4)
    first, second = (
        bootstrap_figures({"a": [probabilities]}, grades, patients, rounds=5, seed=3)["a"]
        for _ in range(2)
    )
    picks = np.random.default_rng(3).integers(10, size=10)
    names = np.unique(patients)
    rows = np.concatenate([np.flatnonzero(patients == names[pick]) for pick in picks])

    assert (first == second).all()
    assert first[1, 0] == pytest.approx(metrics.macro_area(probabilities[rows], grades[rows]))


def test_a_better_model_has_an_interval_above_zero() -> None:
    good, grades = _random()
    bad = softmax(np.random.default_rng(1).normal(size=good.shape), axis=1)
    patients = np.arange(len(grades)).astype(str)

    boot = bootstrap_figures({"good": [good], "bad": [bad]}, grades, patients, rounds=100)

    assert differences(boot["good"], boot["bad"])["auc_ovr"].low > 0
    assert differences(boot["good"], boot["good"])["qwk"].high == 0


def test_delong_agrees_with_its_formula_written_out() -> None:
    """Structural components pair by pair, as in the paper."""
    random = np.random.default_rng(5)
    positive = random.random(60) < 0.4
    scores = [np.round(random.normal(size=60) + positive * shift, 1) for shift in (1.0, 0.6)]

    def components(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        above = score[positive][:, None] > score[~positive][None]
        equal = score[positive][:, None] == score[~positive][None]
        kernel = above + equal / 2
        return kernel.mean(axis=1), kernel.mean(axis=0)

    (up_a, down_a), (up_b, down_b) = (components(score) for score in scores)
    variance = np.var(up_a - up_b, ddof=1) / positive.sum()
    variance += np.var(down_a - down_b, ddof=1) / (~positive).sum()
    z = (up_a.mean() - up_b.mean()) / variance**0.5

    first, second, p = delong(scores[0], scores[1], positive)

    assert first == pytest.approx(theirs.roc_auc_score(positive, scores[0]))
    assert second == pytest.approx(theirs.roc_auc_score(positive, scores[1]))
    from scipy.stats import norm

    assert p == pytest.approx(2 * norm.sf(abs(z)))


def test_delong_finds_no_difference_between_equal_scores() -> None:
    scores = np.arange(10.0)

    assert delong(scores, scores, scores > 4)[2] == 1.0


def test_mcnemar_counts_only_where_they_differ() -> None:
    """Ten disagreements, nine for the first: 2 * (C(10,0) + C(10,1)) / 2^10."""
    first = np.array([True] * 9 + [False] + [True] * 50)
    second = np.array([False] * 9 + [True] + [True] * 50)

    assert mcnemar(first, second) == pytest.approx(2 * 11 / 1024)
    assert mcnemar(second, second) == 1.0


def test_temperature_brings_overconfident_answers_back() -> None:
    probabilities, grades = _random(4000)
    sharp = softmax(3 * np.log(probabilities), axis=1)
    plain = fit_calibrator(probabilities, grades)

    sharper = fit_calibrator(sharp, grades)

    assert sharper.temperature == pytest.approx(3 * plain.temperature, rel=0.05)
    assert (sharper.apply(sharp).argmax(axis=1) == sharp.argmax(axis=1)).all()
    assert metrics.calibration_error(sharper.apply(sharp), grades) < (
        metrics.calibration_error(sharp, grades) / 2
    )


def test_a_bias_corrects_how_often_a_grade_is_given() -> None:
    probabilities, grades = _random(4000)
    tilted = probabilities * [4, 1, 1, 1]
    tilted /= tilted.sum(axis=1, keepdims=True)

    fixed = fit_calibrator(tilted, grades, with_bias=True).apply(tilted)

    assert fixed[:, 0].mean() == pytest.approx((grades == 0).mean(), abs=0.03)
