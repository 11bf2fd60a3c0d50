"""Whether stored values can be HU at all, before anything is looked for in them.

A wrong rescale (intercept left out or applied twice) shifts everything by about 1000 HU. The
two groups into which a chest CT falls, air and tissue, then lie where neither can lie.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.errors import NotAnalysable
from inference.thresholds import AIR_AT_MOST_HU, TISSUE_HU

PADDING_BELOW_HU = -1500.0
"""Scanners fill the corners outside the field of view with -2000 or -3024."""
MOSTLY = 0.6
PADDING_SHARE = 0.05
"""A circle in a square leaves 21 % for padding; less than this share of tissue is no body."""
SAMPLES = 200_000
BINS = 256
APART_HU = 600.0
"""Groups that lie closer than this are not air and tissue, but parts of one of them."""


def check_hu(hu: NDArray[np.int16]) -> None:
    """Refuse values that cannot be HU of a body in air.

    Parameters
    ----------
    hu : ndarray of shape (D, H, W)
        As rescaled from the stored values.

    Raises
    ------
    NotAnalysable
        With code ``implausible_hu`` when the darker of two clear groups of values is not air,
        or the brighter one is not tissue.
    """
    flat = hu.reshape(-1)
    sample = flat[:: max(1, flat.size // SAMPLES)].astype(np.float64)
    body = sample[sample >= PADDING_BELOW_HU]
    empty = 1.0 - body.size / sample.size
    tissue_share = float((sample >= TISSUE_HU[0]).mean())
    if empty > MOSTLY or (empty > PADDING_SHARE and tissue_share < PADDING_SHARE):
        # The intercept was applied twice: air where padding lies, tissue where air lies.
        raise NotAnalysable(
            "implausible_hu",
            f"implausible HU: {100 * empty:.0f} % of the values lie below "
            f"{PADDING_BELOW_HU:.0f} HU and {100 * tissue_share:.0f} % are as dense as tissue; "
            "air is -1000 HU. Check the rescale intercept",
        )
    border = _border(body)
    dark, bright = body[body <= border], body[body > border]
    if not dark.size or not bright.size:
        return
    air, tissue = float(np.median(dark)), float(np.median(bright))
    if tissue - air < APART_HU:
        return
    if air > AIR_AT_MOST_HU or not TISSUE_HU[0] <= tissue <= TISSUE_HU[1]:
        raise NotAnalysable(
            "implausible_hu",
            f"implausible HU: what should be air lies at {air:.0f} HU (at most "
            f"{AIR_AT_MOST_HU:.0f} wanted) and what should be tissue at {tissue:.0f} HU "
            f"({TISSUE_HU[0]:.0f} to {TISSUE_HU[1]:.0f} wanted). Check the rescale",
        )


def _border(values: NDArray[np.float64]) -> float:
    """The value that parts `values` into two groups best (Otsu, IEEE SMC 1979;9:62)."""
    low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
    if high <= low:
        return low
    counts, edges = np.histogram(np.clip(values, low, high), bins=BINS, range=(low, high))
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    moments = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        means_below = moments[:-1] / below
        means_above = (moments[-1] - moments[:-1]) / above
        between = np.nan_to_num(below * above * (means_below - means_above) ** 2)
    return float(edges[1 + int(between.argmax())])
