"""Which detector: the trained network or the classical method, by name."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

from inference.detection import BlobDetector, Detector
from inference.engine_options import EngineOptions
from inference.errors import WeightsRefused

DetectorName = Literal["trained", "classical"]
DEFAULT_DETECTOR: DetectorName = "trained"


EXAMPLE_SHAPE = (1, 1, 32, 48, 64)
"""Of what the network takes, for tracing it and comparing engines."""


@lru_cache(maxsize=2)
def make_detector(
    name: DetectorName = DEFAULT_DETECTOR,
    options: EngineOptions | None = None,
    folder: Path | None = None,
) -> Detector:
    """A detector that is ready to work; the trained one is made once per process.

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
        If the weights are missing, were changed, or have no threshold.
    inference.errors.EngineUnavailable
        If what was asked for cannot run the network.
    """
    if name == "classical":
        return BlobDetector()
    from inference.centre_detection import CentreHeatmapDetector
    from inference.engines import make_backend
    from inference.models.centre_detector import CentreDetector, CentreDetectorConfig
    from inference.weights import folder_with, load_weights

    weights = load_weights("detector", folder_with("detector", folder))
    if "threshold" not in weights.facts:
        raise WeightsRefused(
            "detector",
            f"the manifest in {folder} holds no threshold: pulmonode evaluate detector "
            f"--model {folder} --threshold-into {folder}",
        )
    config = CentreDetectorConfig.from_dict(weights.config)
    network = CentreDetector(config)
    network.load_state_dict(weights.tensors)
    return CentreHeatmapDetector(
        make_backend(network, EXAMPLE_SHAPE, options),
        config,
        version=weights.version,
        weights={weights.name: weights.sha256},
        report_from=float(weights.facts["threshold"]),
    )
