"""Anchors and boxes of a 3-D RetinaNet, in voxels: pure arithmetic, no network.

A box is (x0, y0, z0, x1, y1, z1) in continuous voxel indices, voxel centres at integers, as
MONAI's bundle was trained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]

ANCHOR_SHAPES = ((6, 8, 4), (8, 6, 5), (10, 10, 6))
"""Of the finest level, voxels along x, y, z; twice and four times as large on the coarser."""
LEVEL_SCALES = (1, 2, 4)
STRETCH_AT_MOST = math.log(1000.0 / 16)
"""Codes of size are cut here, so that nothing overflows."""


def make_anchors(
    image_size: Sequence[int], grid_sizes: Sequence[Sequence[int]]
) -> tuple[Boxes, ...]:
    """Anchors of each level.

    Parameters
    ----------
    image_size : sequence of int
        X, Y, Z of what went into the network.
    grid_sizes : sequence of (int, int, int)
        X, Y, Z of each level.

    Returns
    -------
    tuple of ndarray of shape (N, 6)
        Per level; places in x, y, z order, the last fastest, shapes fastest of all.
    """
    levels = []
    for scale, grid in zip(LEVEL_SCALES, grid_sizes, strict=True):
        # Halves are rounded to even before anything moves: (8, 6, 5) reaches 4, 3, 2 each way.
        half = np.rint(np.array(ANCHOR_SHAPES, dtype=np.float64) * scale / 2)
        strides = [size // count for size, count in zip(image_size, grid, strict=True)]
        axes = [
            np.arange(count) * stride + stride // 2
            for count, stride in zip(grid, strides, strict=True)
        ]
        centres = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 1, 3)
        boxes = np.concatenate([centres - half, centres + half], axis=2)
        levels.append(boxes.reshape(-1, 6))
    return tuple(levels)


def decode_boxes(codes: NDArray[np.floating], anchors: Boxes) -> Boxes:
    """Move and stretch anchors by the network's codes (Faster R-CNN, arXiv 1506.01497, eq. 2).

    Parameters
    ----------
    codes : ndarray of shape (N, 6)
        Shift over size along x, y, z; logarithm of the stretch.
    anchors : ndarray of shape (N, 6)
        Boxes.
    """
    codes = np.asarray(codes, dtype=np.float64)
    size = anchors[:, 3:] - anchors[:, :3]
    centre = (anchors[:, :3] + anchors[:, 3:]) / 2 + codes[:, :3] * size
    half = size * np.exp(np.minimum(codes[:, 3:], STRETCH_AT_MOST)) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def clip_boxes(boxes: Boxes, size: Sequence[int]) -> tuple[Boxes, NDArray[np.bool_]]:
    """Boxes cut at the image's border, and which of them still hold a voxel along each axis."""
    limits = np.tile(np.asarray(size, dtype=np.float64), 2)
    clipped = np.clip(boxes, 0.0, limits)
    return clipped, np.asarray((clipped[:, 3:] >= clipped[:, :3] + 1).all(axis=1))


def overlap(box: NDArray[np.float64], boxes: Boxes) -> NDArray[np.float64]:
    """Intersection over union of one box with others, shape (N,)."""
    low = np.maximum(box[:3], boxes[:, :3])
    high = np.minimum(box[3:], boxes[:, 3:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    own = np.prod(box[3:] - box[:3])
    theirs = np.prod(boxes[:, 3:] - boxes[:, :3], axis=1)
    return np.asarray(shared / np.maximum(own + theirs - shared, 1e-9))


def suppress(
    boxes: Boxes, scores: NDArray[np.float64], *, overlap_at_most: float, boxes_at_most: int
) -> NDArray[np.int_]:
    """Indices of boxes that no better one overlaps too much, best first."""
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order) and len(kept) < boxes_at_most:
        best, order = int(order[0]), order[1:]
        kept.append(best)
        order = order[overlap(boxes[best], boxes[order]) <= overlap_at_most]
    return np.array(kept, dtype=np.int_)
