"""Grades as reports show them: level, suspicion, what they rest on, similar cases, or why not.

The level is the model's, learned from readers' opinion; it is no probability of cancer and no
Lung-RADS category.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.grade_values import ModalityShare, NoduleGrade, SimilarCase
from inference.grading.bank import Bank
from inference.grading.calibration import Calibrator, choose_calibrator
from inference.grading.grader import Grader
from inference.grading.table import LEVELS, ModalityTable

PATENT_GRADES = ("1-2", "3", "4A", "4B-4X")
SIMILAR_CASES = 5
SLACK = 0.05
"""Beyond the trained range by so much of its width is still inside."""
LOGARITHM = "log_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A grader with its bank and what was fitted beside it.

    Attributes
    ----------
    grader : Grader
        Its cases are those of `bank`.
    bank : Bank
    calibrators : mapping of tuple of str to Calibrator
        By the modalities that are present, in the grader's order; `choose_calibrator` says which
        serves a set that has none of its own.
    needed : tuple of str
        Modalities without which no grade is given.
    ranged : mapping of str to (low, high)
        Columns of the needed modalities that must lie within.
    most_distance : float
        To the nearest case (`Grader.distance`, by the needed modalities).
    """

    grader: Grader
    bank: Bank
    calibrators: Mapping[tuple[str, ...], Calibrator]
    needed: tuple[str, ...]
    ranged: Mapping[str, tuple[float, float]]
    most_distance: float

    def judge(self, table: ModalityTable) -> tuple[NoduleGrade, ...]:
        """Grade each row, or say why not.

        The answer to a row does not depend on the others.
        """
        return tuple(self._judge(table.rows(np.array([row]))) for row in range(len(table)))

    def _judge(self, row: ModalityTable) -> NoduleGrade:
        present = tuple(
            name
            for name in self.grader.scale.modalities
            if name in row.features and bool(row.present(name)[0])
        )
        for name in self.needed:
            if name not in present:
                return NoduleGrade(withheld=f"no features of modality {name}")
        outside = self._outside(row)
        if outside:
            return NoduleGrade(withheld=outside)
        if float(self.grader.distance(row.only(self.needed))[0]) > self.most_distance:
            return NoduleGrade(withheld="like no case of the typical-case bank")
        graded = self.grader.grade(row)
        probabilities = self._calibrated(graded.probabilities, present)
        grade = int(middle_levels(probabilities[None])[0])
        return NoduleGrade(
            level=LEVELS[grade],
            patent_grade=PATENT_GRADES[grade],
            probabilities=tuple(float(value) for value in probabilities),
            suspicion=_suspicion(probabilities),
            modalities=self._shares(row, present, graded.attention[0], probabilities),
            similar_cases=self._similar(graded.neighbours[0], graded.similarity[0]),
        )

    def _calibrated(
        self, probabilities: NDArray[np.float64], present: tuple[str, ...]
    ) -> NDArray[np.float64]:
        """One row's probabilities, (1, 4) -> (4,)."""
        calibrator = choose_calibrator(
            self.calibrators, present, needed=self.needed, order=self.grader.scale.modalities
        )
        return np.asarray(calibrator.apply(probabilities)[0])

    def _outside(self, row: ModalityTable) -> str | None:
        for column, (low, high) in self.ranged.items():
            name = next(name for name in self.needed if column in row.names[name])
            value = float(row.features[name][0, row.names[name].index(column)])
            slack = SLACK * (high - low)
            low, high = low - slack, high + slack
            if not low <= value <= high:
                told = [value, low, high]
                if column.startswith(LOGARITHM):
                    told = [math.exp(one) for one in told]
                return (
                    f"{column.removeprefix(LOGARITHM)} {told[0]:.1f} is outside what the model was "
                    f"trained on ({told[1]:.1f} to {told[2]:.1f})"
                )
        return None

    def _similar(
        self, neighbours: NDArray[np.float32], similarity: NDArray[np.float32]
    ) -> tuple[SimilarCase, ...]:
        """The cases with the strongest edges, the most alike first."""
        strongest = np.argsort(-neighbours, kind="stable")[:SIMILAR_CASES]
        order = strongest[np.argsort(-similarity[strongest], kind="stable")]
        return tuple(
            SimilarCase(
                case_id=self.bank.records[at].case_id,
                similarity=float(similarity[at]),
                level=self.bank.records[at].level,
                evidence=self.bank.records[at].evidence,
                source=self.bank.records[at].source,
            )
            for at in order
            if neighbours[at] > 0
        )

    def _shares(
        self,
        row: ModalityTable,
        present: tuple[str, ...],
        attention: NDArray[np.float64],
        probabilities: NDArray[np.float64],
    ) -> dict[str, ModalityShare]:
        """Attention, and how the suspicion falls when the modality is taken away.

        With one modality there is nothing to compare, and neither is given.
        """
        shares = {}
        for number, name in enumerate(self.grader.scale.modalities):
            if name not in present or len(present) == 1:
                shares[name] = ModalityShare(present=name in present)
                continue
            others = tuple(other for other in present if other != name)
            without = self.grader.grade(row.masked([name])).probabilities
            rest = self._calibrated(without, others)
            shares[name] = ModalityShare(
                present=True,
                attention=float(attention[number]),
                contribution=_suspicion(probabilities) - _suspicion(rest),
            )
        return shares


def middle_levels(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """The level that is given, (N, 4) -> (N,): the median, as levels are ordered."""
    return np.asarray((probabilities.cumsum(axis=1)[:, :-1] < 0.5).sum(axis=1), dtype=np.int64)


def _suspicion(probabilities: NDArray[np.float64]) -> float:
    """Probability that the readers' mean rating exceeds 3: levels III and IV."""
    return float(probabilities[2] + probabilities[3])
