"""Which detector: the trained network or the classical method, by name."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from inference.detection import BlobDetector, Detector

DetectorName = Literal["trained", "classical"]
DEFAULT_DETECTOR: DetectorName = "classical"
"""The trained one has not been shown to be clearly better on real CT (docs/methods.md)."""


@lru_cache(maxsize=2)
def make_detector(name: DetectorName = DEFAULT_DETECTOR) -> Detector:
    """A detector that is ready to work; the trained one is read once per process.

    Raises
    ------
    inference.errors.WeightsRefused
        If the shipped weights are missing or were changed.
    """
    if name == "classical":
        return BlobDetector()
    # Here, not above: torch takes seconds to load, and the classical method needs none of it.
    from inference.backend import TorchBackend
    from inference.centre_detection import CentreHeatmapDetector
    from inference.models.centre_detector import CentreDetector, CentreDetectorConfig
    from inference.weights import load_weights

    weights = load_weights("detector")
    config = CentreDetectorConfig.from_dict(weights.config)
    network = CentreDetector(config)
    network.load_state_dict(weights.tensors)
    return CentreHeatmapDetector(
        TorchBackend(network),
        config,
        version=weights.version,
        weights={weights.name: weights.sha256},
        report_from=float(weights.facts["threshold"]),
    )
