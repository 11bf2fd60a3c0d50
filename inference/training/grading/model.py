"""The graph grader as evaluation compares it: learn from a table, answer for a table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from inference.grading.config import GraphConfig, TrainingConfig
from inference.grading.grader import Grader, make_grader
from inference.grading.scaling import Scale
from inference.grading.table import Explanation, ModalityTable
from inference.training.grading.loop import Trainer

MEMBER_SEED = 1000


@dataclass(slots=True, kw_only=True)
class GraphModel:
    """Implements `inference.grading.table.GradeModel`.

    Attributes
    ----------
    graph : GraphConfig
        Its `widths` are taken from the table that it learns from.
    training : TrainingConfig
    grader : Grader, optional
        After `fit`.
    told : list
        Loss by parts, of the first network.
    """

    graph: GraphConfig
    training: TrainingConfig
    grader: Grader | None = None
    told: list[dict[str, float]] = field(default_factory=list)

    def fit(self, table: ModalityTable, *, seed: int) -> None:
        """Train `TrainingConfig.members` networks and put the bank beside them."""
        widths = {name: len(table.names[name]) for name in table.modalities}
        graph = replace(self.graph, widths=widths)
        scale = Scale.fit(table)
        networks = []
        for member in range(self.training.members):
            trainer = Trainer(
                table, graph, self.training, seed=seed + MEMBER_SEED * member, scale=scale
            )
            networks.append(trainer.run())
            if not member:
                self.told = trainer.told
        bank = table.rows(choose_bank(table, self.training.bank_size, seed=seed))
        self.grader = make_grader(
            tuple(networks), scale, bank, softness=self.training.label_softness
        )

    def predict(self, table: ModalityTable) -> NDArray[np.float64]:
        """Probabilities, shape (N, 4).

        Raises
        ------
        RuntimeError
            Before `fit`.
        """
        if self.grader is None:
            raise RuntimeError("the grader has not learned yet: call fit first")
        return self.grader.grade(table).probabilities

    def explain(self, table: ModalityTable) -> Explanation:
        """Fused representation and attention of each row.

        Raises
        ------
        RuntimeError
            Before `fit`.
        """
        if self.grader is None:
            raise RuntimeError("the grader has not learned yet: call fit first")
        graded = self.grader.grade(table)
        return Explanation(embedding=graded.embedding, attention=graded.attention)


def choose_bank(table: ModalityTable, size: int, *, seed: int) -> NDArray[np.int64]:
    """Rows of the bank, at random: one per nodule while there are enough nodules."""
    random = np.random.default_rng((seed, 7))
    order = random.permutation(len(table))
    _, first = np.unique(table.nodules[order], return_index=True)
    single = np.sort(first)
    rest = np.setdiff1d(np.arange(len(order)), single)
    chosen = np.concatenate([order[single], order[rest]])[:size]
    return np.sort(chosen)
