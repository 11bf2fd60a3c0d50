"""Training the detector: patches, its loss, and its own mistakes shown again (see `run`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inference.backend import TorchBackend
from inference.centre_detection import find_peaks, to_window
from inference.models.centre_detector import CentreDetector, CentreDetectorConfig
from inference.training.annotated import kept_out
from inference.training.backgrounds import Background
from inference.training.losses import detector_loss
from inference.training.patches import PatchMaker
from inference.training.run import Progress, Run, Schedule, train
from inference.training.shapes import NoduleShape
from inference.training.targets import make_targets

MISTAKE_FROM = 0.1
MISTAKES_AT_MOST = 60
"""Per background: the worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig(Schedule):
    """How to train; see `Schedule`.

    Attributes
    ----------
    patch_size : int
        Voxels of a patch's side.
    mine_at : tuple of float
        Shares of the run at which the model's mistakes on the backgrounds are collected.
    """

    patch_size: int = 64
    mine_at: tuple[float, ...] = (0.35, 0.65)


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
    run = Run(model, config)
    if checkpoint.exists():
        run.load(checkpoint)
    maker = PatchMaker(
        shapes=shapes,
        backgrounds=backgrounds,
        spacing_mm=model.config.spacing_mm,
        size=config.patch_size,
        seed=config.seed,
        mistakes={name: at.numpy() for name, at in run.extra.items()},
    )

    def take_step() -> dict[str, float]:
        if run.steps is not None and run.step in _mining_steps(config, run.steps):
            mine(model, maker)
            run.extra = {name: torch.from_numpy(at) for name, at in maker.mistakes.items()}
            progress({"step": run.step, "mistakes": {k: len(v) for k, v in maker.mistakes.items()}})
        return _take_step(run, model, maker)

    train(run, take_step, checkpoint=checkpoint, progress=progress, stop_at_step=stop_at_step)
    return model.eval()


def _mining_steps(config: TrainingConfig, steps: int) -> set[int]:
    return {round(share * steps) for share in config.mine_at}


def _take_step(run: Run, model: CentreDetector, maker: PatchMaker) -> dict[str, float]:
    """One step of the optimiser; the loss and its parts."""
    patches = [maker.make(number) for number in run.numbers()]
    images = np.stack([to_window(patch.hu, model.config) for patch in patches])
    targets = np.stack(
        [make_targets(patch, spacing_mm=model.config.spacing_mm) for patch in patches]
    )
    batch = torch.from_numpy(images[:, None]).to(memory_format=torch.channels_last_3d)
    loss = detector_loss(model.train()(batch), torch.from_numpy(targets))
    run.descend(loss.total)
    return {
        "loss": float(loss.total.detach()),
        "heat": loss.heat,
        "diameter": loss.diameter,
        "offset": loss.offset,
    }


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
