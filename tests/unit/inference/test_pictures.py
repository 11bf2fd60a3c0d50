"""Sheets of findings: the place stands in the middle of each plane, the right way round."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from inference.evaluation.pictures import CAPTION, SIDE, Place, draw_places
from inference.volume import Volume

CENTRE = (10.0, -20.0, 30.0)


def volume_with(*balls: tuple[float, float, float]) -> Volume:
    """Cubes of 1 mm around `CENTRE`, air with dense balls of 4 mm radius."""
    affine = np.zeros((4, 4))
    affine[0, 2] = affine[1, 1] = affine[2, 0] = affine[3, 3] = 1.0
    affine[:3, 3] = np.array(CENTRE) - 40.0
    hu = np.full((81, 81, 81), -1000, dtype=np.int16)
    k, j, i = np.indices(hu.shape) - 40
    for x, y, z in balls:
        hu[(i - x) ** 2 + (j - y) ** 2 + (k - z) ** 2 <= 16] = 100
    return Volume(hu=hu, affine=affine)


def planes_of(png: bytes) -> list[np.ndarray]:
    sheet = np.array(Image.open(io.BytesIO(png)))
    return [sheet[CAPTION : CAPTION + SIDE, n * SIDE : (n + 1) * SIDE] for n in range(3)]


def test_the_place_is_in_the_middle_of_all_three_planes():
    planes = planes_of(
        draw_places(volume_with((0, 0, 0)), [Place(centre_lps_mm=CENTRE, caption="")])
    )

    for plane in planes:
        bright = np.argwhere(plane > 128)
        assert np.abs(bright.mean(axis=0) - (SIDE - 1) / 2).max() < 1.0


def test_left_is_right_back_is_down_and_head_is_up():
    axial, coronal, sagittal = planes_of(
        draw_places(volume_with((12, 12, 0), (0, 0, 12)), [Place(centre_lps_mm=CENTRE, caption="")])
    )

    row, column = np.argwhere(axial > 128).mean(axis=0)
    assert row > SIDE / 2
    assert column > SIDE / 2
    for plane in (coronal, sagittal):
        assert np.argwhere(plane > 128).mean(axis=0)[0] < SIDE / 2


def test_a_place_at_the_edge_of_the_volume_is_drawn():
    draw_places(volume_with(), [Place(centre_lps_mm=(60.0, -60.0, -10.0), caption="edge")])


def test_no_places_are_refused():
    with pytest.raises(ValueError, match="at least one place"):
        draw_places(volume_with(), [])
