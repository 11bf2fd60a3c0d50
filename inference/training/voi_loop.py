"""The training loop of the cube network: seeded, resumable, one line of progress at a time.

Every step's samples follow from the seed and the step's number, so a run that was stopped and
taken up again ends with the same weights as one that was not.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.models.voi_network import TYPES, VoiNetwork, VoiNetworkConfig
from inference.training.schedule import PACE_STEPS, rate_share, steps_in
from inference.training.shapes import NoduleShape
from inference.training.voi_backgrounds import VoiBackground
from inference.training.voi_losses import UNKNOWN_TYPE, VoiTargets, voi_loss
from inference.training.voi_samples import SampleMaker, VoiSample
from inference.voi import to_channels

Progress = Callable[[dict[str, Any]], None]
PARTS = ("loss", "mask", "core", "nodule", "type")


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiTrainingConfig:
    """How to train.

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


@dataclass(slots=True)
class _Run:
    model: VoiNetwork
    optimiser: torch.optim.AdamW
    maker: SampleMaker
    step: int = 0
    steps: int | None = None
    trained_s: float = 0.0


def train_segmenter(
    shapes: Sequence[NoduleShape],
    backgrounds: Sequence[VoiBackground],
    config: VoiTrainingConfig,
    *,
    checkpoint: Path,
    model_config: VoiNetworkConfig | None = None,
    start: dict[str, Tensor] | None = None,
    progress: Progress,
    stop_at_step: int | None = None,
) -> VoiNetwork:
    """Train, or take up a training again where `checkpoint` left it.

    Parameters
    ----------
    shapes, backgrounds : sequence
        What samples are made of.
    config : VoiTrainingConfig
        How.
    checkpoint : Path
        Written as training goes on; if it exists, training goes on from it.
    model_config : VoiNetworkConfig, optional
        The network.
    start : state dict, optional
        Weights to start from instead of random ones; what does not fit is left out.
    progress : callable
        Told of each stretch of steps: ``step``, ``steps``, the loss and its parts, the pace.
    stop_at_step : int, optional
        End early, as if interrupted.

    Raises
    ------
    ValueError
        If the checkpoint is of another configuration.
    """
    torch.manual_seed(config.seed)
    model = VoiNetwork(model_config)
    if start is not None:
        known = model.state_dict()
        # An older network may lack a part: what fits is taken, the rest begins anew.
        known.update({k: v for k, v in start.items() if k in known and v.shape == known[k].shape})
        model.load_state_dict(known)
    model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # stub lacks it
    run = _Run(
        model=model,
        optimiser=torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        ),
        maker=SampleMaker(
            shapes=shapes, backgrounds=backgrounds, config=model.config, seed=config.seed
        ),
        steps=config.steps,
    )
    if checkpoint.exists():
        _load(run, checkpoint, config)
    _train(run, config, checkpoint, progress, stop_at_step)
    return model.eval()


def _train(
    run: _Run, config: VoiTrainingConfig, checkpoint: Path, progress: Progress, stop: int | None
) -> None:
    began, saved = time.perf_counter(), time.perf_counter()
    before_s, first = run.trained_s, run.step
    sums = np.zeros(len(PARTS))
    while run.steps is None or run.step < run.steps:
        if stop is not None and run.step >= stop:
            break
        sums += _take_step(run, config)
        run.step += 1
        run.trained_s = before_s + time.perf_counter() - began
        if run.steps is None and run.step >= PACE_STEPS:
            run.steps = steps_in(config.minutes or 0, run.trained_s / run.step)
        if run.step % config.log_every == 0:
            parts = (sums / config.log_every).round(4).tolist()
            progress(
                {
                    "step": run.step,
                    "steps": run.steps,
                    **dict(zip(PARTS, parts, strict=True)),
                    "s_per_step": round((run.trained_s - before_s) / (run.step - first), 3),
                }
            )
            sums[:] = 0
        if time.perf_counter() - saved > config.checkpoint_s:
            _save(run, checkpoint, config)
            saved = time.perf_counter()
    _save(run, checkpoint, config)


def _take_step(run: _Run, config: VoiTrainingConfig) -> NDArray[np.float64]:
    """One step of the optimiser; the loss and its parts, in the order of `PARTS`."""
    numbers = range(run.step * config.batch_size, (run.step + 1) * config.batch_size)
    images, target = to_batch([run.maker.make(number) for number in numbers], run.model.config)
    run.model.train()
    for group in run.optimiser.param_groups:
        group["lr"] = config.learning_rate * rate_share(run.step, run.steps, config.warm_up)
    masks, judged = run.model(images)
    loss = voi_loss(masks, judged, target)
    run.optimiser.zero_grad(set_to_none=True)
    loss.total.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 5.0)
    run.optimiser.step()
    return np.array([float(loss.total.detach()), loss.mask, loss.core, loss.nodule, loss.kind])


def to_batch(samples: Sequence[VoiSample], config: VoiNetworkConfig) -> tuple[Tensor, VoiTargets]:
    """Images of shape (B, 4, S, S, S) and their targets."""
    images = [
        to_channels(item.hu, item.spacing_mm, item.slice_spacing_mm, config) for item in samples
    ]
    masks = np.stack([np.stack([item.mask, item.core]) for item in samples])
    kinds = [UNKNOWN_TYPE if item.kind is None else TYPES.index(item.kind) for item in samples]
    return torch.from_numpy(np.stack(images)), VoiTargets(
        masks=torch.from_numpy(masks),
        nodule=torch.tensor([float(item.nodule) for item in samples]),
        kind=torch.tensor(kinds),
    )


def _save(run: _Run, path: Path, config: VoiTrainingConfig) -> None:
    """Write the checkpoint whole or not at all."""
    state = {
        "model": run.model.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "step": run.step,
        "steps": run.steps,
        "trained_s": run.trained_s,
        "config": _identity(config),
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def _load(run: _Run, path: Path, config: VoiTrainingConfig) -> None:
    state = torch.load(path, weights_only=True)
    if state["config"] != _identity(config):
        raise ValueError(
            f"{path} is of another training ({state['config']}); wanted {_identity(config)}"
        )
    run.model.load_state_dict(state["model"])
    run.optimiser.load_state_dict(state["optimiser"])
    run.step, run.steps, run.trained_s = state["step"], state["steps"], state["trained_s"]


def _identity(config: VoiTrainingConfig) -> str:
    """What must be the same for a training to go on."""
    values = asdict(config)
    for name in ("checkpoint_s", "log_every"):
        del values[name]
    return json.dumps(values, sort_keys=True)
