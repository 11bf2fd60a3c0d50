"""A nodule's key image: three planes through it, the slice that it lies in, and what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import measure

from inference.findings import Axis, Nodule
from inference.pictures.letters import Rgb, shorten, typeface, write
from inference.pictures.tile import Stroke, draw_tile
from inference.pictures.view import (
    View,
    key_point,
    make_views,
    sample_hu,
    sample_mask,
    slice_hu,
    slices_seen,
    whole_slice,
)
from inference.volume import Volume

TILE_PX = 480
GAP_PX = 4
HEADER_PX = 66
FOOTER_PX = 32
LONG_AXIS_COLOUR: Rgb = (90, 220, 255)
SHORT_AXIS_COLOUR: Rgb = (255, 170, 220)
FRAME_COLOUR: Rgb = (255, 210, 60)
WARNING_COLOUR: Rgb = (255, 210, 60)
EXTENT_MM = 50.0
EXTENT_DIAMETERS = 3.0
"""A view shows this much, or so many times the nodule's largest diameter."""
OUTLINE_AT = 0.5
SHORTEST_OUTLINE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyImageWords:
    """All that is written on a key image, in the reader's language."""

    title: str
    subtitle: str
    warning: str
    """That this is not for diagnosis."""
    footnote: str
    measures: str
    """Of both axes, for example ``12.3 x 9.1 mm``."""
    axial: str
    coronal: str
    sagittal: str
    whole_slice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodulePictures:
    """The tiles of a nodule and the sheet that they make up; all RGB."""

    number: int
    axial: Image.Image
    coronal: Image.Image
    sagittal: Image.Image
    sheet: Image.Image
    slices: tuple[int, int]
    """First and last slice that they show something of."""


def draw_nodule(
    volume: Volume,
    nodule: Nodule,
    words: KeyImageWords,
    *,
    colour: Rgb,
    font_file: Path | None = None,
    tile_px: int = TILE_PX,
) -> NodulePictures:
    """Draw a nodule's pictures.

    Parameters
    ----------
    volume : Volume
        In which it was found.
    nodule : Nodule
        With mask, outline and axes in that volume's grid.
    words : KeyImageWords
        What to write.
    colour : (int, int, int)
        Of the outline.
    font_file : Path, optional
        A TrueType file that has the words' characters; without it Pillow's own Latin font.
    tile_px : int
        Pixels of a tile's side; the sheet has two by two.

    Raises
    ------
    ValueError
        If the nodule has no voxel in its key slice.
    OSError
        If the font cannot be read.
    """
    measured = nodule.measurements
    extent_mm = max(
        EXTENT_MM,
        EXTENT_DIAMETERS * max(measured.max_3d_diameter_mm, measured.long_axis.length_mm),
    )
    point = key_point(volume, nodule.voi, measured.key_slice_k)
    axial, coronal, sagittal = make_views(volume, point, extent_mm)
    overview = whole_slice(volume, measured.key_slice_k)

    axial_tile = draw_tile(
        sample_hu(volume, axial),
        axial,
        tile_px,
        strokes=[
            _drawn_outline(volume, nodule, axial, tile_px, colour),
            _axis(volume, measured.long_axis, axial, tile_px, LONG_AXIS_COLOUR),
            _axis(volume, measured.short_axis, axial, tile_px, SHORT_AXIS_COLOUR),
        ],
        name=words.axial,
        font_file=font_file,
    )
    font = typeface(font_file, round(0.05 * tile_px))
    write(
        axial_tile,
        _beside(volume, nodule, axial, tile_px, font.getlength(words.measures), font.size),
        words.measures,
        font,
        anchor="lt",
    )
    upright = [
        draw_tile(
            sample_hu(volume, view),
            view,
            tile_px,
            strokes=_cut_outlines(volume, nodule, view, tile_px, colour),
            name=name,
            font_file=font_file,
        )
        for view, name in ((coronal, words.coronal), (sagittal, words.sagittal))
    ]
    place = draw_tile(
        slice_hu(volume, measured.key_slice_k),
        overview,
        tile_px,
        strokes=[_frame(axial, overview, tile_px)],
        name=words.whole_slice,
        font_file=font_file,
    )
    return NodulePictures(
        number=nodule.id,
        axial=axial_tile,
        coronal=upright[0],
        sagittal=upright[1],
        sheet=_lay_out([axial_tile, place, *upright], words, font_file),
        slices=slices_seen(volume, (axial, coronal, sagittal)),
    )


