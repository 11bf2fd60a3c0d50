"""Weight learning network: which rows count more, against the classifier (eq. 10).

US 2025/0255568 A1, paragraphs [0079] to [0081]: the weights are learned to raise the loss that
the classifier lowers, so that what is graded badly counts more.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightNetwork(nn.Module):
    """A row's loss and soft grade -> its weight, mean 1; no two differ by more than
    (1 + kappa) / (1 - kappa).

    Shapes
    ------
    - losses: (N,); soft: (N, 4)
    - answer: (N,)
    """

    def __init__(self, grades: int, *, kappa: float, hidden: int = 16) -> None:
        super().__init__()
        if not 0 < kappa < 1:
            raise ValueError(f"kappa {kappa} is not in (0, 1)")
        self.kappa = kappa
        self.net = nn.Sequential(nn.Linear(grades + 1, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, losses: Tensor, soft: Tensor) -> Tensor:
        """Weigh the rows; no gradient runs into the losses."""
        seen = torch.cat([losses.detach().unsqueeze(1), soft], dim=1)
        weight = 1 + self.kappa * torch.tanh(self.net(seen).squeeze(1))
        answer: Tensor = weight / weight.mean()
        return answer
