from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inference.backend import TorchBackend
from inference.errors import OutOfMemory
from inference.lungs import LungMask
from inference.models.retina_net import STRIDES, RetinaNet, RetinaNetConfig
from inference.retina_boxes import make_anchors
from inference.retina_detection import (
    SPACING_MM,
    RetinaDetector,
    find_boxes,
    to_ras_grid,
)
from inference.volume import Volume
from tests.unit.inference.monai_reference import reference, reference_network

CENTRE = np.array([12.0, -8.0, 20.0])
"""LPS mm of the one bright ball."""
RADIUS_MM = 6.0
FRAMES = {
    "axial, upwards": np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]),
    "axial, downwards": np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]),
    "axial, mirrored": np.array([[0, 0, -1], [0, -1, 0], [1, 0, 0]]),
    "coronal": np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]]),
    "sagittal": np.array([[1, 0, 0], [0, 1, 0], [0, 0, -1]]),
}
"""LPS of the k, j, i axes as columns."""


def ball_volume(directions: NDArray[Any], spacing_mm: tuple[float, float, float]) -> Volume:
    """Air with one dense ball at `CENTRE`, on a grid around the origin."""
    shape = tuple(int(90 / step) for step in spacing_mm)
    affine = np.eye(4)
    affine[:3, :3] = directions * np.array(spacing_mm)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    inside = np.linalg.norm(points - CENTRE, axis=-1) < RADIUS_MM
    return Volume(hu=np.where(inside, 40, -860).astype(np.int16), affine=affine)


def whole_lungs(volume: Volume) -> LungMask:
    """All of the volume is search region."""
    return LungMask(
        lungs=np.ones(volume.shape, dtype=np.uint8),
        unaerated=np.zeros(volume.shape, dtype=np.uint8),
        search=np.ones(volume.shape, dtype=bool),
        affine=volume.affine,
        right_ml=None,
        left_ml=None,
        total_ml=1.0,
        unaerated_ml=0.0,
        coverage="full",
    )


class BrightAnchors:
    """Answers like the network: sure of the anchors of the finest level on bright voxels."""

    device, engine, spare = "cpu", "made by hand", None

    def run_all(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        return (self.run(images),)

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        image = images[0, 0]
        self.sizes.append(image.shape)
        assert 0 <= image.min() <= image.max() <= 1
        grids = [[n // s for n, s in zip(image.shape, step, strict=True)] for step in STRIDES]
        levels = make_anchors(image.shape, grids)
        answer = np.zeros((sum(map(len, levels)), 7), dtype=np.float32)
        answer[:, 0] = -9.0
        middles = (levels[0][:, :3] + levels[0][:, 3:]) / 2
        x, y, z = middles.astype(int).T
        bright = image[x, y, z] > 0.7
        answer[: len(bright), 0] = np.where(bright, 2.0, -9.0)
        if bright.any():
            # Codes that move every such anchor onto the mean of the bright voxels.
            target = np.argwhere(image > 0.7).mean(axis=0)
            size = (levels[0][:, 3:] - levels[0][:, :3])[bright]
            answer[: len(bright), 1:4][bright] = (target - middles[bright]) / size
        return answer[None]


@pytest.mark.parametrize("name", FRAMES)
def test_a_place_comes_back_whatever_the_volumes_axes_are(name: str) -> None:
    volume = ball_volume(FRAMES[name], (2.0, 0.9, 0.8))
    detector = RetinaDetector(BrightAnchors(), version="1", weights={})

    candidates = detector.find_candidates(volume, whole_lungs(volume))

    assert len(candidates) == 1
    assert np.linalg.norm(np.subtract(candidates[0].centre_lps_mm, CENTRE)) < 1.0
    assert candidates[0].probability == pytest.approx(1 / (1 + np.exp(-2.0)))


@pytest.mark.parametrize("name", FRAMES)
def test_the_network_sees_right_front_head_at_its_spacing(name: str) -> None:
    volume = ball_volume(FRAMES[name], (2.0, 0.9, 0.8))

    image, affine = to_ras_grid(volume, whole_lungs(volume))

    assert affine[:3, :3] == pytest.approx(np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2]]))
    seen = np.argwhere(image > 0.7).mean(axis=0)
    assert affine[:3, :3] @ seen + affine[:3, 3] == pytest.approx(CENTRE, abs=0.6)
    # -860 HU of -1024 to 300.
    assert np.median(image) == pytest.approx((-860 + 1024) / 1324, abs=1e-6)


