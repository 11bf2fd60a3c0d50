"""What the training loops share: the learning rate's course and the pace."""

from __future__ import annotations

import math

PACE_STEPS = 15
"""Steps by which minutes are turned into a number of steps; within the warm-up."""


def rate_share(step: int, steps: int | None, warm_up: int) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov and Hutter, arXiv 1608.03983)."""
    if step < warm_up or steps is None:
        return (step + 1) / warm_up
    share = (step - warm_up) / max(1, steps - warm_up)
    return 0.5 * (1 + math.cos(math.pi * share))


def steps_in(minutes: float, s_per_step: float) -> int:
    """Steps that fit, at least those by which the pace was taken."""
    return max(PACE_STEPS, int(minutes * 60 / s_per_step))
