"""Annotated nodules of real CT as positives of the training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.models.centre_detector import CentreDetector, CentreDetectorConfig
from inference.training.annotated import kept_out, real_nodules
from inference.training.backgrounds import (
    LESION_GAP_MM,
    AnnotatedPlace,
    Background,
    KnownLesion,
    prepare_background,
)
from inference.training.loop import TrainingConfig, mine, train_detector
from inference.training.patches import PatchMaker
from inference.training.shelf import BackgroundShelf, is_stored, open_background, store_background
from inference.training.targets import make_targets
from inference.volume import Volume
from tests.unit.inference.lung_box import SPACING_MM, ball, lung_box

NODULE = (40.0, 30.0, 30.0)
DIAMETER = 10.0
"""Voxels."""
SMALL = CentreDetectorConfig(widths=(6, 10, 12, 12), blocks=(1, 1, 1))


def annotated_box(name: str = "box") -> Background:
    """The box with one bright, annotated ball."""
    box = lung_box(name=name)
    hu = box.volume.hu.copy()
    grid = np.indices(hu.shape)
    inside = ((grid - np.reshape(NODULE, (3, 1, 1, 1))) ** 2).sum(axis=0) < (DIAMETER / 2) ** 2
    hu[inside] = 40
    return replace(
        box,
        volume=Volume(hu=hu, affine=box.volume.affine),
        nodules_kji=np.array([[*NODULE, DIAMETER]]),
    )


def test_patches_lie_around_annotated_nodules_which_count() -> None:
    maker = PatchMaker(shapes=(), backgrounds=[annotated_box()], spacing_mm=SPACING_MM, size=32)

    patches = [maker.make(number) for number in range(40)]

    around = [patch for patch in patches if patch.nodules]
    assert 12 <= len(around) < 40
    for patch in around:
        (nodule,) = patch.nodules
        assert nodule.counts
        assert 0.8 < nodule.diameter_mm / (DIAMETER * SPACING_MM) < 1.25  # patches are scaled
        k, j, i = (round(value) for value in nodule.centre_kji)
        assert patch.hu[k, j, i] > -350
        assert (make_targets(patch, spacing_mm=SPACING_MM)[0] == 1).sum() == 1


def test_simulated_nodules_keep_away_from_annotated_ones() -> None:
    maker = PatchMaker(
        shapes=[ball(6), ball(9)], backgrounds=[annotated_box()], spacing_mm=SPACING_MM, size=48
    )
    both = 0
    for number in range(60):
        nodules = maker.make(number).nodules
        real = [item for item in nodules if item.site == "annotated"]
        for item in (item for item in nodules if item.site != "annotated"):
            for other in real:
                both += 1
                apart = np.linalg.norm(np.subtract(item.centre_kji, other.centre_kji)) * SPACING_MM
                assert apart > 0.5 * (item.diameter_mm + other.diameter_mm)

    assert both > 5


def test_a_background_without_annotated_nodules_gives_the_patches_it_always_gave() -> None:
    """Nothing more is drawn from the random numbers: old trainings stay what they were."""
    maker = PatchMaker(shapes=[ball(8)], backgrounds=[lung_box()], spacing_mm=SPACING_MM, size=32)
    marked = PatchMaker(
        shapes=[ball(8)],
        backgrounds=[replace(lung_box(), nodules_kji=np.zeros((0, 4)))],
        spacing_mm=SPACING_MM,
        size=32,
    )

    assert np.array_equal(maker.make(7).hu, marked.make(7).hu)
    assert all(item.site != "annotated" for item in maker.make(7).nodules)


def test_a_nodule_at_the_edge_of_a_patch_is_ignored_and_one_far_away_is_not_there() -> None:
    background = annotated_box()

    def seen(offset: float) -> tuple[int, int]:
        placed, beyond = real_nodules(
            background,
            lambda index: index - np.array(NODULE) + np.array([10.0, 10.0, offset]),
            1.0,
            size=32,
            spacing_mm=SPACING_MM,
        )
        return len(placed), len(beyond)

    assert seen(10.0) == (1, 0)
    assert seen(-2.0) == (0, 1)
    assert seen(34.0) == (0, 1)
    assert seen(50.0) == (0, 0)


def test_mining_leaves_annotated_nodules_alone_and_keeps_what_is_known_to_be_none() -> None:
    torch.manual_seed(0)
    negative = np.array([[10.0, 50.0, 50.0]])
    background = replace(annotated_box(), negatives_kji=negative)
    maker = PatchMaker(shapes=(), backgrounds=[background], spacing_mm=SPACING_MM)
    assert maker.mistakes["box"].tolist() == negative.tolist()
    model = CentreDetector(SMALL)
    with torch.no_grad():
        model.head.bias[0] = 3.0  # sees nodules everywhere

    mine(model, maker)

    found = maker.mistakes["box"]
    assert len(found) > 10
    assert found[-1].tolist() == negative[0].tolist()
    for place in kept_out(background, SPACING_MM):
        assert np.linalg.norm(found - place[:3], axis=1).min() > place[3] - 1


def test_patches_need_shapes_or_annotated_nodules() -> None:
    with pytest.raises(ValueError, match="annotated nodule"):
        PatchMaker(shapes=(), backgrounds=[lung_box()], spacing_mm=SPACING_MM)


def test_training_on_annotated_nodules_alone_learns_them(tmp_path: Path) -> None:
    lines: list[dict[str, float]] = []

    train_detector(
        (),
        [annotated_box()],
        TrainingConfig(
            seed=2, steps=40, batch_size=2, patch_size=32, warm_up=4, log_every=10, mine_at=()
        ),
        checkpoint=tmp_path / "checkpoint.pt",
        model_config=SMALL,
        progress=lines.append,
    )

    assert lines[-1]["loss"] < 0.6 * lines[0]["loss"]


def test_a_shelf_gives_the_same_patches_as_memory(tmp_path: Path) -> None:
    boxes = [annotated_box(f"box {number}") for number in range(3)]
    for number, box in enumerate(boxes[1:]):
        store_background(box, tmp_path / str(number))
    shelf = BackgroundShelf(boxes[:1], [tmp_path / "0", tmp_path / "1"])

    assert [item.name for item in shelf] == ["box 0", "box 1", "box 2"]
    assert shelf[-1].name == "box 2"
    assert isinstance(open_background(tmp_path / "0").volume.hu, np.memmap)
    makers = [
        PatchMaker(shapes=[ball(8)], backgrounds=source, spacing_mm=SPACING_MM, size=32)
        for source in (boxes, shelf)
    ]
    for number in range(4):
        one, other = (maker.make(number) for maker in makers)
        assert np.array_equal(one.hu, other.hu)
        assert one.nodules == other.nodules
    with pytest.raises(IndexError):
        shelf[3]


def test_a_background_half_written_is_none(tmp_path: Path) -> None:
    store_background(annotated_box(), tmp_path / "a")
    (tmp_path / "a" / "background.json").unlink()

    assert not is_stored(tmp_path / "a")


def test_preparing_keeps_places_away_from_annotated_nodules_and_lesions(phantom: object) -> None:
    volume = phantom.volume  # type: ignore[attr-defined]
    truths = phantom.truth["nodules"]  # type: ignore[attr-defined]
    centre = tuple(truths[0]["centre_lps_mm"])
    other = tuple(truths[1]["centre_lps_mm"])

    background = prepare_background(
        "phantom",
        volume,
        spacing_mm=2.5,
        lesions=[KnownLesion(centre_lps_mm=other, radius_mm=12.0)],
        nodules=[AnnotatedPlace(centre_lps_mm=centre, diameter_mm=14.0)],
        negatives_lps_mm=np.array([other]),
    )

    grid = background.volume
    assert grid.index_to_lps(background.nodules_kji[0, :3]) == pytest.approx(centre)
    assert background.nodules_kji[0, 3] == pytest.approx(14.0 / 2.5)
    assert grid.index_to_lps(background.negatives_kji[0]) == pytest.approx(other)
    apart = np.linalg.norm(background.places - background.nodules_kji[0, :3], axis=1) * 2.5
    assert apart.min() > 7.0 + LESION_GAP_MM
    assert len(background.lesions_kji) == 1