def test_densities_are_cut_at_both_ends() -> None:
    volume = ball_volume(FRAMES["axial, upwards"], (2.0, 2.0, 2.0))
    hu = volume.hu.copy()
    hu[:20] = -3000
    hu[-20:] = 3000

    image, _ = to_ras_grid(Volume(hu=hu, affine=volume.affine), whole_lungs(volume))

    assert (image.min(), image.max()) == (0.0, 1.0)


def test_the_size_of_a_box_becomes_a_diameter_in_mm() -> None:
    class OneBox(BrightAnchors):
        def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
            answer = super().run(images)
            answer[0, :, 1:4] = 0
            answer[0, np.argsort(-answer[0, :, 0])[1:], 0] = -9.0
            return answer

    volume = ball_volume(FRAMES["axial, upwards"], (2.0, 0.9, 0.8))

    (found,) = RetinaDetector(OneBox(), version="1", weights={}).find_candidates(
        volume, whole_lungs(volume)
    )

    # The anchor of 6 x 8 x 4 voxels, or one of the other two.
    sizes = [np.array(shape) * SPACING_MM for shape in ((6, 8, 4), (8, 6, 4), (10, 10, 6))]
    assert any(found.diameter_mm == pytest.approx(np.cbrt(np.prod(size))) for size in sizes)


def test_what_lies_outside_of_the_search_region_is_dropped() -> None:
    volume = ball_volume(FRAMES["axial, upwards"], (2.0, 0.9, 0.8))
    lungs = whole_lungs(volume)
    x = volume.index_to_lps(np.stack(np.indices(volume.shape), axis=-1))[..., 0]
    far = LungMask(
        lungs=lungs.lungs,
        unaerated=lungs.unaerated,
        search=x < CENTRE[0] - 10,
        affine=lungs.affine,
        right_ml=None,
        left_ml=None,
        total_ml=1.0,
        unaerated_ml=0.0,
        coverage="full",
    )

    found = RetinaDetector(BrightAnchors(), version="1", weights={}).find_candidates(volume, far)

    assert found == ()


def test_tiles_see_the_whole_image_and_say_nothing_twice() -> None:
    image = np.full((128, 96, 72), 0.1, dtype=np.float32)
    places = [(20, 20, 10), (61, 47, 36), (100, 70, 60)]
    for x, y, z in places:
        image[x - 3 : x + 4, y - 3 : y + 4, z - 2 : z + 3] = 0.9
    backend = BrightAnchors()

    class NoMoves(BrightAnchors):
        def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
            backend.sizes.append(images.shape[2:])
            answer = super().run(images)
            answer[:, :, 1:] = 0
            return answer

    boxes, _ = find_boxes(NoMoves(), image, tile=(64, 64, 40))

    assert len(backend.sizes) == 3 * 2 * 3
    assert set(backend.sizes) == {(64, 64, 40)}
    middles = (boxes[:, :3] + boxes[:, 3:]) / 2
    for place in places:
        assert (np.linalg.norm(middles - place, axis=1) < 8).any()
    whole, _ = find_boxes(NoMoves(), image, tile=(128, 96, 72))
    assert {tuple(row) for row in boxes} == {tuple(row) for row in whole}


def test_an_image_smaller_than_a_tile_is_padded_as_the_network_needs() -> None:
    backend = BrightAnchors()

    boxes, scores = find_boxes(backend, np.full((37, 20, 11), 0.1, dtype=np.float32))

    assert backend.sizes == [(48, 32, 16)]
    assert (len(boxes), len(scores)) == (0, 0)


def test_the_spare_takes_over_where_memory_does_not_suffice() -> None:
    class Small(BrightAnchors):
        device, spare = "cuda:0", BrightAnchors()

        def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
            raise OutOfMemory(self.device, f"images of {images.shape}")

    class Alone(Small):
        spare = None

    volume = ball_volume(FRAMES["axial, upwards"], (2.0, 2.0, 2.0))
    detector = RetinaDetector(Small(), version="1", weights={})

    assert len(detector.find_candidates(volume, whole_lungs(volume))) == 1
    assert detector.device == "cpu"
    with pytest.raises(OutOfMemory):
        RetinaDetector(Alone(), version="1", weights={}).find_candidates(
            volume, whole_lungs(volume)
        )


