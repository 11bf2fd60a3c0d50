"""Texture matrices of a region, by the library `fastrad` (Apache-2.0).

GLCM, GLRLM, GLSZM, GLDM (dependence 0) and NGTDM at distance 1 with PyRadiomics' definitions;
GLCM and GLRLM are averaged over their directions. In one slice the directions across it hold no
pairs and fall away, as PyRadiomics' ``force2D`` does; runs across it would not, so that there is
no GLRLM of a slice.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.radiomics.grid import Region

CLASSES = ("glcm", "glrlm", "glszm", "gldm", "ngtdm")
NO_COARSENESS = 1e6
"""What PyRadiomics writes for the coarseness of a region without any difference."""


def textures(region: Region, bin_width_hu: float, classes: frozenset[str]) -> dict[str, float]:
    """Texture features of a region.

    Of a region without neighbours there is no GLCM and no NGTDM, and a region of constant
    density has no coarseness: these are absent.

    Parameters
    ----------
    region : Region
        Its spacing does not matter: neighbours are neighbours.
    bin_width_hu : float
        Width of the grey levels.
    classes : frozenset of str
        Which of `CLASSES`; others are ignored.
    """
    # It brings torch and pydicom, which cost more than a second: only who computes pays.
    import torch
    from fastrad import FeatureSettings, features

    settings = FeatureSettings(bin_width=bin_width_hu, device="cpu")
    image = torch.from_numpy(region.hu.astype(np.float32))
    found: dict[str, float] = {}
    for name in CLASSES:
        if name not in classes:
            continue
        mask = region.mask
        if name == "ngtdm":
            # Voxels without a neighbour have no difference, and the library stumbles over
            # grey levels that only such voxels hold.
            mask = mask & _has_neighbour(mask)
        if not mask.any():
            continue
        compute = getattr(features, f"compute_{name}")
        values = compute(image, torch.from_numpy(mask.astype(np.float32)), settings)
        found |= {key.replace(":", "_"): float(value) for key, value in values.items()}
    if found.get("ngtdm_coarseness") == NO_COARSENESS:
        found["ngtdm_coarseness"] = math.nan
    return found


def _has_neighbour(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where one of the 26 voxels around is in the mask."""
    counts = ndimage.convolve(mask.astype(np.uint8), np.ones((3, 3, 3), np.uint8), mode="constant")
    return np.asarray(counts > mask)
