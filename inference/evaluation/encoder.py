"""How well an encoder's attributes and rating agree with the readers', on rendered nodules.

All figures are about pictures that were drawn by readers' ratings: they say what can be read from
such a picture, not from a patient's CT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from inference.attributes import ATTRIBUTES, SUBSOLID_AT_MOST
from inference.deep_features import to_grade_shares
from inference.grading.table import LEVELS, to_grades

Array = NDArray[np.float64]
DRAWS = 200
"""Of patients, for intervals."""


def measure_encoder(
    answers: tuple[NDArray[np.float32], ...],
    *,
    attributes: NDArray[np.floating],
    calcified: NDArray[np.bool_],
    rating: NDArray[np.floating],
    patient: NDArray[np.str_],
    seed: int = 0,
) -> dict[str, Any]:
    """Figures for N nodules.

    Parameters
    ----------
    answers : tuple of ndarray of shape (N, ...)
        Of the network, see `CrossViewEncoder`.
    attributes : ndarray of shape (N, 8)
        What the pictures show.
    calcified : ndarray of shape (N,)
        By most readers.
    rating : ndarray of shape (N,)
        Mean malignancy of the readers who are the truth.
    patient : ndarray of shape (N,)
        For intervals: patients are resampled.
    """
    _, grade, told, described, calcium, implied = (item.astype(np.float64) for item in answers)
    shares, told = to_grade_shares(grade), told[:, 0]
    grades = to_grades(np.asarray(rating, dtype=np.float64))
    expected = np.rint(shares @ np.arange(len(LEVELS))).astype(np.int64)
    texture = ATTRIBUTES.index("texture")
    figures: dict[str, tuple[Callable[[NDArray[np.int64]], float | None], bool]] = {
        "grade_auc": (lambda i: macro_auc(shares[i], grades[i]), True),
        "grade_qwk": (lambda i: weighted_kappa(expected[i], grades[i]), True),
        "rating_spearman": (lambda i: _spearman(told[i], rating[i]), True),
        "rating_mae": (lambda i: float(np.abs(told[i] - rating[i]).mean()), True),
        "calcified_auc": (lambda i: auc(calcium[i, 0], calcified[i]), True),
        "subsolid_auc": (
            lambda i: auc(-described[i, texture], attributes[i, texture] <= SUBSOLID_AT_MOST),
            True,
        ),
        "implied_apart": (lambda i: float(np.abs(implied[i, 0] - told[i]).mean()), False),
    }
    everyone = np.arange(len(rating))
    return {
        "count": len(rating),
        "patients": len(set(patient.tolist())),
        "calcified": int(calcified.sum()),
        "subsolid": int((attributes[:, texture] <= SUBSOLID_AT_MOST).sum()),
        "grades": np.bincount(grades, minlength=len(LEVELS)).tolist(),
        **{
            name: _with_interval(figure, everyone, patient, seed) if wanted else figure(everyone)
            for name, (figure, wanted) in figures.items()
        },
        "attributes": {
            name: {
                "spearman": _spearman(described[:, column], attributes[:, column]),
                "mae": _mae(described[:, column], attributes[:, column]),
                "mae_of_median": _mae(np.median(attributes[:, column]), attributes[:, column]),
            }
            for column, name in enumerate(ATTRIBUTES)
        },
    }


def auc(score: Array, positive: NDArray[np.bool_]) -> float | None:
    """Area under the ROC by ranks; `None` where there are not both sorts."""
    count = int(positive.sum())
    if count in (0, len(positive)):
        return None
    ranks = rankdata(score)
    area = (ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count))
    return float(area)


def macro_auc(shares: Array, grades: NDArray[np.int64]) -> float | None:
    """Mean area of each grade against the others, over the grades that occur."""
    areas = [auc(shares[:, grade], grades == grade) for grade in range(shares.shape[1])]
    known = [area for area in areas if area is not None]
    return float(np.mean(known)) if known else None


def weighted_kappa(told: NDArray[np.int64], right: NDArray[np.int64]) -> float | None:
    """Cohen's kappa with quadratic weights (Cohen, Psychol Bull 1968;70:213)."""
    count = len(LEVELS)
    seen = np.zeros((count, count))
    np.add.at(seen, (right, told), 1.0)
    weight = np.subtract.outer(np.arange(count), np.arange(count)) ** 2.0
    chance = np.outer(seen.sum(axis=1), seen.sum(axis=0)) / max(seen.sum(), 1.0)
    expected = float((weight * chance).sum())
    return None if expected == 0 else float(1 - (weight * seen).sum() / expected)


def _spearman(first: Array, second: NDArray[np.floating]) -> float | None:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)


def _mae(told: Array | np.floating, right: NDArray[np.floating]) -> float:
    return float(np.abs(told - right).mean())


def _with_interval(
    figure: Callable[[NDArray[np.int64]], float | None],
    everyone: NDArray[np.int64],
    patient: NDArray[np.str_],
    seed: int,
) -> Mapping[str, float | None]:
    """A figure with its 95 % interval over patients."""
    random = np.random.default_rng(seed)
    rows = [np.flatnonzero(patient == name) for name in np.unique(patient)]
    drawn = []
    for _ in range(DRAWS):
        value = figure(
            np.concatenate([rows[i] for i in random.integers(len(rows), size=len(rows))])
        )
        if value is not None:
            drawn.append(value)
    low, high = np.percentile(drawn, [2.5, 97.5]) if drawn else (None, None)
    return {
        "value": figure(everyone),
        "low": None if low is None else float(low),
        "high": None if high is None else float(high),
    }
