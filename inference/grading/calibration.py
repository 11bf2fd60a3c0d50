"""Probabilities that mean what they say, fitted on answers to rows that were not learned from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

Probabilities = NDArray[np.float64]
Grades = NDArray[np.int64]

SMALLEST = 1e-6
PULL = 1e-3
"""Towards changing nothing, per row: a few hundred rows must not bend it far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrator:
    """softmax(log p / temperature + bias).

    Attributes
    ----------
    temperature : float
        Above 1 makes less sure (Guo et al., ICML 2017).
    bias : ndarray of shape (K,)
        Corrects how often a grade is given; 0 for temperature scaling alone.
    """

    temperature: float
    bias: NDArray[np.float64]

    def apply(self, probabilities: Probabilities) -> Probabilities:
        """Calibrated, shape (N, K)."""
        logits = np.log(np.clip(probabilities, SMALLEST, 1))
        return np.asarray(softmax(logits / self.temperature + self.bias, axis=1))


def read_calibrators(facts: Mapping[str, Any]) -> dict[tuple[str, ...], Calibrator]:
    """As the grader's manifest keeps them (`calibration`), by the modalities that are present."""
    return {
        tuple(one["present"]): Calibrator(
            temperature=float(one["temperature"]), bias=np.array(one["bias"])
        )
        for one in facts["calibration"]
    }


def choose_calibrator(
    calibrators: Mapping[tuple[str, ...], Calibrator],
    present: Collection[str],
    *,
    needed: tuple[str, ...],
    order: Iterable[str],
) -> Calibrator:
    """That of the modalities present; else as if the needed ones were there too; else of these.

    Parameters
    ----------
    calibrators : mapping of tuple of str to Calibrator
        That of `needed` is there.
    order : iterable of str
        Of the grader's modalities.
    """
    names = tuple(order)
    exactly, filled = (
        tuple(name for name in names if name in some) for some in (present, {*present, *needed})
    )
    return calibrators.get(exactly) or calibrators.get(filled) or calibrators[needed]


def fit_calibrator(
    probabilities: Probabilities, grades: Grades, *, with_bias: bool = False
) -> Calibrator:
    """The likeliest calibrator.

    Parameters
    ----------
    probabilities : ndarray of shape (N, K)
        Out-of-fold answers.
    grades : ndarray of shape (N,)
        The truth.
    with_bias : bool
        Fit a bias per grade as well; it can change which grade is given.
    """
    logits = np.log(np.clip(probabilities, SMALLEST, 1))
    levels = logits.shape[1]
    rows = np.arange(len(grades))

    def cost(parameters: NDArray[np.float64]) -> float:
        log_likelihood = log_softmax(logits * np.exp(-parameters[0]) + parameters[1:], axis=1)
        return float(-log_likelihood[rows, grades].mean() + PULL * (parameters**2).sum())

    start = np.zeros(1 + (levels if with_bias else 1))
    if with_bias:
        found = minimize(cost, start, method="L-BFGS-B").x
        return Calibrator(temperature=float(np.exp(found[0])), bias=found[1:] - found[1:].mean())
    found = minimize(lambda one: cost(np.array([one[0], 0.0])), start[:1], method="L-BFGS-B").x
    return Calibrator(temperature=float(np.exp(found[0])), bias=np.zeros(levels))
