"""Lungs laid over lungs: how far off, and what is not believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.follow_up.compare import LIKE_AT_LEAST
from inference.follow_up.lung_grid import LungGrid
from inference.follow_up.registration import OVERLAP_AT_LEAST, Registration, register
from inference.lungs import segment_lungs
from tests.conftest import need_ct
from tests.unit.inference.moved import bent, bent_back, halved
from tests.unit.inference.test_real_ct import read


def laid(overlap: float = 0.9, common: float = 1.0) -> Registration:
    grid = LungGrid(
        hu=np.zeros((4, 5, 6), dtype=np.float32),
        lungs=np.ones((4, 5, 6), dtype=bool),
        seen=np.ones((4, 5, 6), dtype=bool),
        origin_lps_mm=np.array([-10.0, 20.0, 300.0]),
        spacing_mm=4.0,
    )
    return Registration(
        affine=np.eye(4),
        shift_mm=np.zeros((4, 5, 6, 3), dtype=np.float32),
        grid=grid,
        prior_grid=grid,
        overlap=overlap,
        common=common,
    )


def test_a_place_goes_to_the_earlier_ct_and_back() -> None:
    affine = np.eye(4)
    affine[:3, :3] = [[0.98, -0.17, 0.0], [0.17, 0.98, 0.0], [0.0, 0.0, 1.1]]
    affine[:3, 3] = (30.0, -12.0, 500.0)
    shift = np.zeros((4, 5, 6, 3), dtype=np.float32)
    shift[..., 2] = np.linspace(0.0, 3.0, 4)[:, None, None]
    found = replace(laid(), affine=affine, shift_mm=shift)
    places = np.array([[-5.0, 25.0, 305.0], [4.0, 33.0, 311.0]])

    back = found.to_current(found.to_prior(places))

    assert back == pytest.approx(places, abs=1e-3)
    # By hand: z = 1.1 * 304 + 500, and 1 mm of shift in the second plane.
    assert found.to_prior(np.array([[-10.0, 20.0, 304.0]]))[0, 2] == pytest.approx(835.4)


def test_what_does_not_overlap_or_is_not_in_common_is_not_believed() -> None:
    assert laid().why_not is None
    assert "overlap 0.79" in str(laid(overlap=0.79).why_not)
    assert "2 % of the lungs" in str(laid(common=0.02).why_not)


@pytest.mark.real_ct
@pytest.mark.long
def test_places_in_a_bent_ct_are_found_to_a_few_millimetres() -> None:
    before = halved(read(need_ct("lidc_idri_0001")))
    after = bent(before)
    found = register(after, segment_lungs(after), before, segment_lungs(before))
    places = found.grid.points(found.grid.lungs)[::50]
    middle = after.index_to_lps((np.array(after.shape) - 1) / 2)

    off_mm = np.linalg.norm(found.to_prior(places) - bent_back(places, middle), axis=1)

    assert np.percentile(off_mm, 95) < 6.0
    assert found.likeness > LIKE_AT_LEAST


@pytest.mark.real_ct
@pytest.mark.long
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("lidc_idri_0001", "cmb_crc_MSB-01068"),
        ("cptac_lscc_C3N-00247", "lidc_idri_0001"),
        ("lung_pet_ct_dx_A0001", "cmb_crc_MSB-01068"),
    ],
)
def test_lungs_of_different_patients_overlap_as_well_but_look_unlike(
    first: str, second: str
) -> None:
    one, other = (halved(read(need_ct(name))) for name in (first, second))

    found = register(one, segment_lungs(one), other, segment_lungs(other))

    assert found.overlap > OVERLAP_AT_LEAST
    assert found.likeness < LIKE_AT_LEAST
