"""The grader's network: extraction per modality, fusion, classifier, and what it answers.

Inductive: query nodes receive messages from typical cases and never from each other, so a
nodule's answer does not depend on what else is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.grading.classifier import GraphClassifier
from inference.grading.config import GraphConfig
from inference.grading.extraction import LEAST_DEGREE, ModalityExtraction
from inference.grading.fusion import (
    AttentionFusion,
    GatedFusion,
    MeanFusion,
    fuse_adjacency,
    fuse_states,
    strongest,
)
from inference.grading.region_gate import RegionGate
from inference.grading.scaling import Nodes
from inference.grading.table import GRADE_LIMITS, LEVELS

GRADES = len(LEVELS)
MIDDLE_RATING = 3.0
LEAST_DEVIATION = 0.15
ADDED_ABOVE = 0.05
RATING_WIDTH = GRADES + 1
"""What a typical case tells of its rating: its soft grade and the rating itself."""


@dataclass(frozen=True, slots=True)
class Cases:
    """Typical cases as messages need them; made once for a bank, used for every query.

    Attributes
    ----------
    projections : list of Tensor of shape (C, d_2)
        One per modality (eq. 1).
    states : list of list of Tensor
        Per modality the states at each depth.
    fused : Tensor of shape (C, h)
        With what the case's rating adds.
    present : Tensor of shape (C, M), dtype bool
    soft : Tensor of shape (C, 4)
        Their soft grades.
    """

    projections: list[Tensor]
    states: list[list[Tensor]]
    fused: Tensor
    present: Tensor
    soft: Tensor


@dataclass(frozen=True, slots=True)
class Answer:
    """What the network says of Q queries.

    Attributes
    ----------
    probabilities : Tensor of shape (Q, 4)
    mean, deviation : Tensor of shape (Q,)
        Of the rating.
    attention : Tensor of shape (Q, M)
        alpha of equation 6.
    adjacency : Tensor of shape (Q, C)
        The fused graph (eq. 8), case -> query.
    similarity : Tensor of shape (Q, C)
        Of the same kind, before threshold and choice of neighbours: how alike two nodes are.
    embedding : Tensor of shape (Q, h)
    branches : Tensor of shape (Q, M, 4), optional
        Probabilities by each modality alone, for `fusion` ``branches``.
    states : Tensor of shape (Q, M, h)
        Before fusion.
    """

    probabilities: Tensor
    mean: Tensor
    deviation: Tensor
    attention: Tensor
    adjacency: Tensor
    similarity: Tensor
    embedding: Tensor
    branches: Tensor | None
    states: Tensor


class GradeHead(nn.Module):
    """Four grades from two views of the same embedding, averaged.

    One is a softmax; the other a normal distribution of the readers' mean rating, cut at the
    grades' limits: its order is the grades' order.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.logits = nn.Linear(width, GRADES)
        self.rating = nn.Linear(width, 2)

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """(N, width) -> logits (N, 4), and shift and log-scale of the rating (N, 2)."""
        return self.logits(embedding), self.rating(embedding)