def test_a_tile_that_the_network_cannot_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="divisible"):
        RetinaDetector(BrightAnchors(), version="1", weights={}, tile=(100, 96, 40))


def test_rows_of_the_network_are_in_the_order_of_the_anchors() -> None:
    """A bias that differs between anchors and codes shows where each channel goes."""
    network = RetinaNet(RetinaNetConfig(blocks=(1, 1), stem_channels=8, pyramid_channels=8)).eval()
    with torch.no_grad():
        network.classification_head.cls_logits.weight.zero_()
        network.classification_head.cls_logits.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
        network.regression_head.bbox_reg.weight.zero_()
        network.regression_head.bbox_reg.bias.copy_(torch.arange(18.0))
        answer = network(torch.zeros(1, 1, 32, 16, 16))[0]

    levels = make_anchors((32, 16, 16), [(8, 4, 8), (4, 2, 4), (2, 1, 2)])
    assert len(answer) == sum(map(len, levels))
    assert answer[:6, 0].tolist() == [1, 2, 3, 1, 2, 3]
    assert answer[1, 1:].tolist() == [6, 7, 8, 9, 10, 11]


def test_the_network_is_monais_own_down_to_the_last_weight() -> None:
    theirs = reference_network()
    with torch.no_grad():
        for name, buffer in theirs.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5)
    ours = RetinaNet().eval()

    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    image = torch.rand(1, 1, 32, 48, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        answer, wanted = ours(image), theirs(image)
    first = 0
    for logits, codes in zip(wanted["classification"], wanted["box_regression"], strict=True):
        count = logits[0].numel()
        x, y, z = logits.shape[2:]
        rows = answer[0, first : first + count].reshape(x, y, z, 3, 7)
        first += count
        assert torch.allclose(rows[..., 0], logits[0].permute(1, 2, 3, 0), atol=1e-5)
        split = codes[0].reshape(3, 6, x, y, z).permute(2, 3, 4, 0, 1)
        assert torch.allclose(rows[..., 1:], split, atol=1e-5)


# MONAI's own padding, with a NumPy that is newer than it expects.
@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")
def test_boxes_are_those_of_monais_own_detector() -> None:
    """One tile, its own padding, anchors, decoding, selection and suppression."""
    theirs = reference_network()
    with torch.no_grad():  # sure of many places, so that there is something to compare
        theirs.classification_head.cls_logits.weight.normal_(
            std=0.04, generator=torch.Generator().manual_seed(2)
        )
        theirs.regression_head.bbox_reg.weight.normal_(
            std=0.01, generator=torch.Generator().manual_seed(3)
        )
    ours = RetinaNet().eval()
    ours.load_state_dict(theirs.state_dict())
    anchors = reference("apps.detection.utils.anchor_utils").AnchorGeneratorWithAnchorShape(
        feature_map_scales=[1, 2, 4], base_anchor_shapes=[[6, 8, 4], [8, 6, 5], [10, 10, 6]]
    )
    detector = reference("apps.detection.networks.retinanet_detector").RetinaNetDetector(
        network=theirs, anchor_generator=anchors, size_divisible=[16, 16, 8]
    )
    detector.set_target_keys(box_key="box", label_key="label")
    detector.set_box_selector_parameters(
        score_thresh=0.02, topk_candidates_per_level=1000, nms_thresh=0.22, detections_per_img=300
    )
    detector.eval()
    image = np.random.default_rng(5).random((45, 40, 20), dtype=np.float32)

    with torch.no_grad():
        wanted = detector([torch.from_numpy(image[None])])[0]
    boxes, scores = find_boxes(TorchBackend(ours), image)

    assert len(boxes) == len(wanted["box"]) > 5
    assert scores == pytest.approx(wanted["label_scores"].numpy(), abs=1e-4)
    # Boxes of nearly the same score may stand in another order.
    apart = np.abs(boxes[:, None] - wanted["box"].numpy()[None]).max(axis=2)
    assert sorted(apart.argmin(axis=1)) == list(range(len(boxes)))
    assert apart.min(axis=1).max() < 1e-2
