"""Losses of the graph grader (eq. 9 to 12), and those that make its grades ordered.

US 2025/0255568 A1, paragraphs [0076] to [0086].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TEMPERATURE = 0.5
LEAST = 1e-6
MISSING_DROP_AT_MOST = 0.05
"""How far an area under the curve may fall when any one modality is missing: the PET/CT nodules
document (sources, document 4, sections 2.2.1 and 3.3)."""
AREA_TEMPERATURE = 0.2
"""Grades apart at which a pair counts as clearly ordered."""


def soft_cross_entropy(probabilities: Tensor, soft: Tensor) -> Tensor:
    """``-sum_c y^c log q^c`` of each row (the inner part of eq. 10); (N, 4), (N, 4) -> (N,)."""
    return -(soft * probabilities.clamp_min(LEAST).log()).sum(dim=1)


def wasserstein_1(first: Tensor, second: Tensor) -> Tensor:
    """Earth mover's distance between distributions over ordered grades; (N, 4) -> (N,)."""
    return (first.cumsum(dim=1) - second.cumsum(dim=1)).abs()[:, :-1].sum(dim=1)


def semantic_constraint(views: list[Tensor], original: Tensor) -> Tensor:
    """``(1/E) sum_i W(Y^(i), Y)`` (eq. 11), W the Wasserstein-1 distance.

    The original is what views should agree with; it is not drawn towards them.
    """
    target = original.detach()
    return torch.stack([wasserstein_1(view, target).mean() for view in views]).mean()


def contrastive(views: list[Tensor], temperature: float = TEMPERATURE) -> Tensor:
    """NT-Xent between every two views of the same nodes (eq. 12); each (N, h).

    Node u in view i shall be nearer to itself in view j than to the other nodes there.

    References
    ----------
    Chen et al., arXiv 2002.05709 (SimCLR).
    """
    even = [functional.normalize(view, dim=1) for view in views]
    target = torch.arange(len(even[0]), device=even[0].device)
    terms = [
        functional.cross_entropy(first @ second.T / temperature, target)
        for i, first in enumerate(even)
        for j, second in enumerate(even)
        if i != j
    ]
    return torch.stack(terms).mean()


def rating_likelihood(mean: Tensor, deviation: Tensor, rating: Tensor) -> Tensor:
    """Negative log-likelihood of the readers' mean rating, normal; (N,) -> (N,)."""
    return 0.5 * ((rating - mean) / deviation).square() + deviation.log()


def masked_reconstruction(guess: Tensor, truth: Tensor, hidden: Tensor) -> Tensor:
    """Mean square error where an attribute was hidden; (N, d), (N, d), (N, d) bool -> ()."""
    count = hidden.sum().clamp_min(1)
    return ((guess - truth).square() * hidden).sum() / count


def soft_area(probabilities: Tensor, rating: Tensor) -> Tensor:
    """Share of pairs with unequal ratings whose expected grades are in their order; 0 to 1.

    A smooth stand-in for the area under the curve: a pair counts sigmoid(difference / temperature).
    Without such a pair it is 0.5.
    """
    grades = torch.arange(probabilities.shape[1], device=rating.device, dtype=probabilities.dtype)
    expected = probabilities @ grades  # (N,)
    apart = torch.sigmoid((expected.unsqueeze(1) - expected.unsqueeze(0)) / AREA_TEMPERATURE)
    higher = rating.unsqueeze(1) > rating.unsqueeze(0)  # (N, N)
    return apart[higher].mean() if bool(higher.any()) else apart.new_tensor(0.5)


def missing_criterion(whole: Tensor, without: Tensor, rating: Tensor) -> Tensor:
    """``max(0, A(whole) - A(without) - 0.05)``, A the `soft_area`; (N, 4), (N, 4), (N,) -> ().

    The document sets this as a limit for tests, not as a loss. The whole answer is the measure and
    is not drawn down to what is left of it.
    """
    drop = soft_area(whole.detach(), rating) - soft_area(without, rating)
    return (drop - MISSING_DROP_AT_MOST).clamp_min(0)


def alignment(states: Tensor, present: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """InfoNCE between a row's modalities, as proposed for PET and CT (sources, document 4).

    Shapes
    ------
    - states: (N, M, h); present: (N, M)
    """
    terms = []
    modalities = states.shape[1]
    for i in range(modalities):
        for j in range(modalities):
            both = present[:, i] & present[:, j]
            if i != j and int(both.sum()) > 1:
                terms.append(contrastive([states[both, i], states[both, j]], temperature))
    return torch.stack(terms).mean() if terms else states.new_zeros(())
