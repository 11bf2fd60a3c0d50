"""Uptake of balls of known activity in a PET whose grid is not the CT's."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.findings import VoiMask
from inference.pet.uptake import MARGIN_MM, PEAK_ML, PEAK_RADIUS_MM, SuvVolume, measure_uptake
from inference.pet_values import PetUsed
from inference.volume import Volume

USED = PetUsed(series="1.2.3", how="a test")
CENTRE = np.array([-60.0, 20.0, -100.0])
BACKGROUND = 0.5


def ball(volume: Volume, radius_mm: float) -> VoiMask:
    index = np.stack(np.indices(volume.shape), axis=-1)
    inside = np.linalg.norm(volume.index_to_lps(index) - CENTRE, axis=-1) <= radius_mm
    low, high = np.argwhere(inside).min(axis=0), np.argwhere(inside).max(axis=0) + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return VoiMask(origin_kji=(int(low[0]), int(low[1]), int(low[2])), mask=inside[box])


def grid(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Axial slices around `CENTRE`."""
    k, j, i = spacing_mm
    affine = np.array([[0, 0, i, 0], [0, j, 0, 0], [k, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
    middle = affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    affine[:3, 3] = CENTRE - middle
    return affine


def ct() -> Volume:
    shape = (50, 60, 60)
    return Volume(hu=np.zeros(shape, dtype=np.int16), affine=grid(shape, (1.25, 0.8, 0.8)))


def pet_of(suv_at: float, radius_mm: float, shift_mm: float = 0.0) -> SuvVolume:
    """A ball that takes up `suv_at` in a grid turned about the body axis."""
    shape = (40, 40, 40)
    affine = grid(shape, (3.0, 2.5, 2.5))
    turn = np.deg2rad(10.0)
    about = np.eye(4)
    about[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    to_centre = np.eye(4)
    to_centre[:3, 3] = CENTRE
    affine = to_centre @ about @ np.linalg.inv(to_centre) @ affine
    index = np.stack([*np.indices(shape), np.ones(shape)], axis=-1)
    lps = (index @ affine.T)[..., :3]
    away = np.linalg.norm(lps - CENTRE - [0, 0, shift_mm], axis=-1)
    suv = np.where(away <= radius_mm, suv_at, BACKGROUND).astype(np.float32)
    return SuvVolume(suv=suv, affine=affine, used=USED, lean_fraction=0.8)


def test_a_large_even_ball_has_its_own_value_and_volume() -> None:
    found = measure_uptake(ct(), ball(ct(), 15.0), pet_of(8.0, 15.0), diameter_mm=30.0)

    assert found is not None
    assert found.suv_max == pytest.approx(8.0)
    assert found.suv_peak == pytest.approx(8.0)
    assert found.suv_mean == pytest.approx(8.0)
    assert found.mtv_mm3 == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.03)
    assert found.tlg == pytest.approx(found.mtv_mm3 / 1000 * 8.0)
    assert found.sul_peak == pytest.approx(0.8 * 8.0)
    assert not found.too_small_to_trust


def test_the_sphere_of_the_peak_holds_one_millilitre() -> None:
    assert 4 / 3 * np.pi * PEAK_RADIUS_MM**3 == pytest.approx(1000 * PEAK_ML)


def test_a_ball_smaller_than_the_peaks_sphere_has_a_peak_below_its_maximum() -> None:
    radius_mm = 4.5
    found = measure_uptake(ct(), ball(ct(), radius_mm), pet_of(8.0, radius_mm), diameter_mm=9.0)

    assert found is not None
    assert found.suv_max == pytest.approx(8.0)
    share = (radius_mm / PEAK_RADIUS_MM) ** 3
    assert found.suv_peak == pytest.approx(share * 8.0 + (1 - share) * BACKGROUND, rel=0.1)
    assert found.too_small_to_trust


def test_breath_may_move_the_spot_by_the_margin_and_no_further() -> None:
    moved, gone = (
        measure_uptake(ct(), ball(ct(), 6.0), pet_of(8.0, 6.0, shift_mm=shift_mm), diameter_mm=12.0)
        for shift_mm in (MARGIN_MM, 25.0)
    )

    assert moved is not None
    assert gone is not None
    assert moved.suv_max == pytest.approx(8.0)
    assert gone.suv_max == pytest.approx(BACKGROUND)


def test_another_hot_spot_beside_it_is_not_part_of_its_volume() -> None:
    pet = pet_of(8.0, 6.0)
    index = np.stack([*np.indices(pet.suv.shape), np.ones(pet.suv.shape)], axis=-1)
    lps = (index @ pet.affine.T)[..., :3]
    beside = np.linalg.norm(lps - CENTRE - [20.0, 0.0, 0.0], axis=-1) <= 6.0
    hot = SuvVolume(
        suv=np.where(beside, 12.0, pet.suv).astype(np.float32), affine=pet.affine, used=USED
    )

    found = measure_uptake(ct(), ball(ct(), 6.0), hot, diameter_mm=12.0)

    assert found is not None
    assert found.suv_max == pytest.approx(8.0)
    assert found.mtv_mm3 == pytest.approx((pet.suv == 8.0).sum() * 3.0 * 2.5 * 2.5)
    assert found.sul_peak is None


def test_a_pet_that_does_not_cover_the_nodule_says_nothing() -> None:
    pet = pet_of(8.0, 6.0)
    cut = SuvVolume(suv=pet.suv[:20], affine=pet.affine, used=USED)

    assert measure_uptake(ct(), ball(ct(), 6.0), cut, diameter_mm=12.0) is None
