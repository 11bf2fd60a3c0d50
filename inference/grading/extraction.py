"""Modality information extraction: a graph and a representation of one modality (eq. 1 to 4).

US 2025/0255568 A1, paragraphs [0057] to [0062]. Messages run from typical cases to query nodes
only: a query's row of the adjacency is computed, a typical case's row is empty.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.grading.config import Similarity

LEAST_DEGREE = 1e-6


def neighbour_mean(adjacency: Tensor, cases: Tensor) -> Tensor:
    """``D^-1 A H`` of equation 4, D being the row sums of A.

    Shapes
    ------
    - adjacency: (Q, C), at least 0; cases: (C, h)
    - answer: (Q, h), zero for a query without edges
    """
    degree = adjacency.sum(dim=1, keepdim=True)  # (Q, 1)
    return adjacency @ cases / degree.clamp_min(LEAST_DEGREE)


class ExtractionLayer(nn.Module):
    """``sigma(mu_1 H W_e + mu_2 D^-1 A H W_n)`` (eq. 4), mu_1 and mu_2 learned."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.own = nn.Linear(inside, outside)
        self.neighbour = nn.Linear(inside, outside, bias=False)
        self.mu_1 = nn.Parameter(torch.tensor(1.0))
        self.mu_2 = nn.Parameter(torch.tensor(0.5))

    def of_cases(self, cases: Tensor) -> Tensor:
        """Typical cases, which receive no messages; (C, in) -> (C, out)."""
        return functional.elu(self.mu_1 * self.own(cases))

    def of_queries(self, queries: Tensor, cases: Tensor, adjacency: Tensor) -> Tensor:
        """Query nodes; (Q, in), (C, in) and (Q, C) -> (Q, out)."""
        seen = self.neighbour(neighbour_mean(adjacency, cases))
        return functional.elu(self.mu_1 * self.own(queries) + self.mu_2 * seen)


class ModalityExtraction(nn.Module):
    """One modality's projection (eq. 1), adjacency (eq. 2, 3) and layers (eq. 4)."""

    def __init__(
        self,
        width: int,
        *,
        hidden: int,
        projection: int,
        layers: int,
        similarity: Similarity = "cosine",
        threshold: float = 0.3,
        neighbours: int = 10,
    ) -> None:
        super().__init__()
        self.similarity = similarity
        self.threshold = threshold
        self.neighbours = neighbours
        self.first = nn.Linear(width, hidden)
        self.second = nn.Linear(hidden, projection, bias=False)
        sizes = [width] + [hidden] * layers
        self.layers = nn.ModuleList(
            ExtractionLayer(inside, outside) for inside, outside in pairwise(sizes)
        )

    def project(self, features: Tensor) -> Tensor:
        """``W_2 sigma(W_1 x + b)`` (eq. 1), of length 1 for the cosine; (N, d) -> (N, d_2).

        The length is divided out here and not in equation 2, so that a bank does it once.
        """
        projected: Tensor = self.second(functional.elu(self.first(features)))
        return projected if self.similarity == "gaussian" else functional.normalize(projected)

    def similarities(self, queries: Tensor, cases: Tensor) -> Tensor:
        """Of projections (eq. 2), or Gaussian; (Q, d_2) and (C, d_2) -> (Q, C)."""
        if self.similarity == "gaussian":
            return torch.exp(-0.5 * torch.cdist(queries, cases).square())
        return queries @ cases.T

    def adjacency(self, similarity: Tensor, allowed: Tensor) -> Tensor:
        """The allowed pairs above the threshold (eq. 3), at most `neighbours` for each query.

        Shapes
        ------
        - similarity, allowed: (Q, C)
        - answer: (Q, C), differentiable where it is not 0
        """
        masked = similarity.masked_fill(~allowed, 0.0)
        kept = masked > self.threshold
        if self.neighbours < similarity.shape[1]:
            least = masked.topk(self.neighbours, dim=1).values[:, -1:]
            kept = kept & (masked >= least)
        return masked * kept

    def of_cases(self, features: Tensor) -> list[Tensor]:
        """States of typical cases at each depth: (C, d), then (C, h) for each layer."""
        states = [features]
        for layer in self.layers:
            states.append(layer.of_cases(states[-1]))  # type: ignore[operator]
        return states

    def of_queries(self, features: Tensor, case_states: list[Tensor], adjacency: Tensor) -> Tensor:
        """The optimised representation of queries; (Q, d) -> (Q, h)."""
        state = features
        for layer, cases in zip(self.layers, case_states[:-1], strict=True):
            state = layer.of_queries(state, cases, adjacency)  # type: ignore[operator]
        return state
