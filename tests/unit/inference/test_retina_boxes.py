from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from inference.retina_boxes import clip_boxes, decode_boxes, make_anchors, overlap, suppress
from tests.unit.inference.monai_reference import reference

IMAGE, GRIDS = (32, 48, 16), [(8, 12, 8), (4, 6, 4), (2, 3, 2)]


def test_anchors_stand_at_half_a_stride_and_have_the_bundles_sizes() -> None:
    fine, middle, coarse = make_anchors(IMAGE, GRIDS)

    assert [len(level) for level in (fine, middle, coarse)] == [8 * 12 * 8 * 3, 288, 36]
    # Stride (4, 4, 2): the first place is (2, 2, 1). Shapes (6, 8, 4), (8, 6, 5), (10, 10, 6);
    # half of 5 is rounded to 2.
    assert fine[0].tolist() == [-1, -2, -1, 5, 6, 3]
    assert fine[1].tolist() == [-2, -1, -1, 6, 5, 3]
    assert fine[2].tolist() == [-3, -3, -2, 7, 7, 4]
    # The next place along z, then (after all of z) along y.
    assert fine[3].tolist() == [-1, -2, 1, 5, 6, 5]
    assert fine[3 * 8].tolist() == [-1, 2, -1, 5, 10, 3]
    # Strides (8, 8, 4) and (16, 16, 8), shapes twice and four times as large.
    assert middle[0].tolist() == [-2, -4, -2, 10, 12, 6]
    assert coarse[1].tolist() == [-8, -4, -6, 24, 20, 14]


def test_codes_move_by_size_and_stretch_by_the_exponential() -> None:
    anchors = np.array([[0.0, 0.0, 0.0, 10.0, 20.0, 4.0]] * 3)
    codes = np.array(
        [
            [0, 0, 0, 0, 0, 0],
            [0.5, -0.25, 1.0, math.log(2), 0, math.log(0.5)],
            [0, 0, 0, 100.0, 0, 0],
        ]
    )

    boxes = decode_boxes(codes, anchors)

    assert boxes[0].tolist() == [0, 0, 0, 10, 20, 4]
    # Centre (5, 10, 2) + (5, -5, 4) = (10, 5, 6); sizes 20, 20, 2.
    assert boxes[1] == pytest.approx([0, -5, 5, 20, 15, 7])
    assert boxes[2, 3] - boxes[2, 0] == pytest.approx(10 * 1000 / 16)  # cut


def test_boxes_are_cut_at_the_border_and_those_without_a_voxel_are_told() -> None:
    boxes, some = clip_boxes(
        np.array(
            [
                [-3.0, 2, 2, 5, 6, 7],
                [-9.0, 0, 0, -1, 4, 4],
                [30.0, 1, 1, 40, 4, 4],
                [9, 1, 1, 9.9, 4, 4],
            ]
        ),
        (32, 8, 8),
    )

    assert boxes[0].tolist() == [0, 2, 2, 5, 6, 7]
    assert boxes[2].tolist() == [30, 1, 1, 32, 4, 4]
    assert some.tolist() == [True, False, True, False]


def test_overlap_is_intersection_over_union() -> None:
    box = np.array([0.0, 0, 0, 4, 4, 4])
    others = np.array([[0.0, 0, 0, 4, 4, 4], [2, 0, 0, 6, 4, 4], [4, 0, 0, 8, 4, 4]])

    assert overlap(box, others) == pytest.approx([1.0, 32 / 96, 0.0])


def test_the_best_box_of_a_place_stays() -> None:
    boxes = np.array(
        [[0.0, 0, 0, 4, 4, 4], [1, 0, 0, 5, 4, 4], [9, 9, 9, 12, 12, 12], [3.5, 0, 0, 8, 4, 4]]
    )
    scores = np.array([0.5, 0.9, 0.2, 0.4])

    assert suppress(boxes, scores, overlap_at_most=0.22, boxes_at_most=9).tolist() == [1, 3, 2]
    assert suppress(boxes, scores, overlap_at_most=0.22, boxes_at_most=2).tolist() == [1, 3]


def test_anchors_are_those_of_monai() -> None:
    utils = reference("apps.detection.utils.anchor_utils")
    generator = utils.AnchorGeneratorWithAnchorShape(
        feature_map_scales=[1, 2, 4], base_anchor_shapes=[[6, 8, 4], [8, 6, 5], [10, 10, 6]]
    )
    maps = [torch.zeros(1, 3, *grid) for grid in GRIDS]

    theirs = generator(torch.zeros(1, 1, *IMAGE), maps)[0].numpy()

    assert np.array_equal(np.concatenate(make_anchors(IMAGE, GRIDS)), theirs)


def test_decoding_and_suppression_are_those_of_monai() -> None:
    coder = reference("apps.detection.utils.box_coder").BoxCoder(weights=(1.0,) * 6)
    box_utils = reference("data.box_utils")
    random = np.random.default_rng(3)
    low = random.uniform(0, 40, (200, 3))
    anchors = np.concatenate([low, low + random.uniform(2, 12, (200, 3))], axis=1)
    codes = random.normal(0, 0.8, (200, 6))

    theirs = coder.decode_single(torch.from_numpy(codes), torch.from_numpy(anchors)).numpy()
    boxes = decode_boxes(codes, anchors)
    scores = random.permutation(200) / 200.0
    kept = box_utils.non_max_suppression(
        torch.from_numpy(boxes), torch.from_numpy(scores), 0.22, max_proposals=50
    )

    assert boxes == pytest.approx(theirs, abs=1e-4)  # theirs takes exp in single precision
    ours = suppress(boxes, scores, overlap_at_most=0.22, boxes_at_most=50)
    assert ours.tolist() == kept.tolist()
