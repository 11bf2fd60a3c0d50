"""The encoder's tasks, learned together: rating, grade, attributes, calcium, and their consistency.

The consistency task is that of [0054] of US 2025/0255568 A1 ("a CT feature semantic label
consistency measurement task is designed for coordinated feedback"): the rating that the predicted
attributes imply must be the rating that is predicted from the fused feature. What attributes imply
is fitted once, on the readers' own ratings (`fit_implied`), and stays fixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inference.attributes import to_shares
from inference.grading.table import GRADE_LIMITS
from inference.models.cross_view_encoder import implied_terms

GRADE, ATTRIBUTES, CALCIFIED, CONSISTENCY = 0.5, 0.8, 0.4, 0.2
"""Weights of the tasks beside that of the rating, 1."""
LEAST_VARIANCE = 0.005
"""Of an attribute's share: what hardly varies (internal structure) must not rule the loss."""
RIDGE = 1.0
"""Pulls the implied rating's weights towards zero, as so many nodules would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderTargets:
    """What should be said of B nodules.

    Attributes
    ----------
    rating : Tensor of shape (B,)
        Malignancy, 1 to 5.
    attributes : Tensor of shape (B, 8)
        On LIDC's scales.
    calcified : Tensor of shape (B,)
        1 or 0.
    """

    rating: Tensor
    attributes: Tensor
    calcified: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderLoss:
    """The loss to descend, and its parts for the log."""

    total: Tensor
    parts: dict[str, float]


def encoder_loss(
    answers: tuple[Tensor, ...], target: EncoderTargets, *, highest: Tensor, variance: Tensor
) -> EncoderLoss:
    """Loss of the answers of a `CrossViewEncoder`.

    Parameters
    ----------
    highest, variance : Tensor of shape (8,)
        Of the attributes' scales, and of their shares in training.
    """
    _, grade, rating, attributes, calcified, implied = answers
    limits = torch.tensor(GRADE_LIMITS)
    above = (target.rating.unsqueeze(1) > limits).float()  # (B, 3)
    apart = (attributes - target.attributes) / (highest - 1.0)
    parts = {
        "rating": functional.smooth_l1_loss(rating.squeeze(1), target.rating),
        "grade": functional.binary_cross_entropy_with_logits(grade, above),
        "attributes": (apart**2 / variance.clamp(min=LEAST_VARIANCE)).mean(),
        "calcified": functional.binary_cross_entropy_with_logits(
            calcified.squeeze(1), target.calcified
        ),
        "consistency": functional.smooth_l1_loss(implied, rating),
    }
    total = (
        parts["rating"]
        + GRADE * parts["grade"]
        + ATTRIBUTES * parts["attributes"]
        + CALCIFIED * parts["calcified"]
        + CONSISTENCY * parts["consistency"]
    )
    return EncoderLoss(
        total=total, parts={name: float(part.detach()) for name, part in parts.items()}
    )


def fit_implied(
    attributes: NDArray[np.floating],
    log_diameter: NDArray[np.floating],
    rating: NDArray[np.floating],
) -> Tensor:
    """The map from attributes and size to the rating: ridge regression on what readers said.

    Parameters
    ----------
    attributes : ndarray of shape (N, 8)
        On LIDC's scales.
    log_diameter, rating : ndarray of shape (N,)
        Size as `inference.deep_features.to_image` scales it, and malignancy.

    Returns
    -------
    Tensor of shape (19,)
        `CrossViewEncoder.implied_weight`.
    """
    shares = torch.from_numpy(to_shares(attributes))
    size = torch.from_numpy(np.asarray(log_diameter, dtype=np.float32))
    terms = implied_terms(shares, size).numpy().astype(np.float64)
    pull = RIDGE * np.eye(terms.shape[1])
    pull[-1, -1] = 0.0  # the constant is free
    weight = np.linalg.solve(terms.T @ terms + pull, terms.T @ np.asarray(rating, np.float64))
    return torch.from_numpy(weight.astype(np.float32))
