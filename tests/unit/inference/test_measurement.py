"""Sizes against balls whose truth is analytic."""

from __future__ import annotations

import numpy as np
import pytest

from inference.findings import VoiMask
from inference.measurement import classify_type, measure_nodule
from inference.volume import Volume
from tests.unit.inference.balls import LUNG_HU, ball, distance_mm, grid

GRIDS = [
    ((1.0, 0.7, 0.7), (0.0, 0.0, 0.0)),
    ((2.5, 0.7, 0.7), (0.0, 0.0, 0.0)),
    ((0.6, 0.9, 0.5), (0.0, 0.0, 0.0)),
    ((1.25, 0.7, 0.7), (12.0, -7.0, 20.0)),
]


@pytest.mark.parametrize(("spacing_mm", "rotation_deg"), GRIDS)
@pytest.mark.parametrize("diameter_mm", [8.0, 15.0, 24.0])
def test_a_balls_diameters_are_right_within_a_pixel(
    diameter_mm: float,
    spacing_mm: tuple[float, float, float],
    rotation_deg: tuple[float, float, float],
) -> None:
    volume, voi = ball(diameter_mm, spacing_mm, rotation_deg)

    measured = measure_nodule(volume, voi, "solid")

    pixel_mm = max(spacing_mm[1:])
    assert measured.long_axis.length_mm == pytest.approx(diameter_mm, abs=0.6 * pixel_mm)
    assert measured.short_axis.length_mm == pytest.approx(diameter_mm, abs=0.6 * pixel_mm)
    assert measured.mean_diameter_mm == pytest.approx(diameter_mm, abs=0.6 * pixel_mm)
    assert measured.max_3d_diameter_mm == pytest.approx(diameter_mm, abs=max(spacing_mm))


@pytest.mark.parametrize(("spacing_mm", "rotation_deg"), GRIDS)
def test_a_balls_volume_is_right_within_five_percent(
    spacing_mm: tuple[float, float, float], rotation_deg: tuple[float, float, float]
) -> None:
    volume, voi = ball(18.0, spacing_mm, rotation_deg)

    measured = measure_nodule(volume, voi, "solid")

    assert measured.volume_mm3 == pytest.approx(np.pi / 6 * 18.0**3, rel=0.05)
    assert measured.mean_hu == 30.0


@pytest.mark.parametrize("diameter", [4.0, 8.0, 16.0, 30.0])
@pytest.mark.parametrize("flatness", [1.0, 0.7])
def test_voxel_corners_do_not_lengthen_an_outline(diameter: float, flatness: float) -> None:
    random = np.random.default_rng(7)
    apart = []
    for _ in range(40):
        y, x = np.indices((48, 48)) - 23.0 - random.random(2)[:, None, None]
        turn = random.uniform(0, np.pi)
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        mask = (np.hypot(along, across / flatness) <= diameter / 2)[None]
        volume = Volume(hu=np.full(mask.shape, 30, np.int16), affine=np.eye(4))
        measured = measure_nodule(volume, VoiMask(origin_kji=(0, 0, 0), mask=mask), "solid")
        apart.append(measured.long_axis.length_mm - diameter)

    # Without smoothing a disc of 30 voxels is 0.8 too long on average.
    assert abs(float(np.mean(apart))) < 0.3


def test_axes_end_on_the_outline_of_the_key_slice() -> None:
    volume, voi = ball(15.0)

    measured = measure_nodule(volume, voi, "solid")

    middle = volume.shape[0] // 2
    assert measured.key_slice_k == middle
    for axis in (measured.long_axis, measured.short_axis):
        assert axis.k == middle
        for end in (axis.start_ji, axis.end_ji):
            away = np.linalg.norm(measured.contour_ji - end, axis=1).min()
            assert away < 0.75  # at most between two vertices of the outline, in pixels


def test_the_axes_of_an_ellipse_are_perpendicular_and_in_mm() -> None:
    shape, spacing_mm = (5, 81, 61), (2.0, 0.5, 0.8)
    affine = grid(shape, spacing_mm)
    index = np.indices(shape)
    y, x = (index[1] - 40) * 0.5, (index[2] - 30) * 0.8
    mask = ((y / 15) ** 2 + (x / 8) ** 2 <= 1) & (np.abs(index[0] - 2) < 2)
    volume = Volume(hu=np.where(mask, 30, LUNG_HU).astype(np.int16), affine=affine)

    measured = measure_nodule(volume, VoiMask(origin_kji=(0, 0, 0), mask=mask), "solid")

    def vector(axis: object) -> np.ndarray:
        return (np.subtract(axis.end_ji, axis.start_ji)) * (0.5, 0.8)  # type: ignore[attr-defined]

    long_mm, short_mm = vector(measured.long_axis), vector(measured.short_axis)
    assert measured.long_axis.length_mm == pytest.approx(30.0, abs=0.8)
    assert measured.short_axis.length_mm == pytest.approx(16.0, abs=0.8)
    assert float(long_mm @ short_mm) == pytest.approx(0.0, abs=1e-6)


def test_one_voxel_is_one_pixel_long() -> None:
    volume = Volume(
        hu=np.full((3, 3, 3), 30, dtype=np.int16), affine=grid((3, 3, 3), (2.0, 0.7, 0.7))
    )
    mask = np.zeros((1, 1, 1), dtype=bool) | True

    measured = measure_nodule(volume, VoiMask(origin_kji=(1, 1, 1), mask=mask), "solid")

    assert measured.long_axis.length_mm == pytest.approx(0.7, abs=0.01)
    assert measured.volume_mm3 == pytest.approx(2.0 * 0.7 * 0.7)


def test_the_solid_part_of_a_part_solid_ball_is_measured() -> None:
    volume, voi = ball(20.0, hu=-600)
    core = distance_mm(volume.shape, volume.affine) <= 5.0
    volume.hu[core] = 30

    assert classify_type(volume, voi) == "part-solid"
    measured = measure_nodule(volume, voi, "part-solid")

    assert measured.solid_mean_diameter_mm == pytest.approx(10.0, abs=0.7)
    assert measured.solid_volume_mm3 == pytest.approx(np.pi / 6 * 1000, rel=0.05)


@pytest.mark.parametrize(
    ("hu", "expected"),
    [(30, "solid"), (-600, "ground-glass"), (500, "calcified"), (-250, "solid")],
)
def test_type_follows_density(hu: int, expected: str) -> None:
    volume, voi = ball(12.0, hu=hu)

    assert classify_type(volume, voi) == expected
