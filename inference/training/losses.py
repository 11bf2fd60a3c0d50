"""The detector's loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

POSITIVE_POWER, NEGATIVE_POWER = 2.0, 4.0
"""alpha and beta of the penalty-reduced focal loss (arXiv 1904.07850, equation 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorLoss:
    """The loss and its parts, per nodule of the batch."""

    total: Tensor
    heat: float
    diameter: float
    offset: float


def detector_loss(answer: Tensor, target: Tensor) -> DetectorLoss:
    """Penalty-reduced focal loss on the heatmap, smooth L1 on diameter and offset.

    Shapes
    ------
    - answer: (B, 5, D, H, W), see `CentreDetector`
    - target: (B, 6, D, H, W), see `make_targets`
    """
    logit, heat, weight = answer[:, 0], target[:, 0], target[:, 5]
    positive = (heat == 1).float() * weight
    count = positive.sum().clamp(min=1.0)
    log_p, log_q = functional.logsigmoid(logit), functional.logsigmoid(-logit)
    p = torch.sigmoid(logit)
    hits = positive * (1 - p) ** POSITIVE_POWER * log_p
    misses = weight * (heat < 1) * (1 - heat) ** NEGATIVE_POWER * p**POSITIVE_POWER * log_q
    focal = -(hits + misses).sum() / count
    near = positive.unsqueeze(1)
    diameter = _smooth_l1(answer[:, 1:2], target[:, 1:2], near) / count
    offset = _smooth_l1(answer[:, 2:5], target[:, 2:5], near) / (3 * count)
    return DetectorLoss(
        total=focal + diameter + offset,
        heat=float(focal.detach()),
        diameter=float(diameter.detach()),
        offset=float(offset.detach()),
    )


def _smooth_l1(answer: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    return (functional.smooth_l1_loss(answer, target, reduction="none", beta=0.1) * weight).sum()
