"""Training of one network on sub-graphs of rows, front end and classifier together (eq. 9).

Every row of a sub-graph is both a query and a typical case for the others. Rows of the same
patient are never joined, and a query's own rating is nowhere in what it sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from inference.grading.config import GraphConfig, TrainingConfig
from inference.grading.network import GRADES, Answer, GraphGrader, tell_ratings
from inference.grading.scaling import Nodes, Scale
from inference.grading.table import ModalityTable
from inference.training.grading.losses import (
    alignment,
    contrastive,
    masked_reconstruction,
    missing_criterion,
    rating_likelihood,
    semantic_constraint,
    soft_cross_entropy,
    wasserstein_1,
)
from inference.training.grading.views import VIEWS, View, ViewedGraph, make_view
from inference.training.grading.weight_network import WeightNetwork

WARM_UP = 20
GRADIENT_NORM_AT_MOST = 5.0


@dataclass(slots=True)
class Trainer:
    """One network under training.

    Attributes
    ----------
    told : list of dict
        Each part of the loss, per step.
    """

    table: ModalityTable
    graph: GraphConfig
    config: TrainingConfig
    seed: int
    scale: Scale
    network: GraphGrader = field(init=False)
    reconstruct: nn.ModuleDict = field(init=False)
    weigh: WeightNetwork | None = field(init=False)
    told: list[dict[str, float]] = field(default_factory=list)
    _nodes: Nodes = field(init=False)
    _rating: Tensor = field(init=False)

    def __post_init__(self) -> None:
        """Draw the first weights."""
        torch.manual_seed(self.seed)
        self.network = GraphGrader(self.graph)
        self.reconstruct = nn.ModuleDict(
            {name: nn.Linear(self.graph.hidden, width) for name, width in self.graph.widths.items()}
        )
        kappa = self.config.weight_network
        self.weigh = WeightNetwork(GRADES, kappa=kappa) if kappa else None
        self._nodes = self.scale.to_nodes(self.table)
        self._rating = torch.from_numpy(self.table.rating).float()

    def run(self) -> GraphGrader:
        """Train to the end; same seed, same table, same machine: same network."""
        random = np.random.default_rng(self.seed)
        torch.manual_seed(self.seed + 1)
        config = self.config
        learned = [*self.network.parameters(), *self.reconstruct.parameters()]
        optimiser = torch.optim.AdamW(
            learned, lr=config.learning_rate, weight_decay=config.weight_decay
        )
        ascent = self.weigh and torch.optim.AdamW(
            self.weigh.parameters(), lr=config.learning_rate, maximize=True
        )
        self.network.train()
        for step, part in zip(range(config.steps), self._parts(random), strict=False):
            rate = config.learning_rate * _rate_share(step, config.steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss, line = self._loss(part, random, viewed=step % config.view_every == 0)
            optimiser.zero_grad(set_to_none=True)
            if ascent:
                ascent.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(learned, GRADIENT_NORM_AT_MOST)
            optimiser.step()
            if ascent:
                ascent.step()
            self.told.append(line)
        return self.network.eval()

    def _parts(self, random: np.random.Generator) -> Iterator[Tensor]:
        """Rows of one sub-graph after the other; every row once before any comes again."""
        while True:
            order = random.permutation(len(self.table))
            count = math.ceil(len(order) / self.config.nodes)
            for part in np.array_split(order, count):
                yield torch.from_numpy(part)

    def _loss(
        self, index: Tensor, random: np.random.Generator, *, viewed: bool
    ) -> tuple[Tensor, dict[str, float]]:
        config = self.config
        nodes = drop_modalities(self._nodes.rows(index), config.modality_dropout)
        rating = self._rating[index]
        soft, told = tell_ratings(rating, config.label_softness)
        allowed = nodes.patients.unsqueeze(1) != nodes.patients.unsqueeze(0)
        answer = self._answer(ViewedGraph(nodes=nodes, allowed=allowed), told)
        terms = {"grade": self._grade_loss(answer, soft)}
        terms["order"] = config.ordinal_weight * wasserstein_1(answer.probabilities, soft).mean()
        terms["rating"] = (
            config.regression_weight
            * rating_likelihood(answer.mean, answer.deviation, rating).mean()
        )
        if config.views and viewed:
            terms |= self._view_losses(nodes, allowed, told, rating, answer, random)
        if answer.branches is not None:
            terms |= self._branch_losses(answer.branches, answer, nodes.present, soft)
        if self.graph.fusion == "gated" and config.alignment_weight:
            terms["alignment"] = config.alignment_weight * alignment(answer.states, nodes.present)
        if config.missing_weight:
            number = int(random.integers(nodes.present.shape[1]))
            seen = self._answer(
                ViewedGraph(nodes=nodes, allowed=allowed), told, take_away(nodes, number)
            )
            terms["missing"] = config.missing_weight * missing_criterion(
                answer.probabilities, seen.probabilities, rating
            )
        total = torch.stack(list(terms.values())).sum()
        return total, {name: float(value.detach()) for name, value in terms.items()}

    def _answer(self, graph: ViewedGraph, told: Tensor, queries: Nodes | None = None) -> Answer:
        """Nodes ask each other, or `queries` ask the nodes."""
        cases = self.network.make_cases(graph.nodes, told)
        answer: Answer = self.network(
            graph.nodes if queries is None else queries,
            cases,
            allowed=graph.allowed,
            extra_edges=graph.extra_edges,
            keep_edges=graph.keep_edges,
        )
        return answer

    def _grade_loss(self, answer: Answer, soft: Tensor) -> Tensor:
        losses = soft_cross_entropy(answer.probabilities, soft)
        if self.weigh is None:
            return losses.mean()
        weights: Tensor = self.weigh(losses, soft)
        return (weights * losses).mean()

    def _view_losses(
        self,
        nodes: Nodes,
        allowed: Tensor,
        told: Tensor,
        rating: Tensor,
        answer: Answer,
        random: np.random.Generator,
    ) -> dict[str, Tensor]:
        """Losses of equations 11 and 12, and masked reconstruction."""
        config = self.config
        choice: list[View] = [
            view for view in VIEWS if config.typical_cases or view != "typical_cases"
        ]
        drawn = random.choice(len(choice), size=min(config.views, len(choice)), replace=False)
        even = nn.functional.normalize(answer.embedding.detach(), dim=1)
        grades = torch.bucketize(rating, torch.tensor([2.0, 3.0, 4.0]))
        answers, rebuilt = [], answer.embedding.new_zeros(())
        for number in drawn:
            graph = make_view(
                choice[int(number)], nodes, allowed, similarity=even @ even.T, grades=grades
            )
            seen = self._answer(graph, told)
            answers.append(seen)
            if graph.hidden is not None:
                rebuilt = self._rebuild(seen, nodes, graph)
        terms = {
            "semantic": config.semantic_weight
            * semantic_constraint([item.probabilities for item in answers], answer.probabilities),
            "reconstruction": config.reconstruction_weight * rebuilt,
        }
        if config.contrastive_weight:
            embeddings = [item.embedding for item in answers]
            embeddings += [answer.embedding] if len(answers) == 1 else []
            terms["contrastive"] = config.contrastive_weight * contrastive(embeddings)
        return terms

    def _rebuild(self, seen: Answer, nodes: Nodes, graph: ViewedGraph) -> Tensor:
        terms = []
        for name, hidden in (graph.hidden or {}).items():
            truth = nodes.features[name][:, : hidden.shape[1]]
            guess = self.reconstruct[name](seen.embedding)
            terms.append(masked_reconstruction(guess, truth, hidden))
        return torch.stack(terms).mean()

    def _branch_losses(
        self, branches: Tensor, answer: Answer, present: Tensor, soft: Tensor
    ) -> dict[str, Tensor]:
        """Each modality's own loss, and its L1 distance from the whole (liver fibrosis, eq. 5)."""
        count = branches.shape[1]
        own = torch.stack(
            [soft_cross_entropy(branches[:, number], soft) for number in range(count)], dim=1
        )
        apart = (branches - answer.probabilities.unsqueeze(1)).abs().sum(dim=2)
        share = present / present.sum()
        return {
            "branches": self.config.branch_weight * (own * share).sum(),
            "consistency": self.config.consistency_weight * (apart * share).sum(),
        }


def drop_modalities(nodes: Nodes, share: float) -> Nodes:
    """Take modalities away from rows, at random; a row keeps at least one."""
    if not share:
        return nodes
    return _keep(nodes, (torch.rand(nodes.present.shape) >= share) & nodes.present)


def take_away(nodes: Nodes, number: int) -> Nodes:
    """The nodes without one modality; a row that has nothing else keeps it."""
    kept = nodes.present.clone()
    kept[:, number] = False
    return _keep(nodes, kept)


def _keep(nodes: Nodes, kept: Tensor) -> Nodes:
    """Only the modalities in ``kept``, (N, M); where that is none, all that there are."""
    none = ~kept.any(dim=1)
    kept[none] = nodes.present[none]
    features = {
        name: values * kept[:, number, None]
        for number, (name, values) in enumerate(nodes.features.items())
    }
    return Nodes(features=features, present=kept, patients=nodes.patients)


def _rate_share(step: int, steps: int) -> float:
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / max(1, steps - WARM_UP)))
