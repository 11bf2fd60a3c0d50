from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference.backend import TorchBackend
from inference.centre_detection import find_peaks
from inference.models.centre_detector import CentreDetector, CentreDetectorConfig
from inference.training.insertion import PlacedNodule
from inference.training.loop import TrainingConfig, mine, train_detector
from inference.training.losses import detector_loss
from inference.training.patches import Patch, PatchMaker
from inference.training.targets import make_targets
from tests.unit.inference.lung_box import SPACING_MM, ball, lung_box

SMALL = CentreDetectorConfig(widths=(6, 10, 12, 12), blocks=(1, 1, 1))
QUICK = TrainingConfig(
    seed=4, steps=24, batch_size=2, patch_size=32, warm_up=4, mine_at=(0.5,), log_every=4
)


def nodule(centre: tuple[float, float, float], diameter_mm: float, counts: bool = True) -> Any:
    return PlacedNodule(
        centre_kji=centre, diameter_mm=diameter_mm, kind="solid", site="isolated", counts=counts
    )


def patch_with(*nodules: PlacedNodule, ignored: tuple[float, ...] | None = None) -> Patch:
    lesions = np.array([ignored]) if ignored else np.zeros((0, 4))
    hu = np.full((32, 32, 32), -860.0, dtype=np.float32)
    return Patch(hu=hu, nodules=nodules, ignored_kji=lesions)


