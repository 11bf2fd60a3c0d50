"""Nodules drawn as their readers rated them, and the set of them on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from inference.attributes import ATTRIBUTES, to_shares
from inference.models.voi_network import VoiNetworkConfig
from inference.training.rated_appearance import RatedDrawing, RatedLook, draw_rated
from inference.training.rated_nodules import EVERY_READER, load_rated_nodules
from inference.training.rated_samples import RenderedVoi, Rendering, plan_renderings, render
from inference.training.rendered_set import SetPlan, make_set, open_set
from inference.training.shapes import EXCLUDED_PATIENTS
from inference.training.voi_backgrounds import VoiBackground, to_voi_background
from tests.unit.inference.lung_box import ball, lung_box
from tests.unit.inference.rated_tables import rated, write_rated_tables

CONFIG = VoiNetworkConfig()


@pytest.fixture(scope="module")
def lungs() -> list[VoiBackground]:
    coarse = lung_box()
    return [to_voi_background(coarse, coarse.volume)]


def rendered(lungs: list[VoiBackground], number: int = 0, **ratings: float) -> RenderedVoi:
    wanted = Rendering(nodule=rated(**ratings), reader=EVERY_READER, number=number)
    made = render(wanted, lungs, config=CONFIG, seed=3)
    assert made is not None
    return made


def density(lungs: list[VoiBackground], **ratings: float) -> float:
    """Median over a few renderings of the median inside the mask, HU."""
    made = [rendered(lungs, number, **ratings) for number in range(4)]
    return float(np.median([np.median(item.hu[item.mask]) for item in made]))


def drawn(**look: float) -> RatedDrawing:
    values = {"texture": 5.0, "margin": 5.0, "spiculation": 1.0, "subtlety": 5.0} | look
    return draw_rated(
        ball(14.0),
        RatedLook(**values, calcification=6, calcium_hu=0.0, inside=1),
        side=48,
        centre_kji=np.full(3, 23.5),
        spacing_mm=0.7,
        random=np.random.default_rng(0),
    )


def test_excluded_patients_are_never_read(tmp_path: Path) -> None:
    write_rated_tables(tmp_path / "lidc", [1, 7, 20, 21, 40])

    found = load_rated_nodules(tmp_path / "lidc", parts=("train", "tune", "test"))

    patients = {item.shape.patient_id for item in found}
    assert patients == {"LIDC-IDRI-0021", "LIDC-IDRI-0040"}
    assert not patients & EXCLUDED_PATIENTS


def test_the_truth_of_a_reading_is_what_the_others_said() -> None:
    nodule = rated(readers=3)  # malignancy 2, 3, 4

    assert nodule.rating(0) == pytest.approx(3.5)
    assert nodule.rating(EVERY_READER) == pytest.approx(3.0)


def test_renderings_are_planned_by_everyone_and_by_each_reader() -> None:
    plan = plan_renderings([rated(readers=3)], by_everyone=2, by_each_reader=1)

    assert [item.reader for item in plan] == [EVERY_READER, EVERY_READER, 0, 1, 2]
    assert [item.number for item in plan] == [0, 1, 2, 3, 4]


def test_ground_glass_is_faint_and_solid_is_tissue(lungs: list[VoiBackground]) -> None:
    glass, solid = density(lungs, texture=1.0), density(lungs, texture=5.0)

    # Ranges of the project's notes, widened by noise, contrast and calibration.
    assert -760 < glass < -450
    assert -110 < solid < 180


def test_calcium_is_dense_where_readers_saw_it(lungs: list[VoiBackground]) -> None:
    made = rendered(lungs, calcification=3.0)

    assert np.percentile(made.hu[made.mask], 90) > 200


def test_fat_inside_is_darker_than_tissue(lungs: list[VoiBackground]) -> None:
    fat = [rendered(lungs, n, internal_structure=3.0) for n in range(3)]

    # Half of the nodule at most is fat: its tenth percentile lies below plain tissue.
    assert np.median([np.percentile(item.hu[item.mask], 5) for item in fat]) < -60


def test_strands_reach_beyond_a_spiculated_nodule() -> None:
    plain, spiculated = drawn(spiculation=1.0), drawn(spiculation=5.0)

    outside = plain.body == 0
    assert spiculated.share[outside].sum() > plain.share[outside].sum() + 100


def test_a_blurred_margin_is_wider_than_a_sharp_one() -> None:
    def border(drawing: RatedDrawing) -> int:
        return int(((drawing.share > 0.1) & (drawing.share < 0.9)).sum())

    assert border(drawn(margin=1.0)) > 1.5 * border(drawn(margin=5.0))


def test_a_nodule_keeps_its_own_size(lungs: list[VoiBackground]) -> None:
    made = [rendered(lungs, number) for number in range(4)]

    sizes = [(6 * item.mask.sum() / np.pi) ** (1 / 3) * item.spacing_mm for item in made]
    # The outline is as uneven as a segmenter's: within a tenth.
    assert sizes == pytest.approx([ball(14.0).diameter_mm] * 4, rel=0.1)


def test_the_same_numbers_give_the_same_picture(lungs: list[VoiBackground]) -> None:
    first, again, other = rendered(lungs, 1), rendered(lungs, 1), rendered(lungs, 2)

    assert np.array_equal(first.hu, again.hu)
    assert not np.array_equal(first.hu, other.hu)


def test_an_interrupted_set_goes_on_as_if_it_had_not_been(
    lungs: list[VoiBackground], tmp_path: Path
) -> None:
    nodules = [rated(9.0), rated(12.0, texture=1.0)]
    plan = SetPlan(seed=1, by_everyone=1, by_each_reader=1)

    make_set(nodules, lungs, plan, tmp_path / "set", config=CONFIG, told=lambda _: None)
    first = open_set([tmp_path / "set"])
    cube, rating = first.cube(5), first.rating.copy()
    shutil.rmtree(tmp_path / "set" / "piece-0000")
    make_set(nodules, lungs, plan, tmp_path / "set", config=CONFIG, told=lambda _: None)
    again = open_set([tmp_path / "set"])

    assert len(again) == 8
    assert np.array_equal(again.cube(5), cube)
    assert np.array_equal(again.rating, rating)
    assert again.mask(0).any()
    with pytest.raises(ValueError, match="another set"):
        make_set(
            nodules, lungs, SetPlan(seed=2), tmp_path / "set", config=CONFIG, told=lambda _: None
        )


def test_a_share_runs_from_the_lowest_to_the_highest_of_its_own_scale() -> None:
    ratings = np.array([1, 4, 6, 2, 3, 5, 1, 4.5])

    assert to_shares(ratings) == pytest.approx([0, 1, 1, 0.25, 0.5, 1, 0, 0.875])
    assert to_shares(np.array([1.0] * 8)).tolist() == [0.0] * len(ATTRIBUTES)
