"""The cube network's loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

OUTLINE_VOXELS = 200.0
"""Added to a nodule's surface in voxels, by which its voxels' loss is divided."""
CORE_WEIGHT, NODULE_WEIGHT, TYPE_WEIGHT = 0.4, 1.5, 1.0
UNKNOWN_TYPE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiTargets:
    """What the network should answer.

    Attributes
    ----------
    masks : Tensor of shape (B, 2, D, H, W)
        Soft outline and core, 0 to 1.
    nodule : Tensor of shape (B,)
        1 for a nodule, 0 for what is none.
    kind : Tensor of shape (B,), int64
        Index into `inference.models.voi_network.TYPES`, or `UNKNOWN_TYPE`.
    """

    masks: Tensor
    nodule: Tensor
    kind: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiLoss:
    """The loss and its parts."""

    total: Tensor
    mask: float
    core: float
    nodule: float
    kind: float


def voi_loss(masks: Tensor, judged: Tensor, target: VoiTargets) -> VoiLoss:
    """Cross-entropy per surface voxel and soft Dice of the outlines, cross-entropy of the rest.

    Outlines, cores and types count for nodules only.

    Shapes
    ------
    - masks: (B, 2, D, H, W) logits
    - judged: (B, 5) logits, nodule then types
    """
    there = target.nodule > 0.5
    mask = core = kind = masks.sum() * 0.0
    if bool(there.any()):
        outlines = target.masks[there]
        mask = _outline_loss(masks[there, 0], outlines[:, 0], outlines[:, 0])
        core = _outline_loss(masks[there, 1], outlines[:, 1], outlines[:, 0])
    nodule = functional.binary_cross_entropy_with_logits(judged[:, 0], target.nodule)
    known = target.kind != UNKNOWN_TYPE
    if bool(known.any()):
        kind = functional.cross_entropy(judged[known, 1:], target.kind[known])
    total = mask + CORE_WEIGHT * core + NODULE_WEIGHT * nodule + TYPE_WEIGHT * kind
    return VoiLoss(
        total=total,
        mask=float(mask.detach()),
        core=float(core.detach()),
        nodule=float(nodule.detach()),
        kind=float(kind.detach()),
    )


def _outline_loss(logits: Tensor, target: Tensor, nodule: Tensor) -> Tensor:
    """Of B outlines, shape (B, D, H, W); `nodule` gives the surface that it is divided by."""
    axes = (1, 2, 3)
    # A ball of n voxels has a surface of about 4.84 n^(2/3).
    surface = 4.84 * nodule.sum(dim=axes) ** (2 / 3) + OUTLINE_VOXELS
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    per_surface = entropy.sum(dim=axes) / surface
    probability = torch.sigmoid(logits)
    # Smooth enough that an empty core costs little when little is answered.
    both, sizes = (probability * target).sum(dim=axes), (probability + target).sum(dim=axes)
    dice = 1 - (2 * both + 20.0) / (sizes + 20.0)
    return (per_surface + dice).mean()
