"""One view as a picture: lung window, outline, axes, letters of orientation, a scale bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont

from inference.pictures.letters import Rgb, typeface, write
from inference.pictures.view import View

LUNG_WINDOW_HU = (-600.0, 1500.0)
"""Centre and width, the usual lung window (Fleischner Society: Recommendations for Measuring
Pulmonary Nodules at CT, Radiology 2017;285:584, measures nodules in the lung window)."""
OVERSAMPLING = 2
"""Lines are drawn this much larger, then reduced: Pillow itself draws them jagged."""
SCALE_BARS_MM = (1, 2, 5, 10, 20, 50, 100, 200)
LONGEST_SCALE_BAR = 0.3
"""Of a side."""
MARGIN = 0.02
LETTER_HEIGHT = 0.052
"""Of a side, like the margin: tiles of any size look alike."""
SCALE_COLOUR: Rgb = (235, 235, 235)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """A line of a picture."""

    points_px: NDArray[np.float64]
    """Shape (N, 2), ``(x, y)`` from the tile's top left corner."""
    colour: Rgb
    width_px: float = 2.0
    halo: bool = False
    """Lay a dark line beneath, for lines across bright tissue."""


def draw_tile(
    hu: NDArray[np.generic],
    view: View,
    side_px: int,
    *,
    strokes: Sequence[Stroke] = (),
    name: str = "",
    font_file: Path | None = None,
) -> Image.Image:
    """Draw a view.

    Parameters
    ----------
    hu : ndarray of two axes
        Radiodensity at equal distances over the whole view, HU; stretched to a square.
    view : View
        Where that is.
    side_px : int
        Pixels of a side.
    strokes : sequence of Stroke
        Drawn over the picture, in this order.
    name : str
        Written in the upper left corner.
    font_file : Path, optional
        A TrueType file; without it Pillow's own Latin font.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, `side_px` square.
    """
    large = side_px * OVERSAMPLING
    image = Image.fromarray(to_grey(hu)).resize((large, large), Image.Resampling.BICUBIC)
    image = image.convert("RGB")
    pen = ImageDraw.Draw(image)
    for stroke in strokes:
        points = [tuple(point) for point in stroke.points_px * OVERSAMPLING - 0.5]
        width = round(stroke.width_px * OVERSAMPLING)
        if stroke.halo:
            pen.line(points, fill=(0, 0, 0), width=width + 2 * OVERSAMPLING, joint="curve")
        pen.line(points, fill=stroke.colour, width=width, joint="curve")
    image = image.reduce(OVERSAMPLING)
    _mark_orientation(image, view, font_file)
    _draw_scale_bar(image, view, font_file)
    if name:
        margin = MARGIN * side_px
        write(image, (margin, margin), name, _font(font_file, side_px))
    return image


def to_grey(hu: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Window radiodensity to 8 bits (linear, PS3.3 C.11.2.1.2 but for its half steps)."""
    centre, width = LUNG_WINDOW_HU
    grey = (hu.astype(np.float32) - (centre - width / 2)) * (255.0 / width)
    return np.clip(np.round(grey), 0, 255).astype(np.uint8)


def scale_bar_mm(extent_mm: float) -> int:
    """The longest round length that takes no more than `LONGEST_SCALE_BAR` of a side."""
    fitting = [length for length in SCALE_BARS_MM if length <= LONGEST_SCALE_BAR * extent_mm]
    return fitting[-1] if fitting else SCALE_BARS_MM[0]


def _font(font_file: Path | None, side_px: int) -> FreeTypeFont:
    return typeface(font_file, max(11, round(LETTER_HEIGHT * side_px)))


def _mark_orientation(image: Image.Image, view: View, font_file: Path | None) -> None:
    side = image.width
    font = _font(font_file, side)
    margin = MARGIN * side
    left, right, top, bottom = view.letters
    write(image, (margin, side / 2), left, font, anchor="lm")
    write(image, (side - margin, side / 2), right, font, anchor="rm")
    write(image, (side / 2, margin), top, font, anchor="ma")
    write(image, (side / 2, side - margin), bottom, font, anchor="md")


def _draw_scale_bar(image: Image.Image, view: View, font_file: Path | None) -> None:
    side = image.width
    length_mm = scale_bar_mm(view.extent_mm)
    length = length_mm / view.extent_mm * side
    x1, y = side - 2 * MARGIN * side, side - 2 * MARGIN * side
    x0 = x1 - length
    pen = ImageDraw.Draw(image)
    tick = max(3, round(0.008 * side))
    for colour, width in (((0, 0, 0), 6), (SCALE_COLOUR, 2)):
        for line in ((x0, y, x1, y), (x0, y - tick, x0, y + tick), (x1, y - tick, x1, y + tick)):
            pen.line(line, fill=colour, width=width)
    font = _font(font_file, side)
    write(image, ((x0 + x1) / 2, y - tick - 2), f"{length_mm} mm", font, anchor="md")
