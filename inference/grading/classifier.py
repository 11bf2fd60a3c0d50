"""Grade classifier on the fused graph: attention over neighbours, and over how far to look.

US 2025/0255568 A1, paragraphs [0067] and [0070]: jump connections and multi-head attention let
each node choose its range of propagation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import JumpingKnowledge, TransformerConv


class GraphClassifier(nn.Module):
    """Fused states and edges -> an embedding of each query.

    Shapes
    ------
    - queries: (Q, h); cases: (C, h); edge_index: (2, E) case -> query; weight: (E,)
    - answer: (Q, h)
    """

    def __init__(self, hidden: int, *, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.layers = nn.ModuleList(
            TransformerConv(hidden, hidden // heads, heads=heads, edge_dim=1, beta=True)
            for _ in range(layers)
        )
        self.even = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(layers))
        self.of_case = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers))
        self.jump = JumpingKnowledge("cat")
        self.merge = nn.Linear(hidden * (layers + 1), hidden)
        self.reach = nn.MultiheadAttention(hidden, heads, batch_first=True)
        self.last = nn.LayerNorm(hidden)

    def forward(self, queries: Tensor, cases: Tensor, edge_index: Tensor, weight: Tensor) -> Tensor:
        """Propagate, then let each query choose among the depths."""
        states = [queries]
        for layer, even, of_case in zip(self.layers, self.even, self.of_case, strict=True):
            message = layer((cases, states[-1]), edge_index, weight.unsqueeze(1))
            message = functional.dropout(message, self.dropout, self.training)
            states.append(even(states[-1] + functional.elu(message)))
            cases = cases + functional.elu(of_case(cases))
        stack = torch.stack(states, dim=1)  # (Q, layers + 1, h)
        chosen, _ = self.reach(stack[:, -1:], stack, stack, need_weights=False)
        embedding: Tensor = self.last(self.merge(self.jump(states)) + chosen.squeeze(1))
        return embedding
