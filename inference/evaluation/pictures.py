"""Pictures to judge findings by: three planes through each place, lung window, captioned."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from inference.volume import Volume

HALF_MM = 24.0
SIDE = 192
"""Pixels of one plane."""
CAPTION = 14
WINDOW_HU = (-1350.0, 150.0)
ACROSS = 2
"""Places beside each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What to show: a centre in LPS mm and a line above it."""

    centre_lps_mm: tuple[float, float, float]
    caption: str


def draw_places(volume: Volume, places: Sequence[Place]) -> bytes:
    """A sheet of places as PNG: axial, coronal and sagittal, 48 mm wide.

    Raises
    ------
    ValueError
        Without places.
    """
    if not places:
        raise ValueError("a sheet of pictures needs at least one place")
    rows = -(-len(places) // ACROSS)
    width, height = 3 * SIDE + 6, SIDE + CAPTION + 4
    sheet = Image.new("L", (ACROSS * width, rows * height), 0)
    pen = ImageDraw.Draw(sheet)
    for number, place in enumerate(places):
        x, y = number % ACROSS * width, number // ACROSS * height
        planes = np.hstack([_plane(volume, place.centre_lps_mm, axes) for axes in PLANES])
        sheet.paste(Image.fromarray(planes), (x, y + CAPTION))
        pen.text((x + 2, y + 1), place.caption, fill=255)
    stream = io.BytesIO()
    sheet.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


PLANES = (((0, 1.0), (1, 1.0)), ((0, 1.0), (2, -1.0)), ((1, 1.0), (2, -1.0)))
"""Axial, coronal, sagittal: LPS axis and direction to the right, and downwards."""


def _plane(
    volume: Volume,
    centre_lps_mm: tuple[float, float, float],
    axes: tuple[tuple[int, float], tuple[int, float]],
) -> NDArray[np.uint8]:
    """One plane, shape (SIDE, SIDE)."""
    steps = np.linspace(-HALF_MM, HALF_MM, SIDE)
    points = np.zeros((SIDE, SIDE, 3)) + np.array(centre_lps_mm)
    (across, right), (along, down) = axes
    points[..., across] += right * steps[None, :]
    points[..., along] += down * steps[:, None]
    index = volume.lps_to_index(points.reshape(-1, 3))
    # Only what is near: a whole CT as floating point would be a gigabyte.
    low = np.clip(np.floor(index.min(axis=0)).astype(int) - 1, 0, np.array(volume.shape) - 1)
    high = np.clip(np.ceil(index.max(axis=0)).astype(int) + 2, low + 1, volume.shape)
    part = volume.hu[low[0] : high[0], low[1] : high[1], low[2] : high[2]].astype(np.float32)
    hu = ndimage.map_coordinates(part, (index - low).T, order=1, mode="constant", cval=-1024.0)
    bottom, top = WINDOW_HU
    grey = np.clip((hu - bottom) / (top - bottom), 0, 1) * 255
    return np.asarray(grey.reshape(SIDE, SIDE), dtype=np.uint8)
