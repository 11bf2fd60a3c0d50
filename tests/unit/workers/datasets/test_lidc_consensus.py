from __future__ import annotations

import numpy as np
import pytest

from tests.unit.workers.datasets.series import AFFINE, square
from workers.datasets.lidc_consensus import GridMark, consensus, dice, fill_mark, group_marks


def mark(reader: int, k: int, row: int, column: int, inner: int = 6) -> GridMark:
    points = np.array(square(row, column, inner))
    return fill_mark([(k, points, True)], reader=reader, ratings={"texture": 5})


def groups_of(marks: list[GridMark], readers: int = 4) -> list[list[int]]:
    groups = group_marks(marks, AFFINE, slice_thickness_mm=2.0, readers=readers)
    return [[marks.index(item) for item in group] for group in groups]


def test_outlines_are_no_part_of_what_they_outline() -> None:
    filled = mark(0, 3, 10, 20, inner=5)

    assert filled.mask.sum() == 25
    assert filled.origin_kji == (3, 9, 19)
    assert filled.mask[0, 1:6, 1:6].all()


def test_holes_are_cut_out_whatever_comes_first() -> None:
    outer, hole = np.array(square(10, 10, 9)), np.array(square(13, 13, 3))

    for order in ([(2, hole, False), (2, outer, True)], [(2, outer, True), (2, hole, False)]):
        assert fill_mark(order, reader=0, ratings={}).mask.sum() == 81 - 9


def test_an_outline_too_thin_to_hold_anything_stands_for_itself() -> None:
    line = np.array([(5, 7), (6, 7), (7, 7)])

    assert fill_mark([(1, line, True)], reader=0, ratings={}).mask.sum() == 3


def test_marks_within_a_slice_thickness_are_one_nodule() -> None:
    # 2 slices apart: 4 mm; columns 30 against 12: far.
    marks = [mark(0, 4, 10, 12), mark(1, 5, 11, 12), mark(2, 7, 10, 12), mark(3, 4, 10, 30)]

    assert groups_of(marks) == [[0, 1], [2], [3]]


def test_a_chain_of_more_marks_than_readers_is_parted_by_a_smaller_distance() -> None:
    # Two nodules of three readers each whose outlines are 1.6 mm (2 pixels) apart.
    marks = [mark(r, 4, 10, column) for column in (10, 19) for r in range(3)]
    gap = np.min(np.abs(marks[0].points_kji[:, None, 2] - marks[3].points_kji[None, :, 2])) * 0.8

    assert gap == pytest.approx(1.6)
    assert groups_of(marks) == [[0, 1, 2], [3, 4, 5]]


def test_touching_nodules_are_parted_by_overlap_one_mark_per_reader() -> None:
    marks = [mark(r, 4, 10, column) for r in range(3) for column in (10, 17)]

    assert sorted(map(sorted, groups_of(marks))) == [[0, 2, 4], [1, 3, 5]]


def test_the_consensus_holds_what_half_of_the_readers_outlined() -> None:
    two = [mark(0, 4, 10, 10), mark(1, 4, 10, 12)]
    three = [*two, mark(2, 4, 10, 12)]

    assert consensus(two)[1].sum() == 6 * 8  # one of two is half
    assert consensus(three)[1].sum() == 6 * 6


def test_two_marks_of_one_reader_are_one_vote() -> None:
    group = [mark(0, 4, 10, 10), mark(0, 4, 10, 12), mark(1, 4, 10, 30), mark(2, 4, 10, 30)]

    origin, agreed = consensus(group)

    assert agreed.sum() == 36
    assert np.argwhere(agreed).min(axis=0)[2] + origin[2] == 30


def test_readers_who_agree_nowhere_still_make_a_nodule() -> None:
    group = [mark(reader, 4, 10, 10 + 8 * reader) for reader in range(3)]

    assert consensus(group)[1].sum() == 3 * 36


def test_overlap_is_told_by_dice() -> None:
    assert dice(mark(0, 4, 10, 10), mark(1, 4, 10, 13)) == pytest.approx(0.5)
    assert dice(mark(0, 4, 10, 10), mark(1, 4, 10, 10)) == 1.0
    assert dice(mark(0, 4, 10, 10), mark(1, 5, 10, 10)) == 0.0


def test_a_nodule_has_no_more_marks_than_readers_where_nobody_says_who_read() -> None:
    marks = [mark(number, 0, 10, 10 + number // 4) for number in range(5)]

    assert sorted(len(group) for group in groups_of(marks, readers=4)) == [1, 4]
