"""Trees of vessels that fill a lung: grown towards points, thick where many branches meet.

Growth by space colonisation (Runions et al., "Modeling trees with a space colonization
algorithm", Eurographics Natural Phenomena 2007); radii by Murray's law (PNAS 1926;12:207), the
power of a parent's radius being the sum of its children's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]

STEP_MM = 3.0
REACHED_MM = 4.5
ROUNDS = 160
MURRAY = 2.7
TIP_MM = (0.3, 0.5)
"""Radius at the tips; what is thinner is texture of the lung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VesselTree:
    """Straight pieces of a tree.

    Attributes
    ----------
    starts, ends : ndarray of shape (N, 3)
        Mm, in the frame of the points that it grew towards.
    start_radii, radii : ndarray of shape (N,)
        At the start and at the end, mm.
    """

    starts: Array
    ends: Array
    start_radii: Array
    radii: Array


def grow_tree(roots: Array, points: Array, random: np.random.Generator) -> VesselTree:
    """Grow a tree from a trunk towards points.

    Parameters
    ----------
    roots : ndarray of shape (R, 3)
        The trunk, mm, from its origin on; growth begins anywhere on it.
    points : ndarray of shape (P, 3)
        Places in the lung that want blood, mm.
    random : Generator
        For the wobble of branches.
    """
    nodes = [np.asarray(roots, dtype=np.float64)]
    parents = list(range(-1, len(roots) - 1))
    places = nodes[0]
    left = points
    for _ in range(ROUNDS):
        if not len(left):
            break
        distance, nearest = cKDTree(places).query(left)
        left, nearest = left[distance > REACHED_MM], nearest[distance > REACHED_MM]
        if not len(left):
            break
        pull = left - places[nearest]
        pull /= np.linalg.norm(pull, axis=1, keepdims=True)
        sums = np.zeros_like(places)
        np.add.at(sums, nearest, pull)
        growing = np.unique(nearest)
        heading = sums[growing] + random.normal(0, 0.15, (len(growing), 3))
        heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-6)
        fresh = places[growing] + STEP_MM * heading
        # A node pulled both ways would put the same child again and again.
        apart = cKDTree(places).query(fresh)[0] > 0.3 * STEP_MM
        if not apart.any():
            break
        parents += growing[apart].tolist()
        places = np.concatenate([places, fresh[apart]])
    parent = np.array(parents)
    radii = _radii(parent, random)
    child = np.flatnonzero(parent >= 0)
    return VesselTree(
        starts=places[parent[child]],
        ends=places[child],
        start_radii=radii[parent[child]],
        radii=radii[child],
    )


def _radii(parent: NDArray[np.int_], random: np.random.Generator) -> Array:
    """Radius at each node; children come after their parents."""
    tips = np.ones(len(parent), dtype=bool)
    tips[parent[parent >= 0]] = False
    powers = np.where(tips, random.uniform(*TIP_MM, len(parent)) ** MURRAY, 0.0)
    for node in range(len(parent) - 1, 0, -1):
        if parent[node] >= 0:
            powers[parent[node]] += powers[node]
    return np.asarray(powers ** (1 / MURRAY))
