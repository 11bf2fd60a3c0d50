"""Lungs of a phantom, and what is refused because it shows none."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from inference.errors import NotAnalysable
from inference.lungs import segment_lungs
from inference.phantom import Phantom, make_phantom
from inference.volume import Volume
from tests.unit.inference.conftest import SMALL


def volume_of(hu: np.ndarray) -> Volume:
    return Volume(
        hu=np.rint(np.clip(hu, -1024, 3071)).astype(np.int16), affine=np.diag([3.0, 2.0, 2.0, 1.0])
    )


def cylinder(outside: float, inside: float, radius: float = 70.0) -> np.ndarray:
    j, i = np.indices((180, 180)) - 90
    plane = np.where(j**2 + i**2 < radius**2, inside, outside)
    noise = np.random.default_rng(0).normal(0, 10, (60, 180, 180))
    return np.asarray(plane + noise)


def head() -> np.ndarray:
    hu = cylinder(-1000, 40, 45)
    j, i = np.indices((180, 180)) - 90
    radius = np.sqrt(j**2 + i**2)
    hu[:, (radius > 40) & (radius < 45)] = 1000
    return hu


NO_LUNGS = {
    "air": np.full((60, 180, 180), -1000.0),
    "water": cylinder(-1000, 0),
    "head": head(),
    "air hole in water": np.minimum(cylinder(-1000, 0), cylinder(100, -1000, 35)),
    "soft tissue only": cylinder(-90, 50),
}


@pytest.mark.parametrize("name", NO_LUNGS)
def test_what_shows_no_lungs_is_refused(name: str) -> None:
    with pytest.raises(NotAnalysable) as caught:
        segment_lungs(volume_of(NO_LUNGS[name]))

    assert caught.value.code == "no_lungs"


def test_noise_is_refused() -> None:
    noise = np.random.default_rng(0).uniform(-1000, 1000, (60, 180, 180))

    with pytest.raises(NotAnalysable):
        segment_lungs(volume_of(noise))


@pytest.mark.parametrize("shift_hu", [1000, 1024, -1000, -1024])
def test_a_wrong_rescale_is_named(phantom: Phantom, shift_hu: int) -> None:
    shifted = Volume(
        hu=(phantom.volume.hu + np.int16(shift_hu)).astype(np.int16), affine=phantom.volume.affine
    )

    with pytest.raises(NotAnalysable, match="rescale") as caught:
        segment_lungs(shifted)

    assert caught.value.code == "implausible_hu"


def test_two_lungs_of_plausible_size_are_found(phantom: Phantom) -> None:
    lungs = segment_lungs(phantom.volume)

    assert lungs.coverage == "full"
    assert lungs.left_ml is not None
    assert lungs.right_ml is not None
    # The heart takes from the left one (TLC of adults: 4 to 7 litres).
    assert 2000 < lungs.left_ml < lungs.right_ml < 3500
    assert lungs.side_at(np.array([80.0, 0.0, 0.0])) == "left"
    assert lungs.side_at(np.array([-80.0, 0.0, 0.0])) == "right"


def test_a_nodule_at_the_pleura_lies_in_the_search_region(phantom: Phantom) -> None:
    lungs = segment_lungs(phantom.volume)
    grid = Volume(hu=np.zeros(lungs.search.shape, dtype=np.int16), affine=lungs.affine)

    for nodule in phantom.truth["nodules"]:
        k, j, i = np.rint(grid.lps_to_index(nodule["centre_lps_mm"])).astype(int)
        assert lungs.search[k, j, i]


def test_a_thorax_that_is_cut_off_is_partial() -> None:
    cut = make_phantom(dataclasses.replace(SMALL, slices=30, nodules=()))

    assert segment_lungs(cut.volume).coverage == "partial"
