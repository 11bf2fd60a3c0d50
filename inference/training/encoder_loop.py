"""Training the cross-view encoder on a rendered set (see `run`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.attributes import MALIGNANCY, to_shares
from inference.deep_features import (
    DIAMETER_UNIT_MM,
    SLICE_UNIT_MM,
    SPACING_UNIT_MM,
    Standard,
    standard_of,
    to_image,
)
from inference.models.cross_view_encoder import INPUTS, CrossViewConfig, CrossViewEncoder
from inference.training.encoder_losses import EncoderTargets, encoder_loss, fit_implied
from inference.training.rendered_set import RenderedSet
from inference.training.run import Progress, Run, Schedule, train

WITHOUT_RADIOMICS = 0.15
"""Share of the samples whose radiomics are withheld, so that the feature can do without."""
SHIFT_VOXELS = 1
SHIFT_HU = 12.0
NOISE_HU = 10.0
REGRESSION_RIDGE = 10.0
MEAN_WITHIN, LEAST_DEVIATION = 0.02, 0.02
"""What hardly varies (internal structure) begins near its mean, not beyond all bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderData:
    """A rendered set and the radiomics of its key slices.

    Attributes
    ----------
    roi : ndarray of shape (N, d), dtype float32
        Columns as `CrossViewConfig.radiomics` names them.
    diameter_mm : ndarray of shape (N,)
        Of the ball of the mask's volume.
    """

    rows: RenderedSet
    roi: NDArray[np.float32]
    diameter_mm: NDArray[np.float32]

    def log_diameter(self) -> NDArray[np.float64]:
        """As the network is told it, shape (N,)."""
        return np.log(np.maximum(self.diameter_mm.astype(np.float64), 0.5) / DIAMETER_UNIT_MM)


def train_encoder(
    data: EncoderData,
    chosen: NDArray[np.int64],
    config: Schedule,
    *,
    checkpoint: Path,
    model_config: CrossViewConfig,
    progress: Progress,
    stop_at_step: int | None = None,
) -> CrossViewEncoder:
    """Train, or take up a training again where `checkpoint` left it.

    Parameters
    ----------
    data : EncoderData
        What to learn from.
    chosen : ndarray of shape (n,)
        Rows that may be used.
    config : Schedule
        How.
    checkpoint : Path
        Written as training goes on; if it exists, training goes on from it.
    progress : callable
        Told of each stretch of steps.
    stop_at_step : int, optional
        End early, as if interrupted.

    Raises
    ------
    ValueError
        If the checkpoint is of another configuration.
    """
    torch.manual_seed(config.seed)
    model = CrossViewEncoder(model_config)
    _fit_fixed(model, data, chosen)
    _begin_with_regression(model, data, chosen)
    shares = to_shares(data.rows.attributes[chosen])
    variance = torch.from_numpy(shares.var(axis=0))
    run = Run(model, config)
    if checkpoint.exists():
        run.load(checkpoint)
    standard = standard_of(model)

    def take_step() -> dict[str, float]:
        numbers = run.numbers()
        torch.manual_seed(config.seed * 1_000_003 + run.step)  # for dropout
        images, target = make_batch(data, standard, chosen, numbers, model_config, config.seed)
        loss = encoder_loss(
            model.train()(images.contiguous(memory_format=torch.channels_last_3d)),
            target,
            highest=model.highest,
            variance=variance,
        )
        run.descend(loss.total)
        return {"loss": float(loss.total.detach()), **loss.parts}

    train(run, take_step, checkpoint=checkpoint, progress=progress, stop_at_step=stop_at_step)
    return model.eval()


def _fit_fixed(model: CrossViewEncoder, data: EncoderData, chosen: NDArray[np.int64]) -> None:
    """What is fitted once, before training: the radiomics' standard and the implied rating."""
    if model.config.radiomics:
        standard = Standard.fit(data.roi[chosen])
        model.radiomic_mean.copy_(torch.from_numpy(standard.mean))
        model.radiomic_deviation.copy_(torch.from_numpy(standard.deviation))
    rows = data.rows
    model.implied_weight.copy_(
        fit_implied(rows.attributes[chosen], data.log_diameter()[chosen], rows.rating[chosen])
    )


