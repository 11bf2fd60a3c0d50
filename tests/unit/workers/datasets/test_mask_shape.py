from __future__ import annotations

import numpy as np
import pytest

from workers.datasets.mask_shape import ROI, VOI, measure_mask


def _ball(radius_mm: float, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    axes = [np.arange(-radius_mm - 2, radius_mm + 2, step) for step in spacing_mm]
    k, j, i = np.meshgrid(*axes, indexing="ij")
    return k**2 + j**2 + i**2 <= radius_mm**2


@pytest.mark.parametrize("slice_mm", [0.5, 1.25, 2.5])
def test_a_ball_is_measured_as_a_ball(slice_mm: float) -> None:
    shape = measure_mask(_ball(10, (slice_mm, 0.5, 0.5)), (slice_mm, 0.5, 0.5))

    assert shape["volume_mm3"] == pytest.approx(4 / 3 * np.pi * 1000, rel=0.02)
    assert shape["axial_long_mm"] == pytest.approx(20, abs=0.8)
    assert shape["max3d_diam_mm"] == pytest.approx(20, abs=1.2)
    assert shape["sphericity3d"] == pytest.approx(1, abs=0.08)
    assert shape["flatness"] == pytest.approx(1, abs=0.03)
    assert shape["roi_solidity"] == pytest.approx(1, abs=0.05)


def test_one_voxel_has_every_column() -> None:
    shape = measure_mask(np.ones((1, 1, 1), dtype=bool), (2.0, 0.5, 0.5))

    assert set(shape) == {*ROI, *VOI}
    assert shape["volume_mm3"] == 0.5
    assert all(np.isfinite(value) for value in shape.values())


def test_a_staff_is_elongated_and_not_round() -> None:
    mask = np.zeros((3, 5, 40), dtype=bool)
    mask[1, 2, 2:38] = True

    shape = measure_mask(mask, (1.0, 1.0, 1.0))

    assert shape["elongation"] < 0.2
    assert shape["axial_aspect"] < 0.1
    assert shape["roi_circularity"] < 0.4


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        measure_mask(np.zeros((2, 2, 2), dtype=bool), (1.0, 1.0, 1.0))
