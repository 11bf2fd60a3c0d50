"""Which segmenter: the trained network or the classical method, by name."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from inference.engine_options import EngineOptions
from inference.segmentation import Combination, Segmenter, ThresholdSegmenter

if TYPE_CHECKING:
    from inference.voi_segmentation import NetworkSegmenter
    from inference.weights import Weights

SegmenterName = Literal["trained", "classical"]
DEFAULT_SEGMENTER: SegmenterName = "trained"


@lru_cache(maxsize=2)
def make_segmenter(
    name: SegmenterName = DEFAULT_SEGMENTER,
    options: EngineOptions | None = None,
    folder: Path | None = None,
) -> Segmenter:
    """A segmenter that is ready to work; the trained one is made once per process.

    Parameters
    ----------
    name : {"trained", "classical"}
        Which one.
    options : EngineOptions, optional
        What its network shall run on; the fastest that is here if absent.
    folder : Path, optional
        A site's own weights; see `inference.weights.folder_with`.

    Raises
    ------
    inference.errors.WeightsRefused
        If the weights are missing or were changed.
    inference.errors.EngineUnavailable
        If what was asked for cannot run the network.
    """
    if name == "classical":
        return ThresholdSegmenter()
    from inference.weights import folder_with, load_weights

    return to_segmenter(load_weights("segmenter", folder_with("segmenter", folder)), options)


def to_segmenter(
    weights: Weights, options: EngineOptions | None = None, *, mirror: bool = True
) -> NetworkSegmenter:
    """A segmenter from checked weights."""
    # Here, not above: torch takes seconds to load, and the classical method needs none of it.
    from inference.engines import make_backend
    from inference.models.voi_network import INPUTS, VoiNetwork, VoiNetworkConfig
    from inference.voi_segmentation import NetworkSegmenter

    config = VoiNetworkConfig.from_dict(weights.config)
    network = VoiNetwork(config)
    network.load_state_dict(weights.tensors)
    fitted = weights.facts.get("combination")
    return NetworkSegmenter(
        make_backend(network, (1, INPUTS, *(config.side,) * 3), options),
        config,
        version=weights.version,
        weights={weights.name: weights.sha256},
        combination=Combination(**fitted) if fitted else None,
        mirror=mirror,
    )
