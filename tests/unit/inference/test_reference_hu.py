"""What air and blood measure: on a chest made of boxes, and on nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.lung_sides import LEFT, RIGHT
from inference.reference_hu import measure_air_hu, measure_blood_hu
from inference.volume import Volume

SHAPE, MM = (60, 60, 90), 2.5


def chest(blood_hu: float, airway_hu: float) -> tuple[Volume, NDArray[np.uint8], NDArray[np.bool_]]:
    """Two lungs, a heart between their lower halves, fat around it, an airway above."""
    random = np.random.default_rng(0)
    hu = np.full(SHAPE, 55.0)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[5:55, 10:50, 5:30] = RIGHT
    labels[5:55, 10:50, 60:85] = LEFT
    hu[:, 10:50, 30:60] = -90
    hu[5:25, 18:42, 34:56] = blood_hu
    airway = np.zeros(SHAPE, dtype=bool)
    airway[30:58, 26:34, 41:49] = True
    hu[labels > 0] = -850
    hu[airway] = airway_hu
    hu += random.normal(0, 12, SHAPE)
    affine = np.diag([MM, MM, MM, 1.0])
    return Volume(hu=np.rint(hu).astype(np.int16), affine=affine), labels, airway


@pytest.mark.parametrize("blood_hu", [42.0, 180.0])
def test_blood_is_what_the_heart_measures_whatever_is_around_it(blood_hu: float) -> None:
    volume, labels, airway = chest(blood_hu, -985.0)

    assert measure_blood_hu(volume, labels) == pytest.approx(blood_hu, abs=5)
    assert measure_air_hu(volume, airway) == pytest.approx(-985, abs=2)


def test_what_was_not_found_has_no_value() -> None:
    volume, labels, airway = chest(40.0, -985.0)

    assert measure_air_hu(volume, airway & False) is None
    assert measure_blood_hu(volume, np.where(labels == LEFT, 0, labels).astype(np.uint8)) is None
    fat = Volume(hu=np.full(SHAPE, -90, dtype=np.int16), affine=volume.affine)
    assert measure_blood_hu(fat, labels) is None
