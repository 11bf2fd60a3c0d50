from __future__ import annotations

import numpy as np
import pytest

from inference.models.voi_network import VoiNetworkConfig
from inference.training.insertion import WantedNodule
from inference.training.slices import along_slices, slice_matrices
from inference.training.voi_backgrounds import VoiBackground, away_from_lesions, to_voi_background
from inference.training.voi_nodules import Slicing, put_nodule, smooth_shapes
from inference.training.voi_samples import SampleMaker, VoiSample
from inference.voi import Cube, cube_spacing_mm, cut_cube, onto_volume, touches_border
from inference.volume import Volume
from tests.unit.inference.lung_box import LESION, ball, lung_box

CONFIG = VoiNetworkConfig()


def box() -> VoiBackground:
    coarse = lung_box()
    return to_voi_background(coarse, coarse.volume)


def maker(seed: int = 0) -> SampleMaker:
    return SampleMaker(
        shapes=[ball(5), ball(9), ball(14), ball(20)],
        backgrounds=[box()],
        config=CONFIG,
        seed=seed,
    )


@pytest.fixture(scope="module")
def samples() -> list[VoiSample]:
    made = maker()
    return [made.make(number) for number in range(60)]


def thin(size: int, spacing_mm: float) -> Slicing:
    average, interpolate = slice_matrices(
        size, spacing_mm=spacing_mm, thickness_mm=0.6, gap_mm=0.6, phase=0.5
    )
    return Slicing(average=average, interpolate=interpolate)


@pytest.mark.parametrize("diameter_mm", [4.0, 8.0, 16.0, 30.0])
def test_a_truth_mask_has_the_wanted_volume(diameter_mm: float) -> None:
    spacing_mm = cube_spacing_mm(diameter_mm, CONFIG)
    hu = np.full((48, 48, 48), -860.0, dtype=np.float32)
    wanted = WantedNodule(
        shape=smooth_shapes(np.random.default_rng(0))[0],
        diameter_mm=diameter_mm,
        kind="solid",
        site="isolated",
    )

    drawn = put_nodule(
        hu,
        wanted,
        np.full(3, 23.5),
        spacing_mm,
        thin(48, spacing_mm),
        10.0,
        np.random.default_rng(3),
    )

    assert drawn is not None
    volume_mm3 = float((drawn.share >= 0.5).sum()) * spacing_mm**3
    # Within a tenth of the diameter: a voxel is up to a sixth of it.
    assert (6 * volume_mm3 / np.pi) ** (1 / 3) == pytest.approx(diameter_mm, rel=0.1)


def test_the_truth_stops_at_the_chest_wall() -> None:
    spacing_mm = 0.65
    hu = np.full((48, 48, 48), -860.0, dtype=np.float32)
    hu[:, :, :20] = 40.0
    wanted = WantedNodule(shape=ball(12), diameter_mm=12.0, kind="solid", site="juxtapleural")

    drawn = put_nodule(
        hu,
        wanted,
        np.array([23.5, 23.5, 24.0]),
        spacing_mm,
        thin(48, spacing_mm),
        5.0,
        np.random.default_rng(0),
    )

    assert drawn is not None
    assert np.argwhere(drawn.share >= 0.5)[:, 2].min() >= 20
    assert (drawn.share >= 0.5).sum() > 500


def test_a_nodule_inside_tissue_is_none() -> None:
    hu = np.full((48, 48, 48), 40.0, dtype=np.float32)
    wanted = WantedNodule(shape=ball(10), diameter_mm=10.0, kind="solid", site="isolated")

    drawn = put_nodule(
        hu, wanted, np.full(3, 23.5), 0.65, thin(48, 0.65), 5.0, np.random.default_rng(0)
    )

    assert drawn is None


def test_slices_average_and_interpolation_keep_a_constant_and_blur_an_edge() -> None:
    average, interpolate = slice_matrices(
        40, spacing_mm=0.7, thickness_mm=2.5, gap_mm=2.5, phase=0.3
    )
    edge = np.zeros((40, 2, 2), dtype=np.float32)
    edge[20:] = 1.0

    seen = along_slices(interpolate, along_slices(average, edge))[:, 0, 0]

    assert average.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert interpolate.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert seen[:10] == pytest.approx(0.0, abs=1e-6)
    assert seen[-10:] == pytest.approx(1.0, abs=1e-6)
    assert 3 <= ((seen > 0.02) & (seen < 0.98)).sum() <= 9
    assert abs(float(seen.sum()) - 20.0) < 2.0


def test_the_same_number_gives_the_same_sample_whatever_came_before() -> None:
    first, second = maker(), maker()
    for number in range(3):
        second.make(number)

    assert np.array_equal(first.make(7).hu, second.make(7).hu)
    assert np.array_equal(first.make(7).mask, second.make(7).mask)


