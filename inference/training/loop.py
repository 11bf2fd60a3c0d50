"""The training loop of the detector: seeded, resumable, one line of progress at a time.

Every step's patches follow from the seed and the step's number, so a run that was stopped and
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

from inference.backend import TorchBackend
from inference.centre_detection import find_peaks, to_window
from inference.models.centre_detector import CentreDetector, CentreDetectorConfig
from inference.training.annotated import kept_out
from inference.training.backgrounds import Background
from inference.training.losses import detector_loss
from inference.training.patches import PatchMaker
from inference.training.schedule import PACE_STEPS, rate_share, steps_in
from inference.training.shapes import NoduleShape
from inference.training.targets import make_targets

Progress = Callable[[dict[str, Any]], None]
MISTAKE_FROM = 0.1
MISTAKES_AT_MOST = 60
"""Per background: the worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How to train.

    Attributes
    ----------
    seed : int
        Same seed, same data, same machine: same weights.
    steps : int, optional
        Of the optimiser. Without it, as many as fit into `minutes`.
    minutes : float, optional
        For choosing `steps` by the pace of the first ones; the number is recorded.
    mine_at : tuple of float
        Shares of the run at which the model's mistakes on the backgrounds are collected.
    checkpoint_s : float
        Between checkpoints.
    """

    seed: int = 0
    steps: int | None = None
    minutes: float | None = None
    batch_size: int = 8
    patch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warm_up: int = 40
    mine_at: tuple[float, ...] = (0.35, 0.65)
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
    model: CentreDetector
    optimiser: torch.optim.AdamW
    maker: PatchMaker
    step: int = 0
    steps: int | None = None
    trained_s: float = 0.0


def train_detector(
    shapes: Sequence[NoduleShape],
    backgrounds: Sequence[Background],
    config: TrainingConfig,
    *,
    checkpoint: Path,
    model_config: CentreDetectorConfig | None = None,
    start: dict[str, Tensor] | None = None,
    progress: Progress,
    stop_at_step: int | None = None,
) -> CentreDetector:
    """Train, or take up a training again where `checkpoint` left it.

    Parameters
    ----------
    shapes, backgrounds : sequence
        What patches are made of.
    config : TrainingConfig
        How.
    checkpoint : Path
        Written as training goes on; if it exists, training goes on from it.
    model_config : CentreDetectorConfig, optional
        The network.
    start : state dict, optional
        Weights to start from instead of random ones.
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
    model = CentreDetector(model_config)
    if start is not None:
        model.load_state_dict(start)
    model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # stub lacks it
    run = _Run(
        model=model,
        optimiser=torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        ),
        maker=PatchMaker(
            shapes=shapes,
            backgrounds=backgrounds,
            spacing_mm=model.config.spacing_mm,
            size=config.patch_size,
            seed=config.seed,
        ),
        steps=config.steps,
    )
    if checkpoint.exists():
        _load(run, checkpoint, config)
    _train(run, config, checkpoint, progress, stop_at_step)
    return model.eval()


def _train(
    run: _Run, config: TrainingConfig, checkpoint: Path, progress: Progress, stop: int | None
) -> None:
    began, saved = time.perf_counter(), time.perf_counter()
    before_s, first = run.trained_s, run.step
    sums = np.zeros(4)
    while run.steps is None or run.step < run.steps:
        if stop is not None and run.step >= stop:
            break
        if run.steps is not None and run.step in _mining_steps(config, run.steps):
            mine(run.model, run.maker)
            progress(
                {"step": run.step, "mistakes": {k: len(v) for k, v in run.maker.mistakes.items()}}
            )
        sums += _take_step(run, config)
        run.step += 1
        run.trained_s = before_s + time.perf_counter() - began
        if run.steps is None and run.step >= PACE_STEPS:
            pace_s = run.trained_s / run.step
            run.steps = steps_in(config.minutes or 0, pace_s)
        if run.step % config.log_every == 0:
            total, heat, diameter, offset = (sums / config.log_every).round(4).tolist()
            progress(
                {
                    "step": run.step,
                    "steps": run.steps,
                    "loss": total,
                    "heat": heat,
                    "diameter": diameter,
                    "offset": offset,
                    "s_per_step": round((run.trained_s - before_s) / (run.step - first), 3),
                }
            )
            sums[:] = 0
        if time.perf_counter() - saved > config.checkpoint_s:
            _save(run, checkpoint, config)
            saved = time.perf_counter()
    _save(run, checkpoint, config)


def _mining_steps(config: TrainingConfig, steps: int) -> set[int]:
    return {round(share * steps) for share in config.mine_at}


def _take_step(run: _Run, config: TrainingConfig) -> NDArray[np.float64]:
    """One step of the optimiser; the loss and its parts, shape (4,)."""
    spacing_mm = run.model.config.spacing_mm
    numbers = range(run.step * config.batch_size, (run.step + 1) * config.batch_size)
    patches = [run.maker.make(number) for number in numbers]
    images = np.stack([to_window(patch.hu, run.model.config) for patch in patches])
    targets = np.stack([make_targets(patch, spacing_mm=spacing_mm) for patch in patches])
    batch = torch.from_numpy(images[:, None]).to(memory_format=torch.channels_last_3d)
    run.model.train()
    for group in run.optimiser.param_groups:
        group["lr"] = config.learning_rate * rate_share(run.step, run.steps, config.warm_up)
    loss = detector_loss(run.model(batch), torch.from_numpy(targets))
    run.optimiser.zero_grad(set_to_none=True)
    loss.total.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 5.0)
    run.optimiser.step()
    return np.array([float(loss.total.detach()), loss.heat, loss.diameter, loss.offset])


def mine(model: CentreDetector, maker: PatchMaker) -> None:
    """Collect where the model sees nodules in backgrounds that hold none.

    Known lesions are left out. A real nodule that nobody knows of is taken for a mistake: the
    price of unannotated backgrounds.
    """
    backend = TorchBackend(model)
    for background in maker.backgrounds:
        peaks = find_peaks(backend, model.config, background.volume.hu, background.search)
        wrong = peaks[peaks[:, 4] >= MISTAKE_FROM][:MISTAKES_AT_MOST, :3]
        for lesion in kept_out(background, maker.spacing_mm):
            wrong = wrong[np.linalg.norm(wrong - lesion[:3], axis=1) > lesion[3]]
        known = np.concatenate([wrong, background.negatives_kji])
        maker.mistakes[background.name] = np.rint(known).astype(np.int32)


def _save(run: _Run, path: Path, config: TrainingConfig) -> None:
    """Write the checkpoint whole or not at all."""
    state = {
        "model": run.model.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "step": run.step,
        "steps": run.steps,
        "trained_s": run.trained_s,
        "mistakes": {name: torch.from_numpy(at) for name, at in run.maker.mistakes.items()},
        "config": _identity(config),
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def _load(run: _Run, path: Path, config: TrainingConfig) -> None:
    state = torch.load(path, weights_only=True)
    if state["config"] != _identity(config):
        raise ValueError(
            f"{path} is of another training ({state['config']}); wanted {_identity(config)}"
        )
    run.model.load_state_dict(state["model"])
    run.optimiser.load_state_dict(state["optimiser"])
    run.step, run.steps, run.trained_s = state["step"], state["steps"], state["trained_s"]
    run.maker.mistakes = {name: at.numpy() for name, at in state["mistakes"].items()}


def _identity(config: TrainingConfig) -> str:
    """What must be the same for a training to go on."""
    values = asdict(config)
    for name in ("checkpoint_s", "log_every"):
        del values[name]
    return json.dumps(values, sort_keys=True)
