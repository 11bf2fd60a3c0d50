"""From a segmented candidate to the probability that it is a nodule: classical features.

A logistic score over shape, surroundings and size. Its weights were set by hand, on phantoms
and a handful of CT series, so it ranks; it is not calibrated and its card says so.
"""

from __future__ import annotations

import math

import numpy as np

from inference.findings import Candidate
from inference.segmentation import Segmented

ROUNDNESS_WEIGHT, ROUNDNESS_MIDDLE = 12.0, 0.60
EXPOSED_WEIGHT, EXPOSED_MIDDLE = 6.0, 0.60
ELONGATION_WEIGHT, ELONGATION_MIDDLE = 1.3, 1.9
MISMATCH_WEIGHT = 1.5
"""A segmentation much larger than the blob has leaked into a vessel or a wall."""
BLOB_WEIGHT = 1.5
COMPACTNESS_WEIGHT = 15.0
COMPACTNESS_AT_MM, COMPACTNESS_LEAST = (10.0, 20.0), (0.70, 0.52)
"""Small nodules are compact; large ones may be lobulated or spiculated. Forks are neither."""
SMALL_WEIGHT_PER_MM, SMALL_BELOW_MM, SMALL_BELOW_SLICES = 0.5, 8.0, 3.0
"""Below this, or this many slices, most round things in a lung are vessels cut across."""


def nodule_probability(
    candidate: Candidate,
    segmented: Segmented,
    *,
    equivalent_diameter_mm: float,
    slice_spacing_mm: float,
) -> float:
    """Probability, 0 to 1, that a segmented candidate is a nodule.

    Parameters
    ----------
    candidate : Candidate
        Its score and diameter as a blob.
    segmented : Segmented
        Its shape and surroundings.
    equivalent_diameter_mm : float
        Diameter of the ball of equal volume.
    slice_spacing_mm : float
        Of the series.
    """
    mismatch = abs(math.log(equivalent_diameter_mm / candidate.diameter_mm))
    limit_mm = max(SMALL_BELOW_MM, SMALL_BELOW_SLICES * slice_spacing_mm)
    small_mm = max(0.0, limit_mm - equivalent_diameter_mm)
    least = float(np.interp(equivalent_diameter_mm, COMPACTNESS_AT_MM, COMPACTNESS_LEAST))
    logit = (
        ROUNDNESS_WEIGHT * (segmented.roundness - ROUNDNESS_MIDDLE)
        + EXPOSED_WEIGHT * (segmented.exposed - EXPOSED_MIDDLE)
        - ELONGATION_WEIGHT * (segmented.elongation - ELONGATION_MIDDLE)
        - MISMATCH_WEIGHT * mismatch
        + BLOB_WEIGHT * (candidate.probability - 0.7)
        - SMALL_WEIGHT_PER_MM * small_mm
        - COMPACTNESS_WEIGHT * max(0.0, least - segmented.compactness)
    )
    return 1.0 / (1.0 + math.exp(-logit))
