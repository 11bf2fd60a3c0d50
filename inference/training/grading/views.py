"""Views of a graph: changes that should not change what it means.

US 2025/0255568 A1, paragraph [0075]: nodes dropped, edges perturbed, attributes masked,
sub-graphs by random walks, and typical cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.utils import mask_feature

from inference.grading.network import GRADES
from inference.grading.scaling import Nodes

View = Literal["node_drop", "edge_perturbation", "attribute_mask", "random_walk", "typical_cases"]
VIEWS: tuple[View, ...] = (
    "node_drop",
    "edge_perturbation",
    "attribute_mask",
    "random_walk",
    "typical_cases",
)
DROPPED_NODES = 0.2
DROPPED_EDGES = 0.2
ADDED_EDGES = 0.02
MASKED_ATTRIBUTES = 0.15
WALK_LENGTH, WALKERS = 3, 6
TYPICAL_SHARE = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewedGraph:
    """A changed graph.

    Attributes
    ----------
    nodes : Nodes
    allowed : Tensor of shape (N, N), dtype bool
        Pairs (query, case) that may be joined.
    extra_edges : Tensor of shape (N, N), dtype bool, optional
    keep_edges : float
    hidden : mapping of modality to Tensor of shape (N, d_m), dtype bool
        Attributes that were masked; empty unless some were.
    """

    nodes: Nodes
    allowed: Tensor
    extra_edges: Tensor | None = None
    keep_edges: float = 1.0
    hidden: Mapping[str, Tensor] | None = None


def make_view(
    view: View, nodes: Nodes, allowed: Tensor, *, similarity: Tensor, grades: Tensor
) -> ViewedGraph:
    """Change a graph.

    Parameters
    ----------
    view : str
    nodes : Nodes
        N of them, each both query and case.
    allowed : Tensor of shape (N, N), dtype bool
    similarity : Tensor of shape (N, N)
        By which walks go and cases are typical; no gradient.
    grades : Tensor of shape (N,), dtype int64
    """
    whole = ViewedGraph(nodes=nodes, allowed=allowed)
    if view == "node_drop":
        kept = torch.rand(len(nodes)) >= DROPPED_NODES
        return replace(whole, allowed=allowed & kept)
    if view == "edge_perturbation":
        extra = torch.rand(allowed.shape) < ADDED_EDGES
        return replace(whole, extra_edges=extra & allowed, keep_edges=1 - DROPPED_EDGES)
    if view == "attribute_mask":
        return _mask_attributes(whole)
    if view == "random_walk":
        return replace(whole, allowed=allowed & _walked(similarity, allowed))
    return replace(whole, allowed=allowed & _typical(similarity, grades))


def _mask_attributes(whole: ViewedGraph) -> ViewedGraph:
    """Hide single values, as if they were unknown."""
    features, hidden = {}, {}
    for name, values in whole.nodes.features.items():
        width = values.shape[1] // 2
        score, known = values[:, :width], values[:, width:]
        masked, kept = mask_feature(score, MASKED_ATTRIBUTES, mode="all")
        features[name] = torch.cat([masked, known * kept], dim=1)
        hidden[name] = ~kept & (known > 0)
    return replace(whole, nodes=replace(whole.nodes, features=features), hidden=hidden)


def _walked(similarity: Tensor, allowed: Tensor) -> Tensor:
    """Cases that random walks from each query come by, shape (N, N); each walk is its own."""
    count = len(similarity)
    step = (similarity.clamp_min(0) ** 4).masked_fill(~allowed, 0.0) + 1e-9 * allowed
    reached = torch.zeros(count, count, dtype=torch.bool)
    rows = torch.arange(count)
    dead = step.sum(dim=1) <= 0
    step[dead] = 1.0
    cumulative = (step / step.sum(dim=1, keepdim=True)).cumsum(dim=1)
    at = rows.repeat(WALKERS)
    origin = rows.repeat(WALKERS)
    for _ in range(WALK_LENGTH):
        drawn = torch.searchsorted(cumulative[at], torch.rand(len(at), 1)).squeeze(1)
        at = drawn.clamp_max(count - 1)
        reached[origin, at] = True
    return reached


def _typical(similarity: Tensor, grades: Tensor) -> Tensor:
    """The cases of each grade that are most like the others of their grade, shape (N,)."""
    typical = torch.zeros(len(grades), dtype=torch.bool)
    for grade in range(GRADES):
        members = torch.nonzero(grades == grade).squeeze(1)
        if not len(members):
            continue
        alike = similarity[members][:, members].mean(dim=1)
        count = max(1, int(TYPICAL_SHARE * len(members)))
        typical[members[alike.topk(count).indices]] = True
    return typical
