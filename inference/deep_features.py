"""A segmented nodule -> its description by the cross-view encoder: fused feature and attributes.

The cube is cut as in training, the radiomics of the ROI view are those of the cube's slice with
the largest area of the mask, and the network runs behind the usual seam (`inference.backend`).

The encoder learned from simulated pictures of real nodules: see its model card before any of
these numbers is believed. What lies outside of what it was trained on is said in
`NoduleDescription.beyond_training`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.attributes import ATTRIBUTES
from inference.backend import Backend, run_in_portions
from inference.engines import make_backend
from inference.models.cross_view_encoder import (
    DENSE,
    FIRST_RADIOMIC,
    INPUTS,
    LOG_DIAMETER,
    LUNG,
    MASK,
    NUMBERS,
    PRESENT,
    CrossViewConfig,
    CrossViewEncoder,
)
from inference.models.voi_network import VoiNetworkConfig
from inference.radiomics.extract import features_of
from inference.radiomics.table import ROI_TABLE
from inference.voi import Cube, cube_spacing_mm, cut_cube
from inference.weights import Weights, folder_with, load_weights

if TYPE_CHECKING:
    from pathlib import Path

    from inference.engine_options import EngineOptions
    from inference.findings import VoiMask
    from inference.volume import Volume

CUBE = VoiNetworkConfig()
"""Cubes are cut as for the segmenter, 48 voxels wide; the encoder sees their middle."""
SPACING_UNIT_MM, SLICE_UNIT_MM, DIAMETER_UNIT_MM = 1.0, 2.5, 10.0
CLIPPED_AT = 4.0
"""Standardised radiomics beyond it are set to it."""
TRAINED_DIAMETER_MM = (3.0, 40.0)
TRAINED_SLICE_SPACING_MM = 5.0
AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """Mean and deviation of the compressed radiomics in training, shape (d,) each.

    Radiomics differ by many orders of magnitude: they are compressed by the inverse hyperbolic
    sine, which is linear around zero and a logarithm beyond.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @classmethod
    def fit(cls, radiomics: NDArray[np.floating]) -> Standard:
        """Of rows (N, d); unknown values are left out."""
        values = np.arcsinh(radiomics)
        some = np.isfinite(values)
        count = np.maximum(some.sum(axis=0), 1)
        mean = np.where(some, values, 0).sum(axis=0) / count
        square = np.where(some, (values - mean) ** 2, 0).sum(axis=0) / count
        deviation = np.sqrt(square)
        deviation[deviation < 1e-6] = 1.0
        return cls(mean=mean.astype(np.float32), deviation=deviation.astype(np.float32))

    def apply(self, radiomics: NDArray[np.floating]) -> NDArray[np.float32]:
        """Rows (..., d) -> about -1 to 1; the mean where a value is unknown."""
        values = (np.arcsinh(radiomics) - self.mean) / self.deviation
        return np.asarray(np.clip(np.nan_to_num(values), -CLIPPED_AT, CLIPPED_AT), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleDescription:
    """What the encoder says of a nodule.

    Attributes
    ----------
    features : ndarray of shape (F,), dtype float32
        The fused feature, each number -1 to 1: what graders are given.
    attributes : mapping of str to float
        `inference.attributes.ATTRIBUTES` on LIDC's scales.
    rating : float
        Malignancy as readers of LIDC would rate it, 1 to 5: an opinion, no probability.
    grades : ndarray of shape (4,), dtype float64
        Share of each grade (`inference.grading.table.GRADE_LIMITS`), sums to 1; not calibrated.
    calcified : float
        0 to 1, that most readers would see calcium; not calibrated.
    implied_rating : float
        The rating that the attributes and the size imply. Far from `rating`, the description
        contradicts itself.
    beyond_training : tuple of str
        In what way the nodule lies outside of what the encoder was trained on.
    """

    features: NDArray[np.float32]
    attributes: Mapping[str, float]
    rating: float
    grades: NDArray[np.float64]
    calcified: float
    implied_rating: float
    beyond_training: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """A trained network that is ready to run."""

    backend: Backend
    config: CrossViewConfig
    standard: Standard
    version: str
    weights: Mapping[str, str]


@lru_cache(maxsize=2)
def make_encoder(options: EngineOptions | None = None, folder: Path | None = None) -> Encoder:
    """The shipped encoder or a site's own, made once per process.

    Parameters
    ----------
    options : EngineOptions, optional
        What its network shall run on; the fastest that is here if absent.
    folder : Path, optional
        A site's own weights; see `inference.weights.folder_with`.

    Raises
    ------
    inference.errors.WeightsRefused
        If the weights are missing or were changed.
    """
    return to_encoder(load_weights("encoder", folder_with("encoder", folder)), options)


def to_encoder(weights: Weights, options: EngineOptions | None = None) -> Encoder:
    """An encoder from checked weights.

    Raises
    ------
    ValueError
        If the weights were trained on other radiomics than this version computes.
    """
    config = CrossViewConfig.from_dict(weights.config)
    unknown = [name for name in config.radiomics if name not in ROI_TABLE.names]
    if unknown:
        raise ValueError(f"the encoder wants radiomics that are not computed: {unknown[0]} ...")
    network = CrossViewEncoder(config)
    network.load_state_dict(weights.tensors)
    return Encoder(
        backend=make_backend(network, (1, INPUTS, *(config.side,) * 3), options),
        config=config,
        standard=standard_of(network),
        version=weights.version,
        weights={weights.name: weights.sha256},
    )


def standard_of(network: CrossViewEncoder) -> Standard:
    """How a network wants its radiomics."""
    return Standard(
        mean=network.radiomic_mean.detach().cpu().numpy(),
        deviation=network.radiomic_deviation.detach().cpu().numpy(),
    )


def describe(volume: Volume, voi: VoiMask, encoder: Encoder) -> NoduleDescription:
    """Describe a segmented nodule.

    Parameters
    ----------
    volume : Volume
        The CT.
    voi : VoiMask
        The nodule, at least one voxel.
    encoder : Encoder
        See `to_encoder`.
    """
    cube, mask = cut_nodule(volume, voi)
    return describe_cube(
        cube.hu,
        mask,
        spacing_mm=cube.spacing_mm,
        slice_spacing_mm=float(volume.spacing_mm[0]),
        encoder=encoder,
    )


def cut_nodule(volume: Volume, voi: VoiMask) -> tuple[Cube, NDArray[np.bool_]]:
    """The cube around a segmented nodule as in training, and its mask there, (S, S, S)."""
    inside = np.argwhere(voi.mask)
    centre = inside.mean(axis=0) + np.array(voi.origin_kji)
    diameter_mm = ball_diameter_mm(len(inside) * volume.voxel_volume_mm3)
    cube = cut_cube(volume, centre, cube_spacing_mm(diameter_mm, CUBE), CUBE)
    mask = ndimage.affine_transform(
        np.pad(voi.mask, 1).astype(np.float32),
        cube.step_kji,
        cube.corner_kji - voi.origin_kji + 1,
        output_shape=cube.hu.shape,
        order=1,
    )
    return cube, mask >= 0.5 if (mask >= 0.5).any() else mask >= mask.max()


def describe_cube(
    hu: NDArray[np.float32],
    mask: NDArray[np.bool_],
    *,
    spacing_mm: float,
    slice_spacing_mm: float,
    encoder: Encoder,
) -> NoduleDescription:
    """Describe a nodule in the middle of a cube of shape (S, S, S)."""
    table = dict(
        zip(ROI_TABLE.names, features_of(hu, mask, [spacing_mm] * 3, ROI_TABLE), strict=True)
    )
    radiomics = np.array([table[name] for name in encoder.config.radiomics])
    image = to_image(
        hu,
        mask,
        spacing_mm=spacing_mm,
        slice_spacing_mm=slice_spacing_mm,
        radiomics=encoder.standard.apply(radiomics),
        config=encoder.config,
    )
    diameter_mm = ball_diameter_mm(float(mask.sum()) * spacing_mm**3)
    answers = run_in_portions(encoder.backend, image[None], at_once=AT_ONCE)
    features, grade, rating, attributes, calcified, implied = (item[0] for item in answers)
    return NoduleDescription(
        features=features,
        attributes=dict(zip(ATTRIBUTES, (float(value) for value in attributes), strict=True)),
        rating=float(rating[0]),
        grades=to_grade_shares(grade),
        calcified=float(1 / (1 + np.exp(-calcified[0]))),
        implied_rating=float(implied[0]),
        beyond_training=_beyond(diameter_mm, slice_spacing_mm),
    )


def to_image(
    hu: NDArray[Any],
    mask: NDArray[np.bool_],
    *,
    spacing_mm: float,
    slice_spacing_mm: float,
    radiomics: NDArray[np.float32] | None,
    config: CrossViewConfig,
    shift: tuple[int, int, int] = (0, 0, 0),
) -> NDArray[np.float32]:
    """What the network sees, shape (4, S, S, S): the middle of a cube that is at least so wide.

    Parameters
    ----------
    radiomics : ndarray of shape (d,), optional
        Standardised; without them the ROI view has its planes only.
    shift : (int, int, int)
        Voxels by which the middle is missed, for training.
    """
    start = [(n - config.side) // 2 + off for n, off in zip(hu.shape, shift, strict=True)]
    window = tuple(slice(low, low + config.side) for low in start)
    image = np.zeros((INPUTS, *(config.side,) * 3), dtype=np.float32)
    cut = np.asarray(hu[window], dtype=np.float32)
    for channel, (low, high) in (
        (LUNG, config.lung_window_hu),
        (DENSE, config.dense_window_hu),
    ):
        image[channel] = (np.clip(cut, low, high) - low) * (2 / (high - low)) - 1
    image[MASK] = mask[window]
    diameter_mm = ball_diameter_mm(float(mask.sum()) * spacing_mm**3)
    numbers = image[NUMBERS].reshape(-1)
    numbers[0] = spacing_mm / SPACING_UNIT_MM - 1
    numbers[1] = slice_spacing_mm / SLICE_UNIT_MM - 1
    numbers[LOG_DIAMETER] = np.log(max(diameter_mm, 0.5) / DIAMETER_UNIT_MM)
    if radiomics is not None and len(radiomics):
        numbers[PRESENT] = 1
        numbers[FIRST_RADIOMIC : FIRST_RADIOMIC + len(radiomics)] = radiomics
    return image


def to_grade_shares(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logits (..., 3) of lying above 2, 3, 4 -> shares of the four grades (..., 4)."""
    above = 1 / (1 + np.exp(-np.asarray(logits, dtype=np.float64)))
    above = np.minimum.accumulate(above, axis=-1)
    ends = np.ones((*above.shape[:-1], 1))
    steps = np.concatenate([ends, above, 0 * ends], axis=-1)
    return np.asarray(steps[..., :-1] - steps[..., 1:])


def ball_diameter_mm(volume_mm3: float) -> float:
    """Diameter of the ball of that volume."""
    return float((6 * volume_mm3 / np.pi) ** (1 / 3))


def _beyond(diameter_mm: float, slice_spacing_mm: float) -> tuple[str, ...]:
    said = []
    low, high = TRAINED_DIAMETER_MM
    if not low <= diameter_mm <= high:
        said.append(f"diameter {diameter_mm:.1f} mm, trained for {low:g} to {high:g} mm")
    if slice_spacing_mm > TRAINED_SLICE_SPACING_MM:
        said.append(
            f"slice spacing {slice_spacing_mm:.1f} mm, trained up to "
            f"{TRAINED_SLICE_SPACING_MM:g} mm"
        )
    return tuple(said)
