"""Training the cube network: its samples and its loss (see `run`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inference.models.voi_network import TYPES, VoiNetwork, VoiNetworkConfig
from inference.training.run import Progress, Run, Schedule, train
from inference.training.shapes import NoduleShape
from inference.training.voi_backgrounds import VoiBackground
from inference.training.voi_losses import UNKNOWN_TYPE, VoiTargets, voi_loss
from inference.training.voi_samples import SampleMaker, VoiSample
from inference.voi import to_channels


def train_segmenter(
    shapes: Sequence[NoduleShape],
    backgrounds: Sequence[VoiBackground],
    config: Schedule,
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
    config : Schedule
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
    run = Run(model, config)
    if checkpoint.exists():
        run.load(checkpoint)
    maker = SampleMaker(
        shapes=shapes, backgrounds=backgrounds, config=model.config, seed=config.seed
    )

    def take_step() -> dict[str, float]:
        images, target = to_batch([maker.make(number) for number in run.numbers()], model.config)
        masks, judged = model.train()(images)
        loss = voi_loss(masks, judged, target)
        run.descend(loss.total)
        return {
            "loss": float(loss.total.detach()),
            "mask": loss.mask,
            "core": loss.core,
            "nodule": loss.nodule,
            "type": loss.kind,
        }

    train(run, take_step, checkpoint=checkpoint, progress=progress, stop_at_step=stop_at_step)
    return model.eval()


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
