from __future__ import annotations

import numpy as np
import pytest

from inference.findings import NoduleType
from inference.training.appearance import blend, draw_shape
from inference.training.insertion import WantedNodule, fits_site, insert_nodule
from inference.training.noise import POOL_SIDE, smooth_noise
from inference.training.patches import PatchMaker
from tests.unit.inference.lung_box import LESION, SIDE, SPACING_MM, WALL, ball, lung_box

MIDDLE = np.array([36.0, 30.0, 40.0])


def put_in(kind: NoduleType, diameter_mm: float = 12.0) -> tuple[np.ndarray, np.ndarray]:
    """HU after and before; one ball in free lung."""
    background = lung_box()
    before = background.volume.hu.astype(np.float32)
    after = before.copy()
    wanted = WantedNodule(shape=ball(12), diameter_mm=diameter_mm, kind=kind, site="isolated")
    placed = insert_nodule(after, background, wanted, MIDDLE, SPACING_MM, np.random.default_rng(5))
    assert placed.counts
    return after, before


def core_of(image: np.ndarray) -> np.ndarray:
    k, j, i = MIDDLE.astype(int)
    return image[k - 2 : k + 3, j - 2 : j + 3, i - 2 : i + 3]


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("solid", -120, 160), ("ground-glass", -740, -330), ("calcified", 100, 1600)],
)
def test_each_type_has_its_density(kind: NoduleType, low: float, high: float) -> None:
    after, _ = put_in(kind)

    assert low < core_of(after).mean() < high


def test_a_part_solid_nodule_is_denser_than_ground_glass_and_has_a_rim_of_it() -> None:
    after, _ = put_in("part-solid", 20.0)
    inside = after[28:45, 22:39, 32:49]

    assert inside.max() > -150
    assert ((inside > -720) & (inside < -350)).mean() > 0.15


@pytest.mark.parametrize("diameter_mm", [6.0, 10.0, 20.0])
def test_a_drawn_shape_has_the_wanted_volume(diameter_mm: float) -> None:
    drawn = draw_shape(
        ball(12),
        size=(48, 48, 48),
        centre_kji=np.array([24.0, 24.0, 24.0]),
        spacing_mm=SPACING_MM,
        diameter_mm=diameter_mm,
        random=np.random.default_rng(1),
    )
    volume_mm3 = float((drawn.share.clip(0, 1) > 0.5).sum()) * SPACING_MM**3

    # A voxel's edge of 1.25 mm: a tenth of the diameter of the larger ones, more of 6 mm.
    assert (6 * volume_mm3 / np.pi) ** (1 / 3) == pytest.approx(diameter_mm, rel=0.12)


def test_nothing_changes_far_from_a_nodule() -> None:
    after, before = put_in("solid")
    far = np.linalg.norm(np.indices(before.shape).T - MIDDLE[::1], axis=-1).T > 16

    assert np.array_equal(after[far], before[far])


def test_vessels_show_through_ground_glass() -> None:
    patch = np.full((32, 32, 32), -860.0, dtype=np.float32)
    patch[:, 16, 16] = 40.0
    drawn = draw_shape(
        ball(14),
        size=(32, 32, 32),
        centre_kji=np.array([16.0, 16.0, 16.0]),
        spacing_mm=SPACING_MM,
        diameter_mm=18.0,
        random=np.random.default_rng(2),
    )

    blend(
        patch,
        drawn,
        "ground-glass",
        blur_voxels=(0.4, 0.4, 0.4),
        noise_hu=0.0,
        random=np.random.default_rng(2),
    )

    assert patch[16, 16, 16] == pytest.approx(40.0, abs=1.0)
    assert patch[16, 16, 12] < -300


def test_juxtapleural_nodules_lie_near_the_wall_and_isolated_ones_do_not() -> None:
    background = lung_box()
    depth, vessels = background.place_depth_mm, background.place_vessels

    def places(site: str) -> np.ndarray:
        wanted = WantedNodule(shape=ball(10), diameter_mm=10.0, kind="solid", site=site)
        return background.places[fits_site(depth, vessels, wanted)]

    # Radius 5 mm: up to 1.05 radii + 0.5 mm from the wall, and at least 3 mm more than it.
    assert places("juxtapleural")[:, 2].max() * SPACING_MM <= WALL * SPACING_MM + 6.0
    assert places("isolated")[:, 2].min() * SPACING_MM >= WALL * SPACING_MM + 6.5
    assert len(places("juxtavascular")) > 0
    assert (
        background.place_vessels[
            fits_site(
                depth,
                vessels,
                WantedNodule(shape=ball(10), diameter_mm=10.0, kind="solid", site="juxtavascular"),
            )
        ].min()
        > 0.06
    )


def test_a_nodule_inside_the_wall_does_not_count() -> None:
    background = lung_box()
    hu = background.volume.hu.astype(np.float32)
    wanted = WantedNodule(shape=ball(10), diameter_mm=8.0, kind="solid", site="juxtapleural")

    placed = insert_nodule(
        hu, background, wanted, np.array([36.0, 30.0, 5.0]), SPACING_MM, np.random.default_rng(0)
    )

    assert not placed.counts


def test_the_same_number_gives_the_same_patch_whatever_came_before() -> None:
    def maker() -> PatchMaker:
        return PatchMaker(
            shapes=[ball(6), ball(12)], backgrounds=[lung_box()], spacing_mm=SPACING_MM, size=48
        )

    first, second = maker(), maker()
    for number in range(3):
        second.make(number)

    assert np.array_equal(first.make(7).hu, second.make(7).hu)
    assert first.make(7).nodules == second.make(7).nodules


def test_known_lesions_come_along_as_ignored_and_stay_free_of_nodules() -> None:
    background = lung_box()
    maker = PatchMaker(shapes=[ball(8)], backgrounds=[background], spacing_mm=SPACING_MM, size=48)

    patches = [maker.make(number) for number in range(30)]

    for patch in patches:
        lesion = patch.ignored_kji[0]
        assert 6.0 / 1.2 < lesion[3] < 6.0 / 0.85 + 1e-9
        for nodule in patch.nodules:
            assert np.linalg.norm(np.array(nodule.centre_kji) - lesion[:3]) > lesion[3]
    assert sum(len(patch.nodules) for patch in patches) > 15
    assert np.linalg.norm(background.places - LESION, axis=1).min() > 6.0


def test_mistakes_are_shown_again() -> None:
    maker = PatchMaker(
        shapes=[ball(8)], backgrounds=[lung_box()], spacing_mm=SPACING_MM, size=16, seed=3
    )
    maker.backgrounds[0].volume.hu[36, 10, 50] = 3000
    maker.mistakes["box"] = np.array([[36, 10, 50]], dtype=np.int32)

    bright = [maker.make(number).hu.max() > 600 for number in range(60)]

    # A fifth of the patches are without nodules, half of those show a mistake.
    assert sum(bright) >= 2


def test_smooth_noise_has_a_deviation_of_one_at_any_size() -> None:
    random = np.random.default_rng(0)

    for shape in ((64, 64, 64), (POOL_SIDE + 30, 40, 40)):
        assert smooth_noise(shape, 1.0, random).std() == pytest.approx(1.0, abs=0.1)


def test_a_patch_maker_without_backgrounds_is_refused() -> None:
    with pytest.raises(ValueError, match="a background, and a nodule shape or an annotated nodule"):
        PatchMaker(shapes=[ball(8)], backgrounds=[], spacing_mm=SPACING_MM)


def test_the_box_is_what_the_tests_take_it_for() -> None:
    assert lung_box().volume.shape == (SIDE,) * 3
