"""The simulated thorax: lungs of a plausible size, filled with vessels, the same for a seed."""

from __future__ import annotations

import numpy as np
import pytest

from inference.lungs import segment_lungs
from inference.training.thorax import simulate_thorax
from inference.training.vessel_tree import TIP_MM, grow_tree

SPACING_MM = 2.5


@pytest.fixture(scope="module")
def thorax():
    return simulate_thorax(3, spacing_mm=SPACING_MM)[0]


def test_lungs_are_found_on_both_sides_and_of_a_size_that_people_have(thorax):
    lungs = segment_lungs(thorax)

    assert lungs.right_ml is not None
    assert lungs.left_ml is not None
    assert 1000 < lungs.right_ml < 4500
    assert 1000 < lungs.left_ml < 4500


def test_vessels_and_airways_run_through_the_lungs(thorax):
    lungs = segment_lungs(thorax)
    inside = thorax.hu[lungs.search]

    assert 0.01 < (inside > -500).mean() < 0.15
    assert (inside < -940).any()


def test_a_seed_gives_one_thorax_and_another_seed_another():
    first, again, other = (simulate_thorax(seed, spacing_mm=5.0)[0] for seed in (1, 1, 2))

    assert np.array_equal(first.hu, again.hu)
    assert not np.array_equal(first.hu, other.hu)


def test_a_tree_reaches_its_points_and_is_thickest_at_its_root():
    random = np.random.default_rng(0)
    points = random.uniform([0, -20, -20], [60, 20, 20], (300, 3))

    tree = grow_tree(np.zeros((1, 3)), points, random)

    reached = np.linalg.norm(points[:, None] - tree.ends[None], axis=2).min(axis=1)
    assert (reached < 6.0).mean() > 0.95
    assert tree.start_radii[0] == tree.start_radii.max() > 3 * TIP_MM[1]