def _drawn_outline(volume: Volume, nodule: Nodule, view: View, side_px: int, colour: Rgb) -> Stroke:
    """The outline of the report, on the key slice."""
    contour = nodule.measurements.contour_ji
    slices = np.full((len(contour), 1), nodule.measurements.key_slice_k, dtype=np.float64)
    points = volume.index_to_lps(np.hstack([slices, contour]))
    pixels = view.to_picture(points, side_px)
    return Stroke(points_px=np.vstack([pixels, pixels[:1]]), colour=colour)


def _cut_outlines(
    volume: Volume, nodule: Nodule, view: View, side_px: int, colour: Rgb
) -> list[Stroke]:
    """Outlines of the mask where a plane cuts it."""
    share = sample_mask(volume, nodule.voi, view)
    return [
        Stroke(points_px=(line[:, ::-1] + 0.5) * (side_px / len(share)), colour=colour)
        for line in measure.find_contours(share, OUTLINE_AT)
        if len(line) >= SHORTEST_OUTLINE
    ]


def _axis(volume: Volume, axis: Axis, view: View, side_px: int, colour: Rgb) -> Stroke:
    ends = volume.index_to_lps([(axis.k, *axis.start_ji), (axis.k, *axis.end_ji)])
    return Stroke(points_px=view.to_picture(ends, side_px), colour=colour, halo=True)


def _beside(
    volume: Volume, nodule: Nodule, view: View, side_px: int, width_px: float, height_px: float
) -> tuple[float, float]:
    """Where the measures stand: below the outline, inside the tile."""
    points = _drawn_outline(volume, nodule, view, side_px, FRAME_COLOUR).points_px
    x = float(points[:, 0].mean()) - width_px / 2
    y = float(points[:, 1].max()) + 0.03 * side_px
    x = min(max(x, 0.08 * side_px), 0.92 * side_px - width_px)
    return x, min(y, 0.86 * side_px - height_px)


def _frame(inner: View, outer: View, side_px: int) -> Stroke:
    """What `inner` shows, as a square in `outer`."""
    half = inner.extent_mm / 2
    corners: list[NDArray[np.float64]] = [
        inner.centre_lps_mm + half * (a * inner.right + b * inner.down)
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))
    ]
    return Stroke(points_px=outer.to_picture(corners, side_px), colour=FRAME_COLOUR)


def _lay_out(
    tiles: Sequence[Image.Image], words: KeyImageWords, font_file: Path | None
) -> Image.Image:
    """Two by two tiles between the title and the warning."""
    side = tiles[0].width
    width = 2 * side + GAP_PX
    sheet = Image.new("RGB", (width, HEADER_PX + width + FOOTER_PX))
    for index, tile in enumerate(tiles):
        row, column = divmod(index, 2)
        sheet.paste(tile, (column * (side + GAP_PX), HEADER_PX + row * (side + GAP_PX)))
    room = width - 20
    title, text, small = (typeface(font_file, size) for size in (26, 19, 17))
    write(sheet, (10, 6), shorten(words.title, title, room), title, halo_px=0)
    write(sheet, (10, 38), shorten(words.subtitle, text, room), text, halo_px=0)
    middle = sheet.height - FOOTER_PX / 2
    warning = shorten(words.warning, small, room)
    write(sheet, (10, middle), warning, small, colour=WARNING_COLOUR, anchor="lm", halo_px=0)
    left = room - small.getlength(warning) - 20
    if left > 100:
        footnote = shorten(words.footnote, small, left)
        write(sheet, (width - 10, middle), footnote, small, anchor="rm", halo_px=0)
    return sheet
