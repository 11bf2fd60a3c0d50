"""Grids: index to LPS and back, resampling, masks onto other grids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from inference.resample import crop, mask_onto, shrink, to_isotropic, to_patient_axes
from inference.volume import Volume
from tests.unit.inference.acquisitions import turned
from tests.unit.inference.balls import grid

spacings = st.tuples(*[st.floats(0.3, 6.0)] * 3)
angles = st.tuples(*[st.floats(-180.0, 180.0)] * 3)
points = st.tuples(*[st.floats(-600.0, 600.0)] * 3)


@given(spacing_mm=spacings, rotation_deg=angles, point=points)
def test_index_to_lps_and_back_is_the_same_index(
    spacing_mm: tuple[float, float, float],
    rotation_deg: tuple[float, float, float],
    point: tuple[float, float, float],
) -> None:
    affine = grid((4, 5, 6), spacing_mm, rotation_deg)
    volume = Volume(hu=np.zeros((4, 5, 6), dtype=np.int16), affine=affine)

    back = volume.lps_to_index(volume.index_to_lps(point))

    assert back == pytest.approx(np.array(point), abs=1e-6)


def ramp(rotation_deg: tuple[float, float, float], step_k: float = 1.0) -> Volume:
    """HU = 3 x + 2 y - z of the voxel's own place: any grid must read the same field."""
    shape = (24, 40, 44)
    affine = grid(shape, (2.5, 0.8, 0.7), rotation_deg)
    affine[:3, 0] *= step_k
    index = np.moveaxis(np.indices(shape), 0, -1)
    lps = index @ affine[:3, :3].T + affine[:3, 3]
    return Volume(hu=np.rint(lps @ (3.0, 2.0, -1.0)).astype(np.int16), affine=affine)


@pytest.mark.parametrize("rotation_deg", [(0.0, 0.0, 0.0), (15.0, -20.0, 30.0)])
@pytest.mark.parametrize("step_k", [1.0, -1.0])
def test_every_resampling_keeps_the_field_in_its_place(
    rotation_deg: tuple[float, float, float], step_k: float
) -> None:
    volume = ramp(rotation_deg, step_k)

    for other in (
        shrink(volume, spacing_mm=2.5),
        to_isotropic(volume, spacing_mm=1.2),
        crop(volume, np.array([3, 4, 5]), np.array([20, 30, 31])),
    ):
        index = np.moveaxis(np.indices(other.shape), 0, -1)
        expected = other.index_to_lps(index) @ (3.0, 2.0, -1.0)
        inner = (slice(3, -3),) * 3  # smoothing reaches over the border of the field
        # Whole HU on both sides: at most one apart, and a half for the smoothing.
        assert np.abs(other.hu[inner] - expected[inner]).max() < 2.0


@given(
    order=st.permutations(range(3)),
    signs=st.tuples(*[st.sampled_from((-1, 1))] * 3),
    tilt_deg=st.tuples(*[st.floats(-20, 20)] * 3),
)
def test_a_volume_looks_alike_however_its_axes_were_stored(
    order: list[int], signs: tuple[int, int, int], tilt_deg: tuple[float, float, float]
) -> None:
    shape = (4, 5, 6)
    hu = np.arange(120, dtype=np.int16).reshape(shape)
    affine = grid(shape, (2.5, 0.8, 0.7), tilt_deg)
    stored = Volume(hu=hu, affine=affine)
    for axis, sign in enumerate(signs):
        if sign < 0:
            stored = turned(stored, axis)
    moved = np.eye(4)
    moved[:3, :3], moved[:3, 3] = stored.affine[:3, order], stored.affine[:3, 3]

    found, found_affine = to_patient_axes(stored.hu.transpose(order), moved)

    assert np.array_equal(found, hu)
    assert found_affine == pytest.approx(affine)


@settings(deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 14)] * 3),
    spacing_mm=st.tuples(*[st.floats(0.3, 4.0)] * 3),
    seed=st.integers(0, 99),
)
def test_resampling_is_smoothing_then_linear_interpolation(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], seed: int
) -> None:
    """The same two steps by SciPy, over the whole volume."""
    hu = np.random.default_rng(seed).integers(-1000, 400, shape).astype(np.int16)
    volume = Volume(hu=hu, affine=grid(shape, spacing_mm, (0.0, 0.0, 0.0)))

    found = to_isotropic(volume, spacing_mm=1.25)

    ratio = 1.25 / np.array(spacing_mm)
    sigma = 0.5 * np.sqrt(np.maximum(ratio**2 - 1, 0))
    smooth = ndimage.gaussian_filter(hu.astype(np.float64), sigma, truncate=2.0)
    expected = ndimage.affine_transform(
        smooth, ratio, output_shape=found.shape, order=1, mode="nearest"
    )
    assert np.abs(found.hu - expected).max() < 0.51  # whole HU


@settings(deadline=None)
@given(
    shape=st.tuples(*[st.integers(4, 20)] * 3),
    factors=st.tuples(*[st.integers(1, 4)] * 3),
)
def test_shrinking_averages_whole_blocks(
    shape: tuple[int, int, int], factors: tuple[int, int, int]
) -> None:
    hu = np.random.default_rng(1).integers(-1000, 3000, shape).astype(np.int16)
    affine = grid(shape, tuple(4.0 / factor for factor in factors), (0.0, 0.0, 0.0))

    found = shrink(Volume(hu=hu, affine=affine), spacing_mm=4.0).hu

    for index in np.ndindex(found.shape):
        block = hu[tuple(slice(n * f, (n + 1) * f) for n, f in zip(index, factors, strict=True))]
        assert abs(found[index] - block.mean()) < 0.501


def test_a_mask_comes_back_from_a_coarse_grid_within_one_coarse_voxel() -> None:
    volume = ramp((0.0, 0.0, 0.0))
    coarse = shrink(volume, spacing_mm=2.5)
    index = np.moveaxis(np.indices(coarse.shape), 0, -1)
    inside = np.linalg.norm(coarse.index_to_lps(index), axis=-1) < 10.0

    fine = mask_onto(inside, coarse.affine, volume)

    index = np.moveaxis(np.indices(volume.shape), 0, -1)
    radius = np.linalg.norm(volume.index_to_lps(index), axis=-1)
    assert fine[radius < 7.5].all()
    assert not fine[radius > 12.5].any()


@pytest.mark.parametrize(
    ("hu", "affine", "message"),
    [
        (np.zeros((3, 3), dtype=np.int16), np.eye(4), "2 axes"),
        (np.zeros((3, 3, 3), dtype=np.int16), np.eye(3), "shape"),
        (np.zeros((3, 3, 3), dtype=np.int16), np.zeros((4, 4)), "not invertible"),
    ],
)
def test_what_is_no_grid_is_refused(hu: np.ndarray, affine: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Volume(hu=hu, affine=affine)