def test_samples_are_nodules_of_all_types_and_what_is_none(samples: list[VoiSample]) -> None:
    kinds = {sample.kind for sample in samples if sample.nodule}

    assert {"solid", "part-solid", "ground-glass", "calcified"} <= kinds
    assert 10 < sum(not sample.nodule for sample in samples) < 40
    for sample in samples:
        assert sample.hu.shape == (CONFIG.side,) * 3
        assert sample.nodule == bool((sample.mask >= 0.5).any())
        assert ((sample.core >= 0.5) <= (sample.mask >= 0.5)).all()
        if sample.kind == "ground-glass":
            assert not sample.core.any()
        if sample.kind == "part-solid":
            assert 0 < (sample.core >= 0.5).sum() < (sample.mask >= 0.5).sum()


def test_candidates_are_off_but_reach_the_nodule(samples: list[VoiSample]) -> None:
    middle = (CONFIG.side - 1) / 2
    off_mm, factors = [], []
    for sample in samples:
        if sample.nodule and sample.diameter_mm > 5 and sample.site == "isolated":
            centre = np.argwhere(sample.mask >= 0.5).mean(axis=0)
            off_mm.append(float(np.linalg.norm(centre - middle)) * sample.spacing_mm)
            factors.append(sample.candidate_mm / sample.diameter_mm)

    assert max(off_mm) < 6.0
    assert max(off_mm) > 1.0
    assert 0.5 < min(factors) < 0.95
    assert 1.05 < max(factors) < 2.0


def test_known_lesions_are_kept_out() -> None:
    background = box()
    index = background.coarse.volume.lps_to_index(background.tissue_lps_mm)

    assert len(index) > 0
    assert away_from_lesions(background.coarse, index).all()
    assert not away_from_lesions(background.coarse, np.array([LESION])).any()


def test_a_sample_maker_without_backgrounds_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one nodule shape and one background"):
        SampleMaker(shapes=[ball(8)], backgrounds=[], config=CONFIG)


@pytest.mark.parametrize(
    ("diameter_mm", "wanted_mm"), [(3, 0.65), (13, 0.65), (20, 1.0), (40, 1.4)]
)
def test_voxels_grow_with_the_candidate(diameter_mm: float, wanted_mm: float) -> None:
    spacing_mm = cube_spacing_mm(diameter_mm, CONFIG)

    assert spacing_mm == pytest.approx(wanted_mm)
    assert CONFIG.side * spacing_mm > 1.6 * diameter_mm


def test_a_cube_shows_the_volume_and_its_answer_comes_back_to_the_same_place() -> None:
    hu = np.zeros((40, 60, 60), dtype=np.int16)
    hu[18:23, 25:36, 28:40] = 1000
    volume = Volume(hu=hu, affine=np.diag([2.0, 0.8, 0.8, 1.0]))

    cube = cut_cube(volume, np.array([20.0, 30.0, 33.5]), 0.7, CONFIG)
    field = (cube.hu > 500).astype(np.float32)
    values, start = onto_volume(field, cube, volume)

    whole = np.zeros(hu.shape, dtype=bool)
    window = tuple(slice(int(a), int(a + n)) for a, n in zip(start, values.shape, strict=True))
    whole[window] = values >= 0.5
    assert np.array_equal(whole, hu > 500)


def test_what_lies_beyond_the_volume_repeats_its_border() -> None:
    volume = Volume(hu=np.full((4, 20, 20), 7, dtype=np.int16), affine=np.eye(4))

    cube = cut_cube(volume, np.array([0.0, 0.0, 0.0]), 1.0, CONFIG)
    values, start = onto_volume(cube.hu, cube, volume)

    assert (cube.hu == 7).all()
    assert values.shape == (4, 20, 20)
    assert (start == 0).all()


def test_a_cube_beside_the_volume_brings_nothing_back() -> None:
    volume = Volume(hu=np.zeros((4, 4, 4), dtype=np.int16), affine=np.eye(4))
    cube = Cube(
        hu=np.zeros((8, 8, 8), dtype=np.float32),
        spacing_mm=1.0,
        corner_kji=np.full(3, 20.0),
        step_kji=np.ones(3),
    )

    values, _ = onto_volume(cube.hu, cube, volume)

    assert values.size == 0


def test_the_border_is_noticed() -> None:
    mask = np.zeros((16, 16, 16), dtype=bool)
    mask[5:9, 5:9, 5:9] = True
    near = mask.copy()
    near[5, 5, 5:16] = True

    assert not touches_border(mask)
    assert touches_border(near)
