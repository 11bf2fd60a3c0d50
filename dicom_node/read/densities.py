"""Whether the densities of a series can be those of a chest CT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_node.errors import SeriesRejected

AIR_RANGE_HU = (-1023, -700)
LEAST_AIR = 0.01
"""A chest CT holds air: about -1000 HU around the body, about -850 HU in the lungs."""
TISSUE_RANGE_HU = (-200, 200)
LEAST_TISSUE = 0.1
"""Fat, muscle and blood lie between -120 and 80 HU (some hundred with contrast). They fill a
third of a usual chest image; the least share seen in real series is 0.24."""
FILL_AT_MOST_HU = -1024
"""Scanners fill the corners of the image with low values (stored -1024, -2000 ..., not always
one and the same) without saying so; with the intercept lost they look like air. So what is not
above this is no proof of air; real air is -1000 HU and noisy, and lungs are denser."""
DENSE_FROM_HU = 600
MOST_DENSE = 0.1
"""Of one slice. Only bone, metal and barium are that dense: the largest share seen in a slice of
a real series is 0.02. With the intercept of a slice lost, all its soft tissue is (1000 HU and
more, the least share seen is 0.26), whatever its padding looks like."""
SAMPLE_EVERY = 8
"""Rows and columns between the pixels by which densities are judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledDensities:
    """Some pixels of a slice.

    Attributes
    ----------
    named : str
        How the slice is named in a reason.
    sample_hu : (N,) float32 array
        HU; neither padding nor fill.
    """

    named: str
    sample_hu: NDArray[np.float32]


def sample_densities(
    named: str, hu: NDArray[np.float32], is_padding: NDArray[np.bool_]
) -> SampledDensities:
    """Some pixels of a slice, (H, W), HU."""
    thin = np.s_[::SAMPLE_EVERY, ::SAMPLE_EVERY]
    sample = hu[thin][~is_padding[thin]]
    return SampledDensities(named=named, sample_hu=sample[sample > FILL_AT_MOST_HU])


def check_densities(slices: Sequence[SampledDensities]) -> None:
    """Refuse densities that no chest CT has, whatever the header says of them.

    Raises
    ------
    SeriesRejected
        With ``wrong_rescale``.
    """
    sample_hu = np.concatenate([item.sample_hu for item in slices])
    if sample_hu.size == 0:
        raise SeriesRejected(
            "wrong_rescale", f"every pixel is padding or not above {FILL_AT_MOST_HU} HU"
        )
    air, tissue = (
        float(((sample_hu >= low) & (sample_hu <= high)).mean())
        for low, high in (AIR_RANGE_HU, TISSUE_RANGE_HU)
    )
    if air < LEAST_AIR or tissue < LEAST_TISSUE:
        low, middle, high = (float(value) for value in np.percentile(sample_hu, (1, 50, 99)))
        raise SeriesRejected(
            "wrong_rescale",
            f"densities are not those of a chest CT: {air:.1%} of the pixels are air "
            f"({AIR_RANGE_HU[0]} to {AIR_RANGE_HU[1]} HU, at least {LEAST_AIR:.0%} expected), "
            f"{tissue:.1%} soft tissue ({TISSUE_RANGE_HU[0]} to {TISSUE_RANGE_HU[1]} HU, at least "
            f"{LEAST_TISSUE:.0%} expected); percentiles 1, 50, 99: {low:.0f}, {middle:.0f}, "
            f"{high:.0f} HU; check Rescale Slope and Intercept at the source",
        )
    for item in slices:
        dense = float((item.sample_hu > DENSE_FROM_HU).mean()) if item.sample_hu.size else 0.0
        if dense > MOST_DENSE:
            raise SeriesRejected(
                "wrong_rescale",
                f"densities of {item.named} are not those of a chest CT: {dense:.1%} of the "
                f"pixels are above {DENSE_FROM_HU} HU, at most {MOST_DENSE:.0%} expected; "
                "check Rescale Slope and Intercept at the source",
            )
