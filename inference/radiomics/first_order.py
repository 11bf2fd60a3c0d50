"""First-order statistics of the densities inside a mask, as PyRadiomics defines them.

Here rather than from the library, whose median of an even count is the lower of the middle two.
References: IBSI reference manual, sections 3.3 and 3.4; van Griethuysen et al., Cancer Res
2017;77:e104.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.radiomics.grid import Region


def grey_levels(values_hu: NDArray[np.float64], bin_width_hu: float) -> NDArray[np.int_]:
    """Bins of fixed width, the first of which begins at a multiple of the width; from 1."""
    first = np.floor(values_hu.min() / bin_width_hu)
    return np.asarray(np.floor(values_hu / bin_width_hu) - first + 1).astype(np.int_)


def first_order(region: Region, bin_width_hu: float, energy_shift_hu: float) -> dict[str, float]:
    """Statistics of one region.

    Skewness and kurtosis of constant density are 0, as in PyRadiomics. Kurtosis is not in
    excess of 3. The robust deviation is that of what lies within the 10th and 90th percentile.

    Returns
    -------
    dict of str to float
        HU and powers of it; entropy in bits; ``total_energy`` in HU^2 mm^3.
    """
    values = region.values_hu
    shifted = values + energy_shift_hu
    energy = float(np.square(shifted).sum())
    p10, p25, p75, p90 = (float(p) for p in np.percentile(values, (10, 25, 75, 90)))
    mean = float(values.mean())
    centred = values - mean
    variance = float(np.square(centred).mean())
    robust = values[(values >= p10) & (values <= p90)]
    # Of one or two voxels interpolated percentiles may leave none.
    robust = robust if len(robust) else values
    counts = np.bincount(grey_levels(values, bin_width_hu))
    share = counts[counts > 0] / len(values)
    return {
        "firstorder_energy": energy,
        "firstorder_total_energy": energy * float(np.prod(region.spacing_mm)),
        "firstorder_entropy": abs(float((share * np.log2(share)).sum())),
        "firstorder_minimum": float(values.min()),
        "firstorder_10percentile": p10,
        "firstorder_90percentile": p90,
        "firstorder_maximum": float(values.max()),
        "firstorder_mean": mean,
        "firstorder_median": float(np.median(values)),
        "firstorder_interquartile_range": p75 - p25,
        "firstorder_range": float(np.ptp(values)),
        "firstorder_mean_absolute_deviation": float(np.abs(centred).mean()),
        "firstorder_robust_mean_absolute_deviation": float(np.abs(robust - robust.mean()).mean()),
        "firstorder_root_mean_squared": float(np.sqrt(energy / len(values))),
        "firstorder_skewness": float((centred**3).mean() / variance**1.5) if variance else 0.0,
        "firstorder_kurtosis": float((centred**4).mean() / variance**2) if variance else 0.0,
        "firstorder_variance": variance,
        "firstorder_uniformity": float(np.square(share).sum()),
    }
