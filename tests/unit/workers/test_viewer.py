"""Slices and outlines of the result viewer, against what was put in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dicom_node.errors import SeriesRejected
from dicom_node.read.series import decode_slice, load_ct_series
from workers.phantom import write_phantom
from workers.state.store import FolderStore
from workers.viewer.outlines import Outline, outline_of
from workers.viewer.slices import SliceCache


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten slices of 64 x 64, in a store's folder."""
    root = tmp_path_factory.mktemp("store")
    write_phantom(root / "ct", slices=40, spacing_mm=7.0, pixels=64, pixel_spacing_mm=5.0)
    return root


def keys(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.dcm"))


def test_a_slice_alone_is_what_the_series_has_there(folder: Path) -> None:
    paths = [folder / key for key in keys(folder)]
    series = load_ct_series(paths)
    by_uid = dict(zip(series.sop_instance_uids, series.hu, strict=True))

    decoded = [decode_slice(path) for path in paths]

    assert len(decoded) == 40
    assert sorted(map(bytes, decoded)) == sorted(map(bytes, by_uid.values()))


def test_a_slice_that_cannot_be_decoded_is_refused(folder: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.dcm"
    cut.write_bytes((folder / keys(folder)[0]).read_bytes()[:-2000])

    with pytest.raises(SeriesRejected):
        decode_slice(cut)


def test_the_cache_forgets_what_was_not_looked_at_for_longest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(path: Path) -> NDArray[np.int16]:
        read.append(path.name)
        return decode_slice(path)

    monkeypatch.setattr("workers.viewer.slices.decode_slice", counted)
    one, two, three = keys(folder)[:3]
    store, cache = FolderStore(folder), SliceCache(limit_bytes=2 * 64 * 64 * 2)

    first = cache.hu(store, one)
    for key in (two, one, three, one, two):
        cache.hu(store, key)

    assert cache.hu(store, one) is first
    assert read == [Path(key).name for key in (one, two, three, two)]
    assert cache.kept_bytes == 2 * 64 * 64 * 2
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 1


def filled(outline: Outline, shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    for row, first, after in outline.runs:
        mask[row, first:after] = True
    return mask


def border_by_edges(outline: Outline, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask as the edges alone enclose it: inside is where an odd number lies to the left."""
    crossings = np.zeros((shape[0], shape[1] + 1), dtype=int)
    for x0, y0, x1, y1 in outline.edges:
        if x0 == x1:
            crossings[y0:y1, x0] += 1
    return (np.cumsum(crossings, axis=1)[:, :-1] % 2).astype(bool)


def ball(shape: tuple[int, int]) -> NDArray[np.bool_]:
    j, i = np.indices(shape)
    return np.asarray((j - 12) ** 2 + (i - 20) ** 2 < 40)


@pytest.mark.parametrize(
    "make",
    [
        ball,
        lambda shape: np.random.default_rng(1).random(shape) > 0.5,
        lambda shape: np.ones(shape, dtype=bool),
        lambda shape: np.zeros(shape, dtype=bool),
    ],
)
def test_an_outline_encloses_exactly_its_mask(
    make: Callable[[tuple[int, int]], NDArray[np.bool_]],
) -> None:
    shape = (24, 31)
    mask = make(shape)

    outline = outline_of(mask)

    assert np.array_equal(filled(outline, shape), mask)
    assert np.array_equal(border_by_edges(outline, shape), mask)
    assert np.array_equal(
        border_by_edges(outline_of(mask.T), shape[::-1]).T, mask
    )  # the same in the other direction


def test_straight_borders_are_one_edge() -> None:
    mask = np.zeros((10, 10), dtype=bool)
    mask[2:5, 3:9] = True

    edges = set(outline_of(mask).edges)

    assert edges == {(3, 2, 9, 2), (3, 5, 9, 5), (3, 2, 3, 5), (9, 2, 9, 5)}