def _begin_with_regression(
    model: CrossViewEncoder, data: EncoderData, chosen: NDArray[np.int64]
) -> None:
    """Ridge regression from radiomics and size to what is to be said, for `begin_with`."""
    rows = data.rows
    low, high = MALIGNANCY
    wanted = np.column_stack(
        [
            (rows.rating[chosen] - low) / (high - low),
            to_shares(rows.attributes[chosen]),
            rows.calcified[chosen],
        ]
    ).astype(np.float64)
    mean = np.clip(wanted.mean(axis=0), MEAN_WITHIN, 1 - MEAN_WITHIN)
    deviation = np.maximum(wanted.std(axis=0), LEAST_DEVIATION)
    known = np.zeros((len(chosen), 1))
    if model.config.radiomics:
        known = standard_of(model).apply(data.roi[chosen]).astype(np.float64)
    spacing = rows.spacing_mm[chosen] / SPACING_UNIT_MM - 1
    slices = rows.slice_spacing_mm[chosen] / SLICE_UNIT_MM - 1
    terms = np.column_stack(
        [known, spacing, slices, data.log_diameter()[chosen], np.ones(len(chosen))]
    )
    pull = REGRESSION_RIDGE * np.eye(terms.shape[1])
    pull[-1, -1] = 0.0
    weight = np.linalg.solve(terms.T @ terms + pull, terms.T @ ((wanted - mean) / deviation))
    model.begin_with(
        *(torch.from_numpy(item.astype(np.float32)) for item in (weight.T, mean, deviation))
    )


def make_batch(
    data: EncoderData,
    standard: Standard,
    chosen: NDArray[np.int64],
    numbers: Sequence[int],
    config: CrossViewConfig,
    seed: int,
) -> tuple[Tensor, EncoderTargets]:
    """The samples of some numbers: every chosen row once, in another order, then again.

    Mirrored, shifted, with other noise; what a number gives follows from the seed alone.
    """
    images = np.empty((len(numbers), INPUTS, *(config.side,) * 3), dtype=np.float32)
    picked = np.empty(len(numbers), dtype=np.int64)
    for place, number in enumerate(numbers):
        epoch, at = divmod(number, len(chosen))
        order = np.random.default_rng((seed, 7, epoch)).permutation(len(chosen))
        index = int(chosen[order[at]])
        picked[place] = index
        images[place] = _vary(data, standard, index, config, np.random.default_rng((seed, number)))
    rows = data.rows
    return torch.from_numpy(images), EncoderTargets(
        rating=torch.from_numpy(rows.rating[picked]),
        attributes=torch.from_numpy(rows.attributes[picked]),
        calcified=torch.from_numpy(rows.calcified[picked].astype(np.float32)),
    )


def _vary(
    data: EncoderData,
    standard: Standard,
    index: int,
    config: CrossViewConfig,
    random: np.random.Generator,
) -> NDArray[np.float32]:
    rows = data.rows
    hu, mask = rows.cube(index), rows.mask(index)
    hu = hu + np.float32(random.normal(0, SHIFT_HU))
    deviation = np.float32(random.uniform(0, 1) ** 2 * NOISE_HU)
    hu += deviation * random.standard_normal(hu.shape, dtype=np.float32)
    mirror = tuple(slice(None, None, int(random.choice([-1, 1]))) for _ in range(3))
    shift = random.integers(-SHIFT_VOXELS, SHIFT_VOXELS + 1, 3)
    known = bool(config.radiomics) and random.random() >= WITHOUT_RADIOMICS
    return to_image(
        hu[mirror],
        mask[mirror],
        spacing_mm=float(rows.spacing_mm[index]),
        slice_spacing_mm=float(rows.slice_spacing_mm[index]),
        radiomics=standard.apply(data.roi[index]) if known else None,
        config=config,
        shift=(int(shift[0]), int(shift[1]), int(shift[2])),
    )


def run_encoder(
    model: CrossViewEncoder,
    data: EncoderData,
    chosen: NDArray[np.int64],
    *,
    at_once: int = 16,
    with_radiomics: bool = True,
) -> tuple[NDArray[np.float32], ...]:
    """Every answer of a network for some rows as they are, (n, ...) each."""
    standard, rows = standard_of(model), data.rows
    found = []
    for start in range(0, len(chosen), at_once):
        images = np.stack(
            [
                to_image(
                    rows.cube(index),
                    rows.mask(index),
                    spacing_mm=float(rows.spacing_mm[index]),
                    slice_spacing_mm=float(rows.slice_spacing_mm[index]),
                    radiomics=standard.apply(data.roi[index]) if with_radiomics else None,
                    config=model.config,
                )
                for index in chosen[start : start + at_once]
            ]
        )
        with torch.inference_mode():
            answers = model.eval()(
                torch.from_numpy(images).contiguous(memory_format=torch.channels_last_3d)
            )
        found.append([item.numpy() for item in answers])
    return tuple(np.concatenate(items) for items in zip(*found, strict=True))
