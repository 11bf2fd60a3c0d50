"""Lungs that are easily lost: simulated thoraces with known truth, one trouble each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from inference.lungs import LungMask, segment_lungs
from inference.resample import mask_onto
from inference.volume import Volume
from tests.unit.inference.hard_thorax import CASES, Thorax, make_thorax

SAID = {
    "effusion left": ["left lung", "% of the cavity is not aerated"],
    "effusion of both sides": ["right lung", "left lung", "not aerated"],
    "consolidated right lower lobe": ["right lung", "not aerated"],
    "consolidated left upper lobe": ["left lung", "not aerated"],
    "collapsed right lung": ["one lung only", "on the right"],
    "left pneumonectomy": ["one lung only", "on the left"],
    "mass at the hilum": ["left lung", "not aerated"],
    "bases cut off": ["beyond the lowest slice"],
    "apices cut off": ["beyond the highest slice"],
    "cropped field of view": ["beyond the edge of the field of view"],
}
QUIET = {
    "healthy",
    "emphysema with bullae",
    "bowel gas",
    "tilted",
    "table and arms",
    "low dose",
    "sharp kernel",
    "feet first, turned round",
}
HARD_PLACES = {
    "effusion left": [(70.0, 70.0, 0.0), (95.0, 55.0, -40.0)],
    "effusion of both sides": [(-70.0, 68.0, 0.0), (80.0, 66.0, 20.0)],
    "consolidated right lower lobe": [(-80.0, 50.0, 0.0), (-95.0, 30.0, -40.0)],
    "consolidated left upper lobe": [(95.0, -10.0, 30.0), (70.0, 0.0, 70.0)],
    "collapsed right lung": [(-80.0, 20.0, 20.0), (-90.0, 0.0, 60.0)],
    "left pneumonectomy": [(90.0, 30.0, 20.0)],
    "pleural mass": [(-105.0, 30.0, 20.0)],
    "mass at the hilum": [(46.0, 25.0, 50.0)],
    "emphysema with bullae": [(-30.0, -55.0, 40.0), (40.0, -40.0, 90.0), (-50.0, 40.0, 80.0)],
}
"""LPS mm of places that hold no normal lung and must be searched all the same."""


@pytest.fixture(scope="module", params=list(CASES))
def case(request: pytest.FixtureRequest) -> tuple[str, Thorax, LungMask]:
    name = str(request.param)
    thorax = make_thorax(CASES[name])
    return name, thorax, segment_lungs(thorax.volume)


def test_aerated_lung_is_whole_and_nothing_else_is_lung(
    case: tuple[str, Thorax, LungMask],
) -> None:
    name, thorax, lungs = case
    # The border of the lung is as uncertain as a voxel on each side.
    found = mask_onto(lungs.lungs > 0, lungs.affine, thorax.volume)
    searched = mask_onto(lungs.search, lungs.affine, thorax.volume)
    border = ndimage.binary_dilation(thorax.lung > 0, iterations=2)

    in_mask = (found & thorax.aerated).sum() / thorax.aerated.sum()
    leak = (found & ~border).sum() / found.sum()

    assert in_mask >= 0.97, name
    assert (searched & thorax.aerated).sum() / thorax.aerated.sum() >= 0.97, name
    assert leak <= 0.03, name


def test_what_was_not_covered_is_said(case: tuple[str, Thorax, LungMask]) -> None:
    name, _, lungs = case
    said = "; ".join(lungs.warnings)

    for words in SAID.get(name, []):
        assert words in said
    if name in QUIET:
        assert lungs.warnings == ()
    assert lungs.coverage == ("partial" if "beyond" in said else "full")


def test_the_search_reaches_lung_without_air(case: tuple[str, Thorax, LungMask]) -> None:
    name, _, lungs = case
    grid = Volume(hu=np.zeros(lungs.search.shape, dtype=np.int16), affine=lungs.affine)

    for place in HARD_PLACES.get(name, []):
        assert lungs.search[tuple(np.rint(grid.lps_to_index(place)).astype(int))], place


def test_the_share_of_air_is_about_right(case: tuple[str, Thorax, LungMask]) -> None:
    name, thorax, lungs = case
    ml = thorax.volume.voxel_volume_mm3 / 1000.0

    for side in lungs.sides:
        label = 1 if side.side == "right" else 2
        of_side = thorax.lung == label
        truth_ml = float((of_side & thorax.aerated).sum() * ml)
        assert side.aerated_ml == pytest.approx(truth_ml, abs=0.04 * truth_ml + 30.0), name
        if of_side.any() and side.aerated_fraction is not None and truth_ml:
            truth = truth_ml / float(of_side.sum() * ml)
            # The diaphragm under fluid is not visible: a tenth of the cavity either way.
            assert side.aerated_fraction == pytest.approx(truth, abs=0.12), name


def test_a_place_in_a_white_hemithorax_is_of_that_side() -> None:
    lungs = segment_lungs(make_thorax(CASES["collapsed right lung"]).volume)

    assert lungs.side_at(np.array([-90.0, 20.0, 20.0])) == "right"
    assert lungs.side_at(np.array([90.0, 20.0, 20.0])) == "left"
