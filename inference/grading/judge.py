"""Grades as reports show them: level, suspicion, what they rest on, similar cases, or why not.

The level is the model's, learned from readers' opinion; it is no probability of cancer and no
Lung-RADS category.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.findings import ModalityShare, NoduleGrade, SimilarCase
from inference.grading.bank import Bank
from inference.grading.calibration import Calibrator
from inference.grading.grader import Grader
from inference.grading.table import LEVELS, ModalityTable

PATENT_GRADES = ("1-2", "3", "4A", "4B-4X")
SIMILAR_CASES = 5
SLACK = 0.25
"""Beyond the trained range by so much of its width is still inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A grader with its bank and calibrator.

    Attributes
    ----------
    grader : Grader
        Its cases are those of `bank`.
    bank : Bank
    calibrator : Calibrator
    needed : str
        The modality without which no grade is given.
    ranged : mapping of str to (low, high)
        Columns of `needed` that must lie within, in their own unit.
    least_similarity : float
        Of the most similar case; below it the nodule is like nothing in the bank.
    """

    grader: Grader
    bank: Bank
    calibrator: Calibrator
    needed: str
    ranged: Mapping[str, tuple[float, float]]
    least_similarity: float = 0.0

    def judge(self, table: ModalityTable) -> tuple[NoduleGrade, ...]:
        """Grade each row, or say why not.

        The answer to a row does not depend on the others.
        """
        return tuple(self._judge(table.rows(np.array([row]))) for row in range(len(table)))

    def _judge(self, row: ModalityTable) -> NoduleGrade:
        present = [name for name in row.modalities if bool(row.present(name)[0])]
        if self.needed not in present:
            return NoduleGrade(withheld=f"no features of modality {self.needed}")
        outside = self._outside(row)
        if outside:
            return NoduleGrade(withheld=outside)
        graded = self.grader.grade(row)
        probabilities = self.calibrator.apply(graded.probabilities)[0]
        similar = self._similar(graded.neighbours[0])
        if not similar or similar[0].similarity < self.least_similarity:
            return NoduleGrade(withheld="like no case of the typical-case bank")
        grade = int(probabilities.argmax())
        return NoduleGrade(
            level=LEVELS[grade],
            patent_grade=PATENT_GRADES[grade],
            probabilities=tuple(float(value) for value in probabilities),
            suspicion=_suspicion(probabilities),
            modalities=self._shares(row, present, graded.attention[0], probabilities),
            similar_cases=similar,
        )

    def _outside(self, row: ModalityTable) -> str | None:
        names = row.names[self.needed]
        for column, (low, high) in self.ranged.items():
            value = float(row.features[self.needed][0, names.index(column)])
            slack = SLACK * (high - low)
            if not low - slack <= value <= high + slack:
                return (
                    f"{column} {value:.4g} is outside what the model was trained on "
                    f"({low:.4g} to {high:.4g})"
                )
        return None

    def _similar(self, neighbours: NDArray[np.float32]) -> tuple[SimilarCase, ...]:
        order = np.argsort(-neighbours, kind="stable")[:SIMILAR_CASES]
        return tuple(
            SimilarCase(
                case_id=self.bank.records[at].case_id,
                similarity=float(neighbours[at]),
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
        present: list[str],
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
            without = self.grader.grade(row.masked([name])).probabilities
            rest = self.calibrator.apply(without)[0]
            shares[name] = ModalityShare(
                present=True,
                attention=float(attention[number]),
                contribution=_suspicion(probabilities) - _suspicion(rest),
            )
        return shares


def _suspicion(probabilities: NDArray[np.float64]) -> float:
    """Probability that the readers' mean rating exceeds 3: levels III and IV."""
    return float(probabilities[2] + probabilities[3])
