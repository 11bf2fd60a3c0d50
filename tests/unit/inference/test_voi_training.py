from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference.backend import TorchBackend
from inference.models.centre_detector import CentreDetector, CentreDetectorConfig
from inference.models.voi_network import MASK, NODULE, TYPES, VoiNetwork, VoiNetworkConfig
from inference.training.run import Schedule
from inference.training.voi_backgrounds import VoiBackground, mine_candidates, to_voi_background
from inference.training.voi_loop import to_batch, train_segmenter
from inference.training.voi_losses import UNKNOWN_TYPE, VoiTargets, voi_loss
from inference.training.voi_samples import SampleMaker
from tests.unit.inference.lung_box import ball, lung_box

SMALL = VoiNetworkConfig(side=24, widths=(8, 10, 12), least_spacing_mm=1.0, most_spacing_mm=1.6)
QUICK = Schedule(seed=4, steps=24, batch_size=4, warm_up=4, log_every=4)


def background() -> VoiBackground:
    coarse = lung_box()
    return to_voi_background(coarse, coarse.volume)


def train(
    path: Path, stop: int | None = None, config: Schedule = QUICK
) -> tuple[VoiNetwork, list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    model = train_segmenter(
        [ball(7), ball(12)],
        [background()],
        config,
        checkpoint=path,
        model_config=SMALL,
        progress=lines.append,
        stop_at_step=stop,
    )
    return model, lines


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[VoiNetwork, list[Any]]:
    return train(tmp_path_factory.mktemp("training") / "checkpoint.pt")


def test_the_network_is_as_small_as_it_claims() -> None:
    count = sum(parameter.numel() for parameter in VoiNetwork().parameters())

    assert 0.5e6 < count < 1.0e6


def test_there_are_two_outlines_and_a_judgement_for_each_cube() -> None:
    masks, judged = VoiNetwork(SMALL).eval()(torch.randn(2, 4, 24, 24, 24))

    assert masks.shape == (2, 2, 24, 24, 24)
    assert judged.shape == (2, 1 + len(TYPES))


def test_the_voxels_that_go_in_as_channels_come_out_where_they_were() -> None:
    from inference.models.voi_network import _channels_to_voxels, _voxels_to_channels

    image = torch.randn(2, 3, 8, 6, 4)

    assert torch.equal(_channels_to_voxels(_voxels_to_channels(image)), image)


def test_a_configuration_survives_json() -> None:
    import json

    assert VoiNetworkConfig.from_dict(json.loads(json.dumps(SMALL.to_dict()))) == SMALL


def ideal(target: VoiTargets, strength: float = 12.0) -> tuple[torch.Tensor, torch.Tensor]:
    masks = torch.where(target.masks >= 0.5, strength, -strength)
    judged = torch.full((len(target.nodule), 5), -strength)
    judged[:, 0] = torch.where(target.nodule > 0.5, strength, -strength)
    for row, kind in enumerate(target.kind.tolist()):
        if kind != UNKNOWN_TYPE:
            judged[row, 1 + kind] = strength
    return masks, judged


def targets() -> VoiTargets:
    masks = torch.zeros(2, 2, 16, 16, 16)
    masks[0, :, 4:9, 4:9, 4:9] = 1.0
    return VoiTargets(
        masks=masks, nodule=torch.tensor([1.0, 0.0]), kind=torch.tensor([2, UNKNOWN_TYPE])
    )


def test_the_loss_is_lowest_for_the_right_answer() -> None:
    target = targets()
    masks, judged = ideal(target)
    smaller = masks.clone()
    smaller[0, 0, 4] = -12.0
    unsure = judged.clone()
    unsure[1, 0] = 12.0
    mistyped = judged.clone()
    mistyped[0, 1:] = torch.tensor([12.0, -12.0, -12.0, -12.0])

    right = float(voi_loss(masks, judged, target).total)

    assert right < 0.01
    assert float(voi_loss(smaller, judged, target).total) > 0.05
    assert float(voi_loss(masks, unsure, target).total) > 1.0
    assert float(voi_loss(masks, mistyped, target).total) > 1.0


def test_where_there_is_no_nodule_the_outline_counts_for_nothing() -> None:
    target = targets()
    masks, judged = ideal(target)
    other = masks.clone()
    other[1] = 12.0

    assert float(voi_loss(other, judged, target).total) == pytest.approx(
        float(voi_loss(masks, judged, target).total)
    )


def test_the_loss_falls(trained: tuple[VoiNetwork, list[Any]]) -> None:
    losses = [line["loss"] for line in trained[1]]

    assert len(losses) == QUICK.steps // QUICK.log_every  # type: ignore[operator]
    assert losses[-1] < 0.8 * losses[0]


def test_a_training_taken_up_again_ends_with_the_same_weights(
    trained: tuple[VoiNetwork, list[Any]], tmp_path: Path
) -> None:
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
        train(path, config=Schedule(seed=5, steps=24, batch_size=4))


def test_minutes_become_a_number_of_steps(tmp_path: Path) -> None:
    config = Schedule(minutes=0.0001, batch_size=1, log_every=1)

    _, lines = train(tmp_path / "checkpoint.pt", config=config)

    assert lines[-1]["step"] == lines[-1]["steps"] == 15


def test_either_steps_or_minutes_must_be_given() -> None:
    with pytest.raises(ValueError, match="either steps or minutes"):
        Schedule()


def test_a_network_learns_a_few_cubes_by_heart() -> None:
    torch.manual_seed(0)
    maker = SampleMaker(
        shapes=[ball(7), ball(12)], backgrounds=[background()], config=SMALL, seed=2
    )
    samples = [maker.make(number) for number in range(8)]
    images, target = to_batch(samples, SMALL)
    model = VoiNetwork(SMALL)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(70):
        optimiser.zero_grad()
        masks, judged = model(images)
        loss = voi_loss(masks, judged, target)
        loss.total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    masks, judged = TorchBackend(model).run_all(images.numpy())

    nodule = np.array([sample.nodule for sample in samples])
    assert 0 < nodule.sum() < len(samples)
    assert ((judged[:, NODULE] > 0) == nodule).mean() >= 0.85
    for one, sample in zip(masks, samples, strict=True):
        if sample.nodule and sample.diameter_mm > 6:
            found, truth = one[MASK] > 0, sample.mask >= 0.5
            assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.7


def test_a_detectors_mistakes_are_collected_away_from_known_lesions() -> None:
    torch.manual_seed(0)
    config = CentreDetectorConfig(widths=(6, 10, 12, 12), blocks=(1, 1, 1))
    model = CentreDetector(config)
    with torch.no_grad():
        model.head.bias[0] = 3.0  # sees nodules everywhere

    found = mine_candidates(background(), TorchBackend(model), config)

    index = found.coarse.volume.lps_to_index(found.mistakes[:, :3])
    lesion = found.coarse.lesions_kji[0]
    assert len(index) > 10
    assert np.linalg.norm(index - lesion[:3], axis=1).min() > lesion[3]
    assert (found.mistakes[:, 4] >= 0.05).all()
