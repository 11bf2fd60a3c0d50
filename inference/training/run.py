"""What every training shares: how long, at which rate, its checkpoints and its lines of progress.

Every step's samples follow from the seed and the step's number, so a run that was stopped and
taken up again ends with the same weights as one that was not.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Progress = Callable[[dict[str, Any]], None]
PACE_STEPS = 15
"""Steps by which minutes are turned into a number of steps; within the warm-up."""
GRADIENT_NORM_AT_MOST = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast.

    Attributes
    ----------
    seed : int
        Same seed, same data, same machine: same weights.
    steps : int, optional
        Of the optimiser. Without it, as many as fit into `minutes`.
    minutes : float, optional
        For choosing `steps` by the pace of the first ones; the number is recorded.
    checkpoint_s : float
        Between checkpoints.
    """

    seed: int = 0
    steps: int | None = None
    minutes: float | None = None
    batch_size: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warm_up: int = 40
    checkpoint_s: float = 120.0
    log_every: int = 20

    def __post_init__(self) -> None:
        """Refuse a run without end.

        Raises
        ------
        ValueError
            Unless exactly one of `steps` and `minutes` is given.
        """
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give either steps or minutes")

    def identity(self) -> str:
        """What must be the same for a training to go on."""
        values = asdict(self)
        for name in ("checkpoint_s", "log_every"):
            del values[name]
        return json.dumps(values, sort_keys=True)


@dataclass(slots=True)
class Run:
    """A training under way: the model, its optimiser, and how far it is.

    Attributes
    ----------
    extra : dict
        Whatever else a checkpoint has to keep; see `train`.
    """

    model: nn.Module
    schedule: Schedule
    optimiser: torch.optim.AdamW = field(init=False)
    step: int = 0
    steps: int | None = field(init=False)
    trained_s: float = 0.0
    extra: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the optimiser for the model's weights."""
        self.model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(),
            lr=self.schedule.learning_rate,
            weight_decay=self.schedule.weight_decay,
        )
        self.steps = self.schedule.steps

    def numbers(self) -> range:
        """Numbers of this step's samples."""
        size = self.schedule.batch_size
        return range(self.step * size, (self.step + 1) * size)

    def descend(self, loss: Tensor) -> None:
        """One step of the optimiser at this step's rate."""
        share = rate_share(self.step, self.steps, self.schedule.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.learning_rate * share
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM_AT_MOST)
        self.optimiser.step()

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "steps": self.steps,
            "trained_s": self.trained_s,
            "extra": self.extra,
            "config": self.schedule.identity(),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        ValueError
            If it is of another training.
        """
        state = torch.load(path, weights_only=True)
        wanted = self.schedule.identity()
        if state["config"] != wanted:
            raise ValueError(f"{path} is of another training ({state['config']}); wanted {wanted}")
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.steps, self.trained_s = state["step"], state["steps"], state["trained_s"]
        self.extra = state["extra"]


def train(
    run: Run,
    take_step: Callable[[], Mapping[str, float]],
    *,
    checkpoint: Path,
    progress: Progress,
    stop_at_step: int | None = None,
) -> None:
    """Take steps until the run is done.

    Parameters
    ----------
    run : Run
        As loaded or new; what `take_step` puts into its `extra` is kept in checkpoints.
    take_step : callable
        Makes the samples of `Run.numbers`, descends, and answers the loss and its parts by name.
    checkpoint : Path
        Written every `Schedule.checkpoint_s` and at the end.
    progress : callable
        Told of each stretch of steps: ``step``, ``steps``, the mean of each part, the pace.
    stop_at_step : int, optional
        End early, as if interrupted.
    """
    schedule = run.schedule
    began, saved = time.perf_counter(), time.perf_counter()
    before_s, first = run.trained_s, run.step
    told: list[Mapping[str, float]] = []
    while run.steps is None or run.step < run.steps:
        if stop_at_step is not None and run.step >= stop_at_step:
            break
        told.append(take_step())
        run.step += 1
        run.trained_s = before_s + time.perf_counter() - began
        if run.steps is None and run.step >= PACE_STEPS:
            run.steps = steps_in(schedule.minutes or 0, run.trained_s / run.step)
        if run.step % schedule.log_every == 0:
            pace_s = (run.trained_s - before_s) / (run.step - first)
            progress(
                {
                    "step": run.step,
                    "steps": run.steps,
                    **_means(told),
                    "s_per_step": round(pace_s, 3),
                }
            )
            told = []
        if time.perf_counter() - saved > schedule.checkpoint_s:
            run.save(checkpoint)
            saved = time.perf_counter()
    run.save(checkpoint)


def rate_share(step: int, steps: int | None, warm_up: int) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov and Hutter, arXiv 1608.03983)."""
    if step < warm_up or steps is None:
        return (step + 1) / warm_up
    share = (step - warm_up) / max(1, steps - warm_up)
    return 0.5 * (1 + math.cos(math.pi * share))


def steps_in(minutes: float, s_per_step: float) -> int:
    """Steps that fit, at least those by which the pace was taken."""
    return max(PACE_STEPS, int(minutes * 60 / s_per_step))


def _means(told: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(float(np.mean([line[name] for line in told])), 4) for name in told[0]}
