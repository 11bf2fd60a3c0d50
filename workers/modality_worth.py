"""What each set of modalities beside the pixels does to answers on rows with known grades."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.grading.metrics import calibration_error, score
from inference.grading.calibration import Calibrator, choose_calibrator
from inference.grading.grader import Grader
from inference.grading.table import ModalityTable
from inference.image_row import FROM_PIXELS
from inference.known import BESIDE_PIXELS

SETS: tuple[tuple[str, ...], ...] = tuple(
    some for count in range(len(BESIDE_PIXELS) + 1) for some in combinations(BESIDE_PIXELS, count)
)
"""Every set of modalities beside the pixels, the smallest first."""


def measure_sets(
    grader: Grader, calibrators: Mapping[tuple[str, ...], Calibrator], rows: ModalityTable
) -> dict[str, Any]:
    """Figures for every set; what a patient of `rows` has not stays absent.

    Returns
    -------
    dict
        ``rows``, ``patients``, ``known`` (share of rows by modality) and ``sets``: a list of
        ``given`` with the figures of `score` and ``ece``.
    """
    found = []
    for given in SETS:
        masked = rows.masked([name for name in BESIDE_PIXELS if name not in given])
        answers = calibrated(grader, calibrators, masked)
        figures = score(answers, rows.grades, rows.rating)
        found.append(
            {"given": list(given), **figures, "ece": calibration_error(answers, rows.grades)}
        )
    return {
        "rows": len(rows),
        "patients": len(np.unique(rows.patients)),
        "known": {name: float(rows.present(name).mean()) for name in BESIDE_PIXELS},
        "sets": found,
    }


def calibrated(
    grader: Grader, calibrators: Mapping[tuple[str, ...], Calibrator], rows: ModalityTable
) -> NDArray[np.float64]:
    """Probabilities as reports give them, shape (N, 4): each row by what is present in it."""
    order = grader.scale.modalities
    there = np.column_stack([rows.present(name) for name in order])
    answers = grader.grade(rows).probabilities
    for pattern in np.unique(there, axis=0):
        chosen = (there == pattern).all(axis=1)
        present = [name for name, here in zip(order, pattern, strict=True) if here]
        calibrator = choose_calibrator(calibrators, present, needed=FROM_PIXELS, order=order)
        answers[chosen] = calibrator.apply(answers[chosen])
    return answers
