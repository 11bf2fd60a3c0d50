"""Four readers, one nodule: which marks mean the same nodule, and what most readers outlined.

Marks belong together when their outlines come closer than the slices are thick. Where more
marks than readers fall together the distance is made smaller step by step, and where that does
not part them (touching nodules), marks that overlap most are put together first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from skimage.draw import polygon

TIGHTEN = 0.9
SMALLEST_TOLERANCE_MM = 0.3
"""Below half a pixel outlines that still fall together touch."""
SHARE_OF_READERS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class GridMark:
    """A reader's mark on the CT's grid.

    Attributes
    ----------
    reader : int
        Who.
    mask : ndarray of shape (D, H, W), dtype bool
        What was outlined, in the box that begins at `origin_kji`.
    points_kji : ndarray of shape (N, 3)
        The pixels of the outlines themselves.
    ratings : mapping
        LIDC's characteristics.
    """

    reader: int
    origin_kji: tuple[int, int, int]
    mask: NDArray[np.bool_]
    points_kji: NDArray[np.int64]
    ratings: Mapping[str, int]


def fill_mark(
    outlines: Sequence[tuple[int, NDArray[np.int64], bool]],
    *,
    reader: int,
    ratings: Mapping[str, int],
) -> GridMark:
    """Fill a reader's outlines.

    Outlines lie on the first pixels outside, so they are no part of the mask. An outline too
    thin to hold anything stands for itself.

    Parameters
    ----------
    outlines : sequence of (k, points of shape (N, 2) as column and row, inclusion)
        Slice by slice.
    reader, ratings :
        Kept.
    """
    points = np.concatenate(
        [np.column_stack([np.full(len(ij), k), ij[:, 1], ij[:, 0]]) for k, ij, _ in outlines]
    )
    low = points.min(axis=0)
    depth, height, width = points.max(axis=0) - low + 1
    mask = np.zeros((depth, height, width), dtype=bool)
    # Holes are cut after everything is filled, in whatever order the file gives them.
    for k, ij, inclusion in sorted(outlines, key=lambda item: not item[2]):
        rows, columns = ij[:, 1] - low[1], ij[:, 0] - low[2]
        inside = np.zeros((height, width), dtype=bool)
        inside[polygon(rows, columns, inside.shape)] = True
        inside[rows, columns] = False
        if inclusion and not inside.any():
            inside[rows, columns] = True
        mask[k - low[0]] = mask[k - low[0]] | inside if inclusion else mask[k - low[0]] & ~inside
    return GridMark(
        reader=reader,
        origin_kji=(int(low[0]), int(low[1]), int(low[2])),
        mask=mask,
        points_kji=points,
        ratings=ratings,
    )


def group_marks(
    marks: Sequence[GridMark],
    affine: NDArray[np.float64],
    *,
    slice_thickness_mm: float,
    readers: int,
) -> list[list[GridMark]]:
    """Sort marks into nodules.

    Parameters
    ----------
    marks : sequence of GridMark
        Of all readers.
    affine : ndarray of shape (4, 4)
        Voxel centres (k, j, i, 1) to LPS mm.
    slice_thickness_mm : float
        First distance within which marks belong together.
    readers : int
        At most so many marks make a nodule.
    """
    points = [mark.points_kji @ affine[:3, :3].T for mark in marks]
    trees = [cKDTree(item) for item in points]
    distance = np.zeros((len(marks), len(marks)))
    for a, b in combinations(range(len(marks)), 2):
        distance[a, b] = distance[b, a] = trees[a].query(points[b])[0].min()
    groups = _group(np.arange(len(marks)), distance, slice_thickness_mm, marks, readers)
    return [[marks[index] for index in group] for group in sorted(groups, key=min)]


def _group(
    members: NDArray[np.int_],
    distance: NDArray[np.float64],
    tolerance_mm: float,
    marks: Sequence[GridMark],
    most: int,
) -> list[list[int]]:
    if not len(members):
        return []
    if tolerance_mm < SMALLEST_TOLERANCE_MM:
        return _by_overlap([int(index) for index in members], marks, most)
    near = distance[np.ix_(members, members)] <= tolerance_mm
    count, labels = connected_components(near, directed=False)
    groups: list[list[int]] = []
    for label in range(count):
        part = members[labels == label]
        if len(part) <= most:
            groups.append([int(index) for index in part])
        else:
            groups += _group(part, distance, TIGHTEN * tolerance_mm, marks, most)
    return groups


def _by_overlap(members: Sequence[int], marks: Sequence[GridMark], most: int) -> list[list[int]]:
    """Put together those that overlap most, at most one mark of each reader, `most` in all."""
    groups = [[index] for index in members]
    pairs = sorted(
        ((dice(marks[a], marks[b]), a, b) for a, b in combinations(members, 2)),
        key=lambda item: (-item[0], item[1], item[2]),
    )
    for overlap, a, b in pairs:
        first = next(group for group in groups if a in group)
        second = next(group for group in groups if b in group)
        readers = [marks[index].reader for index in (*first, *second)]
        fits = len(set(readers)) == len(readers) <= most
        if overlap > 0 and first is not second and fits:
            first += second
            groups.remove(second)
    return groups


def dice(a: GridMark, b: GridMark) -> float:
    """Overlap of two masks: twice what they share over what both hold."""
    box, origin = _common_box([a, b])
    both = np.stack([_placed(mark, box, origin) for mark in (a, b)])
    return float(2 * both.all(axis=0).sum() / max(1, both.sum()))


def consensus(group: Sequence[GridMark]) -> tuple[tuple[int, int, int], NDArray[np.bool_]]:
    """Voxels that at least half of a nodule's readers outlined.

    Returns
    -------
    tuple of int, ndarray of shape (D, H, W)
        Where the box begins (k, j, i), and the mask; what any reader outlined, if no voxel has
        half of them.
    """
    box, origin = _common_box(group)
    by_reader: dict[int, NDArray[np.bool_]] = {}
    for mark in group:
        mask = _placed(mark, box, origin)
        by_reader[mark.reader] = by_reader.get(mark.reader, np.zeros(box, dtype=bool)) | mask
    votes = np.sum(list(by_reader.values()), axis=0)
    agreed = votes >= SHARE_OF_READERS * len(by_reader)
    k, j, i = (int(value) for value in origin)
    return (k, j, i), np.asarray(agreed if agreed.any() else votes > 0)


def _common_box(group: Sequence[GridMark]) -> tuple[tuple[int, int, int], NDArray[np.int64]]:
    low = np.min([mark.origin_kji for mark in group], axis=0)
    high = np.max([np.add(mark.origin_kji, mark.mask.shape) for mark in group], axis=0)
    depth, height, width = (int(value) for value in high - low)
    return (depth, height, width), low


def _placed(
    mark: GridMark, box: tuple[int, int, int], origin: NDArray[np.int64]
) -> NDArray[np.bool_]:
    whole = np.zeros(box, dtype=bool)
    start = mark.origin_kji - origin
    window = tuple(slice(int(a), int(a) + n) for a, n in zip(start, mark.mask.shape, strict=True))
    whole[window] = mark.mask
    return whole
