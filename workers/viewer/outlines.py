"""Masks as what a canvas draws: rows of pixels to fill, and the border to stroke.

Vectors rather than pictures: sharp at any magnification, and a nodule takes a few kilobytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Runs = tuple[tuple[int, int, int], ...]
"""(row, first column, column after the last)."""
Edges = tuple[tuple[int, int, int, int], ...]
"""(x0, y0, x1, y1) from the image's top left corner, in pixels; a pixel reaches from i to i + 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A mask on one slice."""

    runs: Runs
    edges: Edges


def outline_of(mask: NDArray[np.bool_]) -> Outline:
    """Runs and border of a mask of shape (H, W); straight pieces of the border are joined."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return Outline(runs=(), edges=())
    top, left = int(rows[0]), int(columns[0])
    inside = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    across = _stretches(np.pad(inside, ((1, 1), (0, 0))))
    along = _stretches(np.pad(inside, ((0, 0), (1, 1))).T)
    return Outline(
        runs=tuple(
            (top + row, left + first, left + after)
            for row, values in enumerate(inside)
            for first, after in _runs(values)
        ),
        edges=(
            *((left + a, top + line, left + b, top + line) for line, a, b in across),
            *((left + line, top + a, left + line, top + b) for line, a, b in along),
        ),
    )


def _stretches(padded: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Borders between a row and the next one: (line, first, after the last)."""
    return [
        (line, first, after)
        for line, differs in enumerate(padded[1:] != padded[:-1])
        for first, after in _runs(differs)
    ]


def _runs(values: NDArray[np.bool_]) -> list[tuple[int, int]]:
    steps = np.diff(np.concatenate([[0], values.astype(np.int8), [0]]))
    firsts, afters = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return [(int(a), int(b)) for a, b in zip(firsts, afters, strict=True)]