def to_probabilities(logits: Tensor, rating: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Answer of a head -> probabilities (N, 4), mean (N,), deviation (N,) of the rating."""
    mean = MIDDLE_RATING + rating[:, 0]
    deviation = LEAST_DEVIATION + functional.softplus(rating[:, 1])
    limits = torch.tensor(GRADE_LIMITS, device=logits.device, dtype=logits.dtype)
    below = torch.special.ndtr((limits - mean.unsqueeze(1)) / deviation.unsqueeze(1))  # (N, 3)
    zero, one = torch.zeros_like(below[:, :1]), torch.ones_like(below[:, :1])
    ordered = torch.cat([below, one], dim=1) - torch.cat([zero, below], dim=1)
    return 0.5 * (logits.softmax(dim=1) + ordered), mean, deviation


class GraphGrader(nn.Module):
    """The whole network for one `GraphConfig`."""

    def __init__(self, config: GraphConfig) -> None:
        super().__init__()
        self.config = config
        hidden, gated = config.hidden, config.gated
        self.extraction = nn.ModuleDict(
            {
                name: ModalityExtraction(
                    len(gated) * hidden if name in gated else 2 * width,
                    hidden=hidden,
                    projection=config.projection,
                    layers=config.extraction_layers,
                    similarity=config.similarity,
                    threshold=config.threshold,
                    neighbours=config.neighbours,
                )
                for name, width in config.widths.items()
            }
        )
        self.fusion: nn.Module
        if config.fusion == "gated":
            self.fusion = GatedFusion(hidden, config.heads)
        elif config.fusion == "mean":
            self.fusion = MeanFusion()
        else:
            self.fusion = AttentionFusion(hidden)
        self.even = nn.LayerNorm(hidden)
        self.told = nn.Linear(RATING_WIDTH, hidden, bias=False)
        self.classifier = GraphClassifier(
            hidden, layers=config.classifier_layers, heads=config.heads, dropout=config.dropout
        )
        self.head = GradeHead(hidden)
        total = sum(2 * width for width in config.widths.values())
        self.wide = GradeHead(total) if config.wide else None
        branches = config.fusion == "branches"
        self.branches = (
            nn.ModuleList(GradeHead(hidden) for _ in config.widths) if branches else None
        )
        self.region_gate = (
            RegionGate({name: 2 * config.widths[name] for name in gated}, hidden) if gated else None
        )

    def _extractions(self) -> Iterator[tuple[str, ModalityExtraction]]:
        return iter(self.extraction.items())  # type: ignore[arg-type]

    def _inputs(self, nodes: Nodes) -> Mapping[str, Tensor]:
        """What each modality's extraction reads: its own columns, or those of a common input."""
        if self.region_gate is None:
            return nodes.features
        places = [self.config.modalities.index(name) for name in self.region_gate.modalities]
        joint = self.region_gate(nodes.features, nodes.present[:, places])
        return {**nodes.features, **dict.fromkeys(self.region_gate.modalities, joint)}

    def make_cases(self, nodes: Nodes, told: Tensor) -> Cases:
        """Typical cases from nodes and what they tell, shape (C, `RATING_WIDTH`)."""
        projections, states = [], []
        inputs = self._inputs(nodes)
        for name, extraction in self._extractions():
            features = inputs[name]
            projections.append(extraction.project(features))
            states.append(extraction.of_cases(features))
        stack = torch.stack([depth[-1] for depth in states], dim=1)  # (C, M, h)
        attention = self.fusion(stack, nodes.present)
        fused = self.even(fuse_states(stack, attention))
        if self.config.bank_labels:
            fused = fused + self.told(told)
        return Cases(
            projections=projections,
            states=states,
            fused=fused,
            present=nodes.present,
            soft=told[:, :GRADES],
        )

    def forward(
        self,
        queries: Nodes,
        cases: Cases,
        *,
        allowed: Tensor | None = None,
        extra_edges: Tensor | None = None,
        keep_edges: float = 1.0,
    ) -> Answer:
        """Grade query nodes.

        Parameters
        ----------
        queries : Nodes
            Q of them; each with at least one modality.
        cases : Cases
            C of them.
        allowed : Tensor of shape (Q, C), dtype bool, optional
            Pairs that may be joined.
        extra_edges : Tensor of shape (Q, C), dtype bool, optional
            Pairs joined whatever they look like (views).
        keep_edges : float
            Share of edges kept, at random (views).
        """
        if allowed is None:
            allowed = torch.ones(
                len(queries), len(cases.fused), dtype=torch.bool, device=cases.fused.device
            )
        stack, graphs, alike = [], [], []
        inputs = self._inputs(queries)
        for number, (name, extraction) in enumerate(self._extractions()):
            features = inputs[name]
            similarity, graph = self._adjacency(
                number, extraction, features, queries, cases, allowed, extra_edges, keep_edges
            )
            graphs.append(graph)
            alike.append(similarity)
            stack.append(extraction.of_queries(features, cases.states[number], graph))
        states = torch.stack(stack, dim=1)  # (Q, M, h)
        attention = self.fusion(states, queries.present)  # (Q, M)
        fused = self.even(fuse_states(states, attention))
        adjacency = strongest(fuse_adjacency(graphs, attention), self.config.neighbours)
        query, case = adjacency.detach().nonzero(as_tuple=True)
        # Only cases that an edge comes from: a large bank costs no more than its neighbours.
        used, place = torch.unique(case, return_inverse=True)
        embedding = self.classifier(
            fused, cases.fused[used], torch.stack([place, query]), adjacency[query, case]
        )
        logits, rating = self.head(embedding)
        if self.wide is not None:
            flat = torch.cat([queries.features[name] for name in self.extraction], dim=1)
            wide_logits, wide_rating = self.wide(flat)
            logits, rating = logits + wide_logits, rating + wide_rating
        probabilities, mean, deviation = to_probabilities(logits, rating)
        if self.config.vote:
            probabilities = self._with_votes(probabilities, adjacency, cases.soft)
        branches = None
        if self.branches is not None:
            branches = torch.stack(
                [
                    to_probabilities(*head(states[:, number]))[0]
                    for number, head in enumerate(self.branches)
                ],
                dim=1,
            )
            share = torch.einsum("nm,nmc->nc", attention, branches)
            probabilities = 0.5 * (probabilities + share)
        return Answer(
            probabilities=probabilities,
            mean=mean,
            deviation=deviation,
            attention=attention,
            adjacency=adjacency,
            similarity=fuse_adjacency(alike, attention),
            embedding=embedding,
            branches=branches,
            states=states,
        )

    def _with_votes(self, probabilities: Tensor, adjacency: Tensor, soft: Tensor) -> Tensor:
        """Let the neighbours vote; a query without any keeps the network's answer."""
        degree = adjacency.sum(dim=1, keepdim=True)  # (Q, 1)
        share = self.config.vote * (degree > 0)
        votes = adjacency @ soft / degree.clamp_min(LEAST_DEGREE)
        return (1 - share) * probabilities + share * votes

    def _adjacency(
        self,
        number: int,
        extraction: ModalityExtraction,
        features: Tensor,
        queries: Nodes,
        cases: Cases,
        allowed: Tensor,
        extra_edges: Tensor | None,
        keep_edges: float,
    ) -> tuple[Tensor, Tensor]:
        """One modality's similarities (eq. 2; 0 where it is absent) and graph (eq. 3), (Q, C)."""
        if not self.config.edges:
            none = torch.zeros(allowed.shape, device=features.device)
            return none, none
        similarity = extraction.similarities(
            extraction.project(features), cases.projections[number]
        )
        both = queries.present[:, number, None] & cases.present[None, :, number]
        if extra_edges is not None:
            # Joined as if the pair were just similar enough.
            similarity = similarity.masked_fill(extra_edges, self.config.threshold + ADDED_ABOVE)
        adjacency = extraction.adjacency(similarity, allowed & both)
        if keep_edges < 1:
            adjacency = adjacency * (torch.rand_like(adjacency) < keep_edges)
        return similarity.detach() * both, adjacency


def tell_ratings(rating: Tensor, softness: float) -> tuple[Tensor, Tensor]:
    """Ratings (N,) -> soft grades (N, 4), and what a typical case tells (N, `RATING_WIDTH`).

    A soft grade is the share of a normal distribution around the rating between the grades'
    limits; readers whose mean is 2.9 hardly differ from those whose mean is 3.1.
    """
    limits = torch.tensor(GRADE_LIMITS, device=rating.device, dtype=rating.dtype)
    # A mean on the limit belongs to the lower grade, as in `to_grades`.
    below = torch.special.ndtr((limits + 0.05 - rating.unsqueeze(1)) / softness)  # (N, 3)
    zero, one = torch.zeros_like(below[:, :1]), torch.ones_like(below[:, :1])
    soft = torch.cat([below, one], dim=1) - torch.cat([zero, below], dim=1)
    return soft, torch.cat([soft, (rating - MIDDLE_RATING).unsqueeze(1)], dim=1)
