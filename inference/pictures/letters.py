"""Text in pictures: a typeface at some size, and text that keeps to its room."""

from __future__ import annotations

import functools
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Rgb = tuple[int, int, int]
WHITE: Rgb = (255, 255, 255)
HALO: Rgb = (0, 0, 0)
ELLIPSIS = "..."


@functools.lru_cache(maxsize=32)
def typeface(font_file: Path | None, size_px: int) -> ImageFont.FreeTypeFont:
    """A font of that height: Pillow's own Latin one, or a TrueType file's first.

    Raises
    ------
    OSError
        If the file cannot be read as a font, or Pillow was built without FreeType.
    """
    if font_file is not None:
        return ImageFont.truetype(str(font_file), size_px)
    font = ImageFont.load_default(size_px)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise OSError("Pillow was built without FreeType: no text can be drawn")
    return font


def shorten(text: str, font: ImageFont.FreeTypeFont, width_px: float) -> str:
    """The text, or as much of its beginning as is not wider, with an ellipsis."""
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(text + ELLIPSIS) > width_px:
        text = text[:-1]
    return text.rstrip() + ELLIPSIS


def write(
    image: Image.Image,
    xy: tuple[float, float],
    text: str,
    font: ImageFont.FreeTypeFont,
    *,
    colour: Rgb = WHITE,
    anchor: str = "la",
    halo_px: int = 2,
) -> None:
    """Write one line with a dark halo, readable on lung and on bone alike.

    `anchor` is Pillow's: ``la`` left and top, ``ms`` middle and baseline ...
    """
    ImageDraw.Draw(image).text(
        xy, text, fill=colour, font=font, anchor=anchor, stroke_width=halo_px, stroke_fill=HALO
    )
