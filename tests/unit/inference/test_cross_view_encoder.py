"""The cross-view encoder: its shapes, its two views, its training, and describing a nodule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from inference.attributes import ATTRIBUTES
from inference.backend import TorchBackend
from inference.deep_features import (
    Encoder,
    Standard,
    describe,
    standard_of,
    to_grade_shares,
    to_image,
)
from inference.engines import AGREES_WITHIN, make_backend
from inference.evaluation.encoder import auc, macro_auc, weighted_kappa
from inference.findings import VoiMask
from inference.models.cross_view_encoder import (
    INPUTS,
    NUMBERS,
    PRESENT,
    CrossViewConfig,
    CrossViewEncoder,
)
from inference.models.voi_network import VoiNetworkConfig
from inference.radiomics.table import ROI_TABLE
from inference.training.encoder_loop import EncoderData, run_encoder, train_encoder
from inference.training.encoder_losses import fit_implied
from inference.training.rendered_set import SetPlan, make_set, open_set
from inference.training.run import Schedule
from inference.training.voi_backgrounds import to_voi_background
from inference.volume import Volume
from tests.unit.inference.lung_box import lung_box
from tests.unit.inference.rated_tables import rated

SIDE = 32
SMALL = CrossViewConfig(
    side=SIDE, radiomics=ROI_TABLE.names[:6], widths=(8, 16, 32), layers=1, features=12
)


def network(seed: int = 0) -> CrossViewEncoder:
    torch.manual_seed(seed)
    return CrossViewEncoder(SMALL).eval()


def cube(radiomics: np.ndarray | None) -> torch.Tensor:
    grid = np.indices((48, 48, 48)) - 23.5
    mask = (grid**2).sum(axis=0) < 64
    hu = np.where(mask, 20.0, -850.0)
    image = to_image(
        hu, mask, spacing_mm=0.65, slice_spacing_mm=1.0, radiomics=radiomics, config=SMALL
    )
    return torch.from_numpy(image[None])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> EncoderData:
    """A dozen rendered balls; radiomics are as good as any numbers."""
    coarse = lung_box()
    folder = tmp_path_factory.mktemp("set")
    nodules = [rated(9.0), rated(12.0, texture=1.0), rated(15.0, calcification=3.0)]
    make_set(
        nodules,
        [to_voi_background(coarse, coarse.volume)],
        SetPlan(seed=1, by_everyone=1, by_each_reader=1),
        folder,
        config=VoiNetworkConfig(),
        told=lambda _: None,
    )
    rows = open_set([folder])
    random = np.random.default_rng(0)
    return EncoderData(
        rows=rows,
        roi=random.normal(size=(len(rows), 6)).astype(np.float32),
        diameter_mm=np.full(len(rows), 10.0, dtype=np.float32),
    )


def trained(data: EncoderData, folder: Path, *, stop: int | None = None) -> CrossViewEncoder:
    return train_encoder(
        data,
        np.arange(len(data.rows)),
        Schedule(seed=4, steps=4, batch_size=3, warm_up=2),
        checkpoint=folder / "checkpoint.pt",
        model_config=SMALL,
        progress=lambda _: None,
        stop_at_step=stop,
    )


def test_every_head_answers_in_its_shape_and_range() -> None:
    with torch.inference_mode():
        features, grade, rating, attributes, calcified, implied = network()(
            cube(np.zeros(6, dtype=np.float32)).repeat(2, 1, 1, 1, 1)
        )

    assert features.shape == (2, 12)
    assert grade.shape == (2, 3)
    assert rating.shape == calcified.shape == implied.shape == (2, 1)
    assert attributes.shape == (2, len(ATTRIBUTES))
    assert features.abs().max() <= 1
    assert 1 <= rating.min() <= rating.max() <= 5
    assert attributes.min() >= 1


def test_a_feature_too_short_for_its_tasks_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 10"):
        CrossViewEncoder(CrossViewConfig(features=8))


def test_the_shipped_size_of_the_network_is_about_a_million_parameters() -> None:
    count = sum(item.numel() for item in CrossViewEncoder(CrossViewConfig()).parameters())

    assert 0.5e6 < count < 1.5e6


def test_radiomics_that_are_absent_change_nothing() -> None:
    absent = cube(None)
    other = absent.clone()
    other[:, NUMBERS].reshape(-1)[PRESENT + 1 : PRESENT + 7] = 3.0

    with torch.inference_mode():
        first, second = network()(absent), network()(other)
        third = network()(cube(np.full(6, 3.0, dtype=np.float32)))

    assert torch.equal(first[0], second[0])
    assert not torch.allclose(first[0], third[0])


def test_a_nodules_answer_does_not_depend_on_its_batch() -> None:
    model, image = network(), cube(np.ones(6, dtype=np.float32))

    with torch.inference_mode():
        alone = model(image)[0]
        among = model(torch.cat([image, torch.randn_like(image), image]))[0]

    # Other sums of the same numbers: float32 rounding.
    assert torch.allclose(alone[0], among[2], atol=1e-5)


def test_the_size_is_seen_though_the_voxels_are_the_same() -> None:
    small, large = cube(None), cube(None)
    large[:, NUMBERS].reshape(-1)[:3] += 0.7

    with torch.inference_mode():
        assert not torch.allclose(network()(small)[0], network()(large)[0], atol=1e-4)


def test_every_engine_gives_torchs_answers() -> None:
    model = network()
    image = cube(np.ones(6, dtype=np.float32)).numpy()

    found = make_backend(model, (1, INPUTS, SIDE, SIDE, SIDE)).run_all(image)

    for right, answer in zip(TorchBackend(model).run_all(image), found, strict=True):
        assert np.abs(right - answer).max() <= AGREES_WITHIN * max(1.0, np.abs(right).max())


def test_same_seed_same_weights_also_after_an_interruption(
    data: EncoderData, tmp_path: Path
) -> None:
    for name in ("straight", "interrupted"):
        (tmp_path / name).mkdir()
    straight = trained(data, tmp_path / "straight").state_dict()
    trained(data, tmp_path / "interrupted", stop=2)
    again = trained(data, tmp_path / "interrupted").state_dict()

    assert all(torch.equal(straight[name], again[name]) for name in straight)


def test_training_fits_the_standard_and_the_implied_rating(
    data: EncoderData, tmp_path: Path
) -> None:
    model = trained(data, tmp_path)

    assert standard_of(model).mean == pytest.approx(Standard.fit(data.roi).mean)
    assert model.implied_weight.abs().max() > 0
    answers = run_encoder(model, data, np.arange(5), at_once=2)
    assert [len(item) for item in answers] == [5] * 6


def test_the_implied_rating_finds_a_known_rule() -> None:
    random = np.random.default_rng(0)
    attributes = random.uniform(1, 4, (400, 8))
    size = random.normal(size=400)
    rating = 1.0 + 0.5 * attributes[:, 6] + 0.3 * size

    weight = fit_implied(attributes, size, rating)

    model = network()
    model.implied_weight.copy_(weight)
    told = model.implied_rating(
        torch.from_numpy(attributes.astype(np.float32)), torch.from_numpy(size.astype(np.float32))
    )
    # The ridge pulls a little towards zero.
    assert told[:, 0].numpy() == pytest.approx(rating, abs=0.15)


def test_a_network_begins_where_a_regression_ends() -> None:
    model = network()
    weight = torch.zeros(10, 6 + 4)
    weight[0, 2] = 1.0  # the rating rises with the third radiomic
    weight[8, 4] = -1.0  # texture falls with the fifth
    model.begin_with(weight, torch.full((10,), 0.5), torch.full((10,), 0.2))
    rows = np.zeros((3, 6), dtype=np.float32)
    rows[1, 2], rows[2, 4] = 1.5, 1.5

    with torch.inference_mode():
        plain, suspicious, faint = (model(cube(row)) for row in rows)

    # A deviation and a half of 0.2 on a scale of 4 is 1.2, less what the two curves bend.
    assert float(suspicious[2] - plain[2]) == pytest.approx(1.2, abs=0.35)
    assert float(faint[3][0, 7] - plain[3][0, 7]) == pytest.approx(-1.2, abs=0.35)
    assert torch.all(suspicious[1] > plain[1])


def test_unknown_radiomics_are_taken_as_the_mean() -> None:
    rows = np.array([[1.0, np.nan], [3.0, 5.0], [np.nan, 7.0]])

    standard = Standard.fit(rows)

    assert standard.apply(np.array([np.nan, np.nan])).tolist() == [0.0, 0.0]
    assert np.isfinite(standard.apply(rows)).all()


def test_shares_of_the_grades_sum_to_one_even_when_the_logits_cross() -> None:
    shares = to_grade_shares(np.array([[0.0, 2.0, -1.0], [3.0, 1.0, -5.0]]))

    assert shares.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert shares.min() >= 0
    assert shares[0, 1] == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("radius_voxels", "slice_mm", "said"),
    [(6, 1.0, []), (6, 6.0, ["slice spacing"]), (26, 1.0, ["diameter"])],
)
def test_what_lies_beyond_training_is_said(
    radius_voxels: int, slice_mm: float, said: list[str]
) -> None:
    grid = np.indices((60, 60, 60)) - 29.5
    mask = (grid**2).sum(axis=0) < radius_voxels**2
    volume = Volume(
        hu=np.where(mask, 30, -850).astype(np.int16), affine=np.diag([slice_mm, 0.8, 0.8, 1.0])
    )
    encoder = Encoder(
        backend=TorchBackend(network()),
        config=SMALL,
        standard=standard_of(network()),
        version="test",
        weights={},
    )

    described = describe(volume, VoiMask(origin_kji=(0, 0, 0), mask=mask), encoder)

    assert [line.partition(" ")[0] for line in described.beyond_training] == [
        line.partition(" ")[0] for line in said
    ]
    assert tuple(described.attributes) == ATTRIBUTES
    assert described.features.shape == (12,)
    assert described.grades.sum() == pytest.approx(1.0)
    again = describe(volume, VoiMask(origin_kji=(0, 0, 0), mask=mask), encoder)
    assert np.array_equal(described.features, again.features)


def test_area_and_kappa_are_those_worked_out_by_hand() -> None:
    assert auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True])) == 0.875
    assert auc(np.array([0.1, 0.4]), np.array([True, True])) is None
    grades = np.array([0, 1, 2, 3])
    assert weighted_kappa(grades, grades) == pytest.approx(1.0)
    assert weighted_kappa(grades[::-1].copy(), grades) == pytest.approx(-1.0)
    assert macro_auc(np.eye(4), grades) == pytest.approx(1.0)
