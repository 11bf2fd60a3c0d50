"""Annotated nodules of real CT as positives: patches around them, and what lies at the edge."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from inference.training.backgrounds import Array, Background
from inference.training.insertion import PlacedNodule

REAL_NODULE_SHARE = 0.5
"""Of the patches of a background that has annotated nodules: as many lie around one of them."""
FOUND_WITHIN_MM = 5.0
"""A peak may be so far from a small nodule's centre and still mean it."""
REACH = 0.6
"""Of the diameter: so far beyond its centre a nodule still shows."""


def real_anchor(background: Background, random: np.random.Generator) -> Array | None:
    """The centre of an annotated nodule (voxels), or `None` for a place like any other.

    Without annotated nodules nothing is drawn from `random`.
    """
    nodules = background.nodules_kji
    if not len(nodules) or random.random() >= REAL_NODULE_SHARE:
        return None
    return np.asarray(nodules[int(random.integers(len(nodules))), :3], dtype=np.float64)


def real_nodules(
    background: Background,
    to_patch: Callable[[Array], Array],
    scale: float,
    *,
    size: int,
    spacing_mm: float,
) -> tuple[tuple[PlacedNodule, ...], Array]:
    """The annotated nodules of a background, seen from a patch.

    Parameters
    ----------
    background : Background
        Where the patch is cut from.
    to_patch : callable
        Voxels of the background, shape (N, 3), to voxels of the patch.
    scale : float
        Voxels of the background per voxel of the patch.
    size : int
        Of the patch, voxels a side.
    spacing_mm : float
        Of both.

    Returns
    -------
    tuple of PlacedNodule
        Those whose centre lies in the patch; they count.
    ndarray of shape (M, 4)
        Those that only reach into it: centre and radius in voxels of the patch, to be ignored.
    """
    nodules = background.nodules_kji
    centres = to_patch(nodules[:, :3])
    diameters = nodules[:, 3] / scale
    inside = ((centres >= 0) & (centres <= size - 1)).all(axis=1)
    placed = tuple(
        PlacedNodule(
            centre_kji=(float(k), float(j), float(i)),
            diameter_mm=float(diameter * spacing_mm),
            kind="unknown",
            site="annotated",
            counts=True,
        )
        for (k, j, i), diameter in zip(centres[inside], diameters[inside], strict=True)
    )
    beyond = np.column_stack([centres, REACH * diameters])[~inside]
    gap = np.maximum(0, np.maximum(-beyond[:, :3], beyond[:, :3] - (size - 1)))
    return placed, beyond[np.linalg.norm(gap, axis=1) < beyond[:, 3]]


def kept_out(background: Background, spacing_mm: float) -> Array:
    """Where an answer is no mistake: known lesions and annotated nodules.

    Returns
    -------
    ndarray of shape (N, 4)
        Centre and radius in voxels.
    """
    nodules = background.nodules_kji
    radii = np.maximum(REACH * nodules[:, 3], FOUND_WITHIN_MM / spacing_mm)
    return np.concatenate([background.lesions_kji, np.column_stack([nodules[:, :3], radii])])
