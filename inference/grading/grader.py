"""A trained grader: networks, scale, typical cases -> grades of nodules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.grading.network import Cases, GraphGrader, tell_ratings
from inference.grading.scaling import Nodes, Scale
from inference.grading.table import ModalityTable

CHUNK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """Answers for N nodules.

    Attributes
    ----------
    probabilities : ndarray of shape (N, 4)
    rating : ndarray of shape (N,)
        Expected mean rating of readers.
    attention : ndarray of shape (N, M)
    neighbours : ndarray of shape (N, C), dtype float32
        Weight of each typical case in the fused graph, 0 where there is no edge; the mean over
        the networks.
    similarity : ndarray of shape (N, C), dtype float32
        How alike each case is, whether joined or not; the mean over the networks.
    embedding : ndarray of shape (N, h)
        Of the first network.
    """

    probabilities: NDArray[np.float64]
    rating: NDArray[np.float64]
    attention: NDArray[np.float64]
    neighbours: NDArray[np.float32]
    similarity: NDArray[np.float32]
    embedding: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grader:
    """Networks of one training, their scale and their typical cases.

    Attributes
    ----------
    networks : tuple of GraphGrader
        In evaluation mode.
    scale : Scale
    cases : tuple of Cases
        One for each network.
    nodes : Nodes
        The cases as nodes.
    """

    networks: tuple[GraphGrader, ...]
    scale: Scale
    cases: tuple[Cases, ...]
    nodes: Nodes

    def grade(self, table: ModalityTable) -> Graded:
        """Grade each row on its own; equal rows get equal answers, whatever stands beside them.

        Raises
        ------
        ValueError
            If a row has no modality at all, or the columns are others than trained on.
        """
        nodes = self.scale.to_nodes(table)
        if not bool(nodes.present.any(dim=1).all()):
            row = int(torch.nonzero(~nodes.present.any(dim=1))[0])
            raise ValueError(f"row {row} ({table.nodules[row]}) has no modality at all")
        parts = [
            self._grade(nodes.rows(torch.arange(start, min(start + CHUNK, len(nodes)))))
            for start in range(0, len(nodes), CHUNK)
        ]
        return Graded(
            probabilities=np.concatenate([part.probabilities for part in parts]),
            rating=np.concatenate([part.rating for part in parts]),
            attention=np.concatenate([part.attention for part in parts]),
            neighbours=np.concatenate([part.neighbours for part in parts]),
            similarity=np.concatenate([part.similarity for part in parts]),
            embedding=np.concatenate([part.embedding for part in parts]),
        )

    def distance(self, table: ModalityTable) -> NDArray[np.float32]:
        """How far the nearest case is, shape (N,): large for what is like none of them.

        By plain standard scores, root mean square over the columns that both know; the networks'
        own similarity is high even for what they were never shown.
        """
        return np.asarray(_distance(self.scale.to_nodes(table), self.nodes).numpy())

    def _grade(self, nodes: Nodes) -> Graded:
        with torch.inference_mode():
            answers = [
                network(nodes, cases)
                for network, cases in zip(self.networks, self.cases, strict=True)
            ]
        mean = [
            torch.stack([getattr(answer, name) for answer in answers]).mean(dim=0).double().numpy()
            for name in ("probabilities", "mean", "attention")
        ]
        probabilities, rating, attention = mean
        return Graded(
            probabilities=probabilities / probabilities.sum(axis=1, keepdims=True),
            rating=rating,
            attention=attention,
            neighbours=torch.stack([answer.adjacency for answer in answers]).mean(dim=0).numpy(),
            similarity=torch.stack([answer.similarity for answer in answers]).mean(dim=0).numpy(),
            embedding=answers[0].embedding.numpy(),
        )


def make_grader(
    networks: tuple[GraphGrader, ...], scale: Scale, bank: ModalityTable, *, softness: float
) -> Grader:
    """Put typical cases beside trained networks.

    Parameters
    ----------
    bank : ModalityTable
        With known ratings.
    softness : float
        Of the soft grades, as in training.
    """
    nodes = scale.to_nodes(bank)
    _, told = tell_ratings(torch.from_numpy(bank.rating).float(), softness)
    with torch.inference_mode():
        cases = tuple(network.eval().make_cases(nodes, told) for network in networks)
    return Grader(networks=networks, scale=scale, cases=cases, nodes=nodes)


def _distance(queries: Nodes, cases: Nodes) -> Tensor:
    """To the nearest case, over the columns that both know, (Q,)."""
    square = torch.zeros(len(queries), len(cases))
    count = torch.zeros(len(queries), len(cases))
    for name, values in queries.features.items():
        width = values.shape[1] // 2
        score, known = values[:, :width], values[:, width:]
        other, there = cases.features[name][:, :width], cases.features[name][:, width:]
        # (a - b)^2 over what both know, without an array of shape (Q, C, d).
        square += (score**2 * known) @ there.T + known @ (other**2 * there).T
        square -= 2 * (score * known) @ (other * there).T
        count += known @ there.T
    return (square.clamp_min(0) / count.clamp_min(1)).sqrt().amin(dim=1)
