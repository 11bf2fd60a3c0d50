"""Suspicions of a whole series counted in eight tiers and fused late (bone metastasis).

The thesis (sources, document 3, part 2) detects lesions in each modality's images, divides the
confidences into eight intervals, counts the boxes of a series in each, normalises the counts, sets
the modalities' counts side by side and classifies the case by them. Neither the intervals nor the
normalisation are stated: here tiers are of equal width and counts are shares of the series.

A nodule is graded here, not a case, and there are no detections. So a first model per modality says
how suspicious every nodule is; a second one is given, for each modality, what the first said of the
nodule itself, and the tiers of its series. **An answer thus depends on which of a patient's nodules
are asked about together**, as no grader of the product does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.grading.baselines import GRADES, Linear
from inference.evaluation.grading.folds import fold_of_rows, patient_folds
from inference.grading.table import LEVELS, ModalityTable

TIERS = 8
INNER_FOLDS = 3
LEAST = 1e-3
SUSPICIOUS_FROM = 2
"""Grades III and IV: the readers' mean rating exceeds 3."""
COLUMNS = (
    *(f"log_level_{level}" for level in LEVELS),
    *(f"tier_{number}" for number in range(1, TIERS + 1)),
)


def count_tiers(
    suspicion: NDArray[np.float64], patients: NDArray[np.str_], known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Shares of a patient's known rows in each tier, for each of its rows.

    Parameters
    ----------
    suspicion : ndarray of shape (N,)
        0 to 1; tier k of 8 is [(k - 1) / 8, k / 8), the last one closed.
    patients : ndarray of shape (N,)
        LIDC-IDRI has one series of nearly every patient.
    known : ndarray of shape (N,)
        Rows that have a suspicion.

    Returns
    -------
    ndarray of shape (N, 8)
        Rows sum to 1; NaN for patients without a known row.
    """
    tiers = np.minimum((np.where(known, suspicion, 0.0) * TIERS).astype(np.int64), TIERS - 1)
    names, place = np.unique(patients, return_inverse=True)
    counts = np.zeros((len(names), TIERS))
    np.add.at(counts, (place[known], tiers[known]), 1)
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total > 0, counts / np.maximum(total, 1), np.nan)[place]


class ConfidenceTiers:
    """Implements `inference.grading.table.GradeModel`.

    Parameters
    ----------
    first_strength, strength : float
        Of the logistic regressions per modality, and of the one that fuses.
    """

    def __init__(self, *, first_strength: float, strength: float) -> None:
        self._first_strength = first_strength
        self._strength = strength

    def fit(self, table: ModalityTable, *, seed: int) -> None:
        """Learn the second model from out-of-fold answers of the first, then the first from all."""
        dealt = patient_folds(table.patients, table.grades, seed=seed, folds=INNER_FOLDS)
        fold_of = fold_of_rows(table.patients, dealt)
        answers = {name: np.zeros((len(table), GRADES)) for name in table.modalities}
        for fold in range(INNER_FOLDS):
            held = fold_of == fold
            for name, model in self._fit_first(table.rows(~held), seed=seed).items():
                answers[name][held] = model.predict(table.only([name]).rows(held))
        self._first = self._fit_first(table, seed=seed)
        self._second = Linear(strength=self._strength)
        self._second.fit(self._told(table, answers), seed=seed)

    def predict(self, table: ModalityTable) -> NDArray[np.float64]:
        """Probabilities, shape (N, 4), by the first model's answers to these rows."""
        answers = {name: model.predict(table.only([name])) for name, model in self._first.items()}
        return self._second.predict(self._told(table, answers))

    def _fit_first(self, table: ModalityTable, *, seed: int) -> dict[str, Linear]:
        models = {}
        for name in table.modalities:
            model = Linear(strength=self._first_strength)
            model.fit(table.only([name]).rows(table.present(name)), seed=seed)
            models[name] = model
        return models

    def _told(self, table: ModalityTable, answers: dict[str, NDArray[np.float64]]) -> ModalityTable:
        """What the second model is given: own answer and tiers of each modality; NaN is absent."""
        features = {}
        for name in self._first:
            known, answer = table.present(name), answers[name]
            suspicion = answer[:, SUSPICIOUS_FROM:].sum(axis=1)
            own = np.where(known[:, None], np.log(np.maximum(answer, LEAST)), np.nan)
            tiers = count_tiers(suspicion, table.patients, known)
            features[name] = np.hstack([own, tiers]).astype(np.float32)
        return ModalityTable(
            features=features,
            names=dict.fromkeys(features, COLUMNS),
            patients=table.patients,
            nodules=table.nodules,
            rating=table.rating,
        )
