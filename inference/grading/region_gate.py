"""Adaptive fusion at the input: modalities become one before the network sees them.

After PET/CT fusion for cervical cancer (sources, document 3): regions of both images are matched,
then set side by side as channels of one input. Among columns there is nothing to match by pixels:
a learned projection stands for the alignment, a learned weight per nodule for what is adaptive.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class RegionGate(nn.Module):
    """``[w_1 u_1, ..., w_K u_K]`` with ``u_k = P_k x_k`` and ``w = softmax_k(G [u_1, ..., u_K])``.

    The softmax runs over the modalities present; one that is absent has weight and columns 0.

    Shapes
    ------
    - features: of each modality (N, d_k), widths may differ; present: (N, K)
    - answer: (N, K * width)
    """

    def __init__(self, widths: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.modalities = tuple(widths)
        self.align = nn.ModuleDict({name: nn.Linear(d, width) for name, d in widths.items()})
        self.gate = nn.Linear(len(widths) * width, len(widths))

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """One input of all, channel beside channel."""
        stack = torch.stack(
            [self.align[name](features[name]) for name in self.modalities], dim=1
        )  # (N, K, width)
        stack = stack * present.unsqueeze(2)
        weight = self.weigh(stack, present)
        return (stack * weight.unsqueeze(2)).flatten(1)  # (N, K * width)

    def weigh(self, aligned: Tensor, present: Tensor) -> Tensor:
        """Weight of each modality, (N, K, width), (N, K) -> (N, K); rows with any sum to 1."""
        scores: Tensor = self.gate(aligned.flatten(1))
        weight = scores.masked_fill(~present, -torch.inf).softmax(dim=1)
        # Where none is present the softmax knows nothing.
        return torch.where(present, weight, torch.zeros_like(weight))
