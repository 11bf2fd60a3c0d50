"""What was looked at, where nothing was found: three planes through the middle of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from inference.pictures.tile import draw_tile
from inference.pictures.view import sample_hu, whole_volume
from inference.volume import Volume

SIDE_PX = 480


def draw_overview(
    volume: Volume,
    names: Sequence[str],
    *,
    font_file: Path | None = None,
    side_px: int = SIDE_PX,
) -> tuple[Image.Image, ...]:
    """Draw the axial, coronal and sagittal plane; `names` are written on them, in this order.

    Raises
    ------
    OSError
        If the font cannot be read.
    """
    return tuple(
        draw_tile(sample_hu(volume, view), view, side_px, name=name, font_file=font_file)
        for view, name in zip(whole_volume(volume), names, strict=True)
    )
