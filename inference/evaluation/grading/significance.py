"""Whether a difference between two graders is more than chance.

Rows of one patient belong together, so intervals come from resampling whole patients. DeLong's
and McNemar's tests take rows as independent: they fit where a nodule is one row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from inference.evaluation.grading.metrics import Grades, Probabilities, kappa_of

ROUNDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """First minus second, with its 95 % interval."""

    value: float
    low: float
    high: float


class _Ranked:
    """One model's out-of-fold answers of one seed, sorted once, weighed many times."""

    def __init__(self, probabilities: Probabilities, grades: Grades) -> None:
        levels = probabilities.shape[1]
        self._levels = levels
        self._cell = grades * levels + probabilities.argmax(axis=1)
        columns = [1] if levels == 2 else range(levels)
        self._columns = []
        for grade in columns:
            values, place = np.unique(probabilities[:, grade], return_inverse=True)
            self._columns.append((grades == grade, place, len(values)))

    def figures(self, weights: NDArray[np.float64]) -> tuple[float, float]:
        """Macro ROC area and kappa, rows weighted."""
        areas = []
        for positive, place, count in self._columns:
            ups = np.bincount(place, weights * positive, count)
            downs = np.bincount(place, weights * ~positive, count)
            below = np.cumsum(downs) - downs
            total = ups.sum() * downs.sum()
            areas.append((ups * (below + downs / 2)).sum() / total if total else np.nan)
        table = np.bincount(self._cell, weights, self._levels**2).astype(np.float64)
        return float(np.mean(areas)), kappa_of(table.reshape(self._levels, self._levels))


def bootstrap_figures(
    answers: Mapping[str, Sequence[Probabilities]],
    grades: Grades,
    patients: NDArray[np.str_],
    *,
    seed: int = 0,
    rounds: int = ROUNDS,
) -> dict[str, NDArray[np.float64]]:
    """Macro ROC area and quadratic kappa of several models, on the same resampled patients.

    Parameters
    ----------
    answers : mapping of name to sequence of ndarray of shape (N, K)
        Out-of-fold probabilities, one array per repetition of the folds; figures are averaged
        over repetitions, probabilities are not.
    grades, patients : ndarray of shape (N,)
        The truth, and whose it is.
    seed, rounds : int
        Of the resampling.

    Returns
    -------
    dict of name to ndarray of shape (1 + rounds, 2)
        Row 0: nothing resampled. Columns: area, kappa.
    """
    random = np.random.default_rng(seed)
    names, whose = np.unique(patients, return_inverse=True)
    weights = [np.ones(len(patients))]
    for _ in range(rounds):
        drawn = np.bincount(random.integers(len(names), size=len(names)), minlength=len(names))
        weights.append(drawn[whose].astype(np.float64))
    found = {}
    for name, repetitions in answers.items():
        ranked = [_Ranked(probabilities, grades) for probabilities in repetitions]
        found[name] = np.array(
            [np.mean([one.figures(row) for one in ranked], axis=0) for row in weights]
        )
    return found


def differences(first: NDArray[np.float64], second: NDArray[np.float64]) -> dict[str, Difference]:
    """Area and kappa, first minus second, of two results of `bootstrap_figures`."""
    apart = first - second
    low, high = np.nanpercentile(apart[1:], [2.5, 97.5], axis=0)
    return {
        key: Difference(value=float(apart[0, at]), low=float(low[at]), high=float(high[at]))
        for at, key in enumerate(("auc_ovr", "qwk"))
    }


def delong(
    first: NDArray[np.float64], second: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """Compare two ROC areas on the same rows.

    Returns
    -------
    tuple of float
        First area, second area, two-sided p (1 where both always agree).

    References
    ----------
    DeLong, DeLong, Clarke-Pearson, Biometrics 1988;44:837, by mid-ranks (Sun and Xu, IEEE Signal
    Process Lett 2014;21:1389).
    """
    scores = np.stack([first, second])
    ups, downs = int(positive.sum()), int((~positive).sum())
    all_ranks = np.stack([stats.rankdata(row) for row in scores])
    own_up = np.stack([stats.rankdata(row[positive]) for row in scores])
    own_down = np.stack([stats.rankdata(row[~positive]) for row in scores])
    up = (all_ranks[:, positive] - own_up) / downs  # (2, positives): shares of negatives below
    down = 1 - (all_ranks[:, ~positive] - own_down) / ups  # (2, negatives): positives above
    covariance = np.cov(up) / ups + np.cov(down) / downs
    areas = up.mean(axis=1)
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if variance <= 1e-15:
        return float(areas[0]), float(areas[1]), 1.0
    z = float(areas[0] - areas[1]) / variance**0.5
    return float(areas[0]), float(areas[1]), float(2 * stats.norm.sf(abs(z)))


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> float:
    """Exact two-sided p that two graders are right equally often (McNemar 1947)."""
    only_first = int((first_right & ~second_right).sum())
    only_second = int((~first_right & second_right).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)
