"""Figures of a grader on rows with known grades, K = 4 grades or 2 (benign, malignant).

Probabilities are (N, K) with rows that sum to 1, grades 0 to K - 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Probabilities = NDArray[np.float64]
Grades = NDArray[np.int64]

BINS = 15
"""Of equal mass, for `calibration_error`."""
PERFECT_DRAWS = 20


def area_under_curve(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """ROC area: the chance that a positive scores higher, ties count half; NaN without both."""
    count = int(positive.sum())
    if count in (0, len(positive)):
        return float("nan")
    ranks = stats.rankdata(scores)
    above = ranks[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(positive) - count)))


def grade_areas(probabilities: Probabilities, grades: Grades) -> NDArray[np.float64]:
    """ROC area of each grade against all others, shape (K,)."""
    return np.array(
        [
            area_under_curve(probabilities[:, grade], grades == grade)
            for grade in range(probabilities.shape[1])
        ]
    )


def macro_area(probabilities: Probabilities, grades: Grades) -> float:
    """Mean ROC area, one grade against the rest; NaN if a grade has no row."""
    if probabilities.shape[1] == 2:
        return area_under_curve(probabilities[:, 1], grades == 1)
    return float(grade_areas(probabilities, grades).mean())


def cumulative_area(probabilities: Probabilities, grades: Grades) -> float:
    """Mean ROC area of "above grade k": neighbours are as wrong as they are far."""
    above = probabilities[:, ::-1].cumsum(axis=1)[:, ::-1]
    return float(
        np.mean(
            [area_under_curve(above[:, k], grades >= k) for k in range(1, probabilities.shape[1])]
        )
    )


def weighted_kappa(truth: Grades, given: Grades, levels: int) -> float:
    """Cohen's kappa with quadratic weights (Cohen, Psychol Bull 1968;70:213)."""
    table = np.zeros((levels, levels))
    np.add.at(table, (truth, given), 1)
    return kappa_of(table)


def kappa_of(table: NDArray[np.float64]) -> float:
    """Quadratic kappa of a table of counts, truth in rows; NaN where only one grade occurs."""
    level = np.arange(len(table))
    apart = (level[:, None] - level[None]) ** 2
    chance = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    expected = float((apart * chance).sum())
    return 1 - float((apart * table).sum()) / expected if expected > 0 else float("nan")


def macro_f1(truth: Grades, given: Grades, levels: int) -> float:
    """Mean F1 over grades; a grade that neither occurs nor is given counts 0."""
    scores = []
    for grade in range(levels):
        both = int(((truth == grade) & (given == grade)).sum())
        either = int((truth == grade).sum() + (given == grade).sum())
        scores.append(2 * both / either if either else 0.0)
    return float(np.mean(scores))


def brier_score(probabilities: Probabilities, grades: Grades) -> float:
    """Mean squared distance to the truth, summed over grades: 0 to 2 (Brier 1950)."""
    truth = np.eye(probabilities.shape[1])[grades]
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())


def reliability(
    probabilities: Probabilities, grades: Grades, bins: int = BINS
) -> NDArray[np.float64]:
    """Confidence and accuracy in bins of equal mass.

    Returns
    -------
    ndarray of shape (bins, 3)
        Mean probability of the grade that was given, share that was right, rows.
    """
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == grades).astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return np.array([[confidence[part].mean(), right[part].mean(), len(part)] for part in parts])


def calibration_error(probabilities: Probabilities, grades: Grades, bins: int = BINS) -> float:
    """Expected calibration error of the grade given, bins of equal mass.

    Mean |confidence - accuracy| weighted by rows (Guo et al., ICML 2017; equal mass: Nixon et
    al., CVPR workshops 2019).
    """
    found = reliability(probabilities, grades, bins)
    return float(np.average(np.abs(found[:, 0] - found[:, 1]), weights=found[:, 2]))


def error_by_chance(probabilities: Probabilities, bins: int = BINS) -> float:
    """Mean calibration error if the truth were drawn from the answers: what chance alone gives."""
    random = np.random.default_rng(0)
    edges = probabilities.cumsum(axis=1)
    drawn = [
        (random.random((len(edges), 1)) > edges[:, :-1]).sum(axis=1) for _ in range(PERFECT_DRAWS)
    ]
    return float(np.mean([calibration_error(probabilities, one, bins) for one in drawn]))


def to_binary(probabilities: Probabilities) -> Probabilities:
    """Four grades -> benign, malignant: suspicion is the probability of a mean rating above 3."""
    suspicion = probabilities[:, 2:].sum(axis=1)
    return np.column_stack([1 - suspicion, suspicion])


def score(
    probabilities: Probabilities, grades: Grades, rating: NDArray[np.float64]
) -> dict[str, float]:
    """All figures of one fold.

    Parameters
    ----------
    probabilities : ndarray of shape (N, K)
        As given.
    grades : ndarray of shape (N,), dtype int64
        The truth.
    rating : ndarray of shape (N,)
        The mean rating behind it, for the rank correlation with the expected grade.
    """
    levels = probabilities.shape[1]
    given = probabilities.argmax(axis=1)
    expected = probabilities @ np.arange(levels)
    return {
        "auc_ovr": macro_area(probabilities, grades),
        "auc_cumulative": cumulative_area(probabilities, grades),
        "qwk": weighted_kappa(grades, given, levels),
        "accuracy": float((given == grades).mean()),
        "within_one": float((np.abs(given - grades) <= 1).mean()),
        "macro_f1": macro_f1(grades, given, levels),
        "brier": brier_score(probabilities, grades),
        "spearman": float(stats.spearmanr(expected, rating).statistic),
    }
