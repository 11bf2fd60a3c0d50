"""Fusion of what the present modalities say of a node, and of their graphs (eq. 5 to 8).

US 2025/0255568 A1, paragraphs [0063] to [0066]. A modality that is absent has attention 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class AttentionFusion(nn.Module):
    """``softmax_m(q^T sigmoid(W x^m + b))`` over the modalities present (eq. 5, 6)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.transform = nn.Linear(hidden, hidden)
        self.query = nn.Parameter(torch.randn(hidden) / hidden**0.5)

    def forward(self, states: Tensor, present: Tensor) -> Tensor:
        """Attention of each modality.

        Shapes
        ------
        - states: (N, M, h); present: (N, M); at least one present in each row
        - answer: (N, M), rows sum to 1
        """
        scores = torch.sigmoid(self.transform(states)) @ self.query  # (N, M)
        return scores.masked_fill(~present, -torch.inf).softmax(dim=1)


class MeanFusion(nn.Module):
    """The same for every modality that is present."""

    def forward(self, states: Tensor, present: Tensor) -> Tensor:
        """(N, M, h), (N, M) -> (N, M)."""
        weight = present.to(states.dtype)
        return weight / weight.sum(dim=1, keepdim=True)


class GatedFusion(nn.Module):
    """Each modality's gate depends on all that are present, by attention across modalities.

    Dynamic gate after cross-attention, as proposed for PET/CT nodules (sources, document 4).
    """

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.across = nn.MultiheadAttention(hidden, heads, batch_first=True)
        self.gate = nn.Linear(2 * hidden, 1)

    def forward(self, states: Tensor, present: Tensor) -> Tensor:
        """(N, M, h), (N, M) -> (N, M)."""
        seen, _ = self.across(states, states, states, key_padding_mask=~present, need_weights=False)
        scores: Tensor = self.gate(torch.cat([states, seen], dim=2)).squeeze(2)  # (N, M)
        return scores.masked_fill(~present, -torch.inf).softmax(dim=1)


def fuse_states(states: Tensor, attention: Tensor) -> Tensor:
    """``x_i = sum_m alpha_i^m x_i^m`` (eq. 7); (N, M, h), (N, M) -> (N, h)."""
    return torch.einsum("nm,nmh->nh", attention, states)


def fuse_adjacency(adjacency: Sequence[Tensor], attention: Tensor) -> Tensor:
    """``a_i = sum_m alpha_i^m a_i^m``, row by row (eq. 8); M of (Q, C), (Q, M) -> (Q, C)."""
    rows = [one * attention[:, number, None] for number, one in enumerate(adjacency)]
    return torch.stack(rows).sum(dim=0)


def strongest(adjacency: Tensor, count: int) -> Tensor:
    """At most `count` edges of each query, (Q, C) -> (Q, C): a graph that people can look at."""
    if count >= adjacency.shape[1]:
        return adjacency
    least = adjacency.topk(count, dim=1).values[:, -1:]
    return adjacency * (adjacency >= least)