def train(path: Path, stop: int | None = None) -> tuple[CentreDetector, list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    model = train_detector(
        [ball(7), ball(12)],
        [lung_box()],
        QUICK,
        checkpoint=path,
        model_config=SMALL,
        progress=lines.append,
        stop_at_step=stop,
    )
    return model, lines


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[CentreDetector, list[Any]]:
    return train(tmp_path_factory.mktemp("training") / "checkpoint.pt")


def test_the_network_is_as_small_as_it_claims() -> None:
    count = sum(parameter.numel() for parameter in CentreDetector().parameters())

    assert 0.7e6 < count < 1.5e6


def test_a_cell_answers_for_four_voxels_a_side() -> None:
    answer = CentreDetector(SMALL).eval()(torch.zeros(1, 1, 32, 48, 64))

    assert answer.shape == (1, 5, 8, 12, 16)


def test_the_target_is_one_at_the_nodule_and_tells_its_place_and_size() -> None:
    targets = make_targets(patch_with(nodule((14.5, 9.0, 21.0), 12.0)), spacing_mm=SPACING_MM)

    k, j, i = (int(value) for value in np.argwhere(targets[0] == 1)[0])
    place = (np.array([k, j, i]) + targets[2:5, k, j, i]) * 4 + 1.5

    assert (targets[0] == 1).sum() == 1
    assert place == pytest.approx([14.5, 9.0, 21.0], abs=1e-5)
    assert 10 * np.exp(targets[1, k, j, i]) == pytest.approx(12.0, rel=1e-5)


def test_known_lesions_and_hidden_nodules_weigh_nothing() -> None:
    patch = patch_with(nodule((26.0, 26.0, 26.0), 8.0, counts=False), ignored=(6, 6, 6, 5))

    targets = make_targets(patch, spacing_mm=SPACING_MM)

    assert targets[5, 1, 1, 1] == 0
    assert targets[5, 6, 6, 6] == 0
    assert targets[5, 4, 1, 4] == 1
    assert not (targets[0] == 1).any()


def test_the_loss_is_lowest_for_the_right_answer_and_blind_where_the_weight_is_zero() -> None:
    patch = patch_with(nodule((14.5, 9.0, 21.0), 12.0), ignored=(26, 26, 26, 4))
    target = torch.from_numpy(make_targets(patch, spacing_mm=SPACING_MM)[None])
    right = torch.zeros(1, 5, 8, 8, 8)
    right[:, 0] = torch.where(target[:, 0] == 1, 8.0, -8.0)
    right[:, 1:] = target[:, 1:5]
    missed = right.clone()
    missed[:, 0] = -8.0
    false_alarm = right.clone()
    false_alarm[0, 0, 0, 7, 7] = 8.0
    at_the_lesion = right.clone()
    at_the_lesion[0, 0, 6, 6, 6] = 8.0

    loss = [float(detector_loss(item, target).total) for item in (right, missed, false_alarm)]

    assert loss[0] < 0.01 < loss[1]
    assert loss[0] < 0.01 < loss[2]
    assert float(detector_loss(at_the_lesion, target).total) == pytest.approx(loss[0])


def test_the_loss_falls(trained: tuple[CentreDetector, list[Any]]) -> None:
    losses = [line["loss"] for line in trained[1] if "loss" in line]

    assert len(losses) == QUICK.steps // QUICK.log_every  # type: ignore[operator]
    assert losses[-1] < 0.8 * losses[0]


def test_a_training_taken_up_again_ends_with_the_same_weights(
    trained: tuple[CentreDetector, list[Any]], tmp_path: Path
) -> None:
    """The stop lies before the step at which mistakes are collected, and one after it."""
    path = tmp_path / "checkpoint.pt"
    train(path, stop=9)
    train(path, stop=15)
    resumed, _ = train(path)

    for name, tensor in trained[0].state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    train(path, stop=1)

    with pytest.raises(ValueError, match="of another training"):
        train_detector(
            [ball(7)],
            [lung_box()],
            TrainingConfig(seed=5, steps=24, batch_size=2, patch_size=32),
            checkpoint=path,
            model_config=SMALL,
            progress=lambda _: None,
        )


def test_minutes_become_a_number_of_steps(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []

    train_detector(
        [ball(7)],
        [lung_box()],
        TrainingConfig(minutes=0.001, batch_size=1, patch_size=32, log_every=1),
        checkpoint=tmp_path / "checkpoint.pt",
        model_config=SMALL,
        progress=lines.append,
    )

    # So short a time ends with the steps by which the pace was taken.
    assert lines[-1]["step"] == lines[-1]["steps"] == 15


def test_either_steps_or_minutes_must_be_given() -> None:
    with pytest.raises(ValueError, match="either steps or minutes"):
        TrainingConfig()


def test_a_network_learns_one_patch_by_heart() -> None:
    torch.manual_seed(0)
    maker = PatchMaker(shapes=[ball(10)], backgrounds=[lung_box()], spacing_mm=SPACING_MM, size=32)
    patch = next(
        patch
        for patch in (maker.make(number) for number in range(50))
        if len(patch.nodules) == 1 and patch.nodules[0].counts and patch.nodules[0].kind == "solid"
    )
    model = CentreDetector(SMALL)
    low, high = SMALL.window_hu
    image = torch.from_numpy((np.clip(patch.hu, low, high) - low) * 2 / (high - low) - 1)
    target = torch.from_numpy(make_targets(patch, spacing_mm=SPACING_MM))[None]
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(120):
        optimiser.zero_grad()
        detector_loss(model(image[None, None].float()), target).total.backward()
        optimiser.step()

    peaks = find_peaks(TorchBackend(model), SMALL, patch.hu, np.ones(patch.hu.shape, dtype=bool))

    truth = patch.nodules[0]
    assert peaks[0, 4] > 0.7
    assert np.linalg.norm(peaks[0, :3] - truth.centre_kji) * SPACING_MM < 2.0
    assert peaks[0, 3] == pytest.approx(truth.diameter_mm, rel=0.25)
    assert len(peaks) == 1 or peaks[1, 4] < 0.3


def test_mining_leaves_known_lesions_alone() -> None:
    torch.manual_seed(0)
    background = lung_box()
    maker = PatchMaker(shapes=[ball(8)], backgrounds=[background], spacing_mm=SPACING_MM)
    model = CentreDetector(SMALL)
    with torch.no_grad():
        model.head.bias[0] = 3.0  # sees nodules everywhere

    mine(model, maker)

    lesion = background.lesions_kji[0]
    found = maker.mistakes["box"]
    assert len(found) > 10
    assert np.linalg.norm(found - lesion[:3], axis=1).min() > lesion[3] - 1
