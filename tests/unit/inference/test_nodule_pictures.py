"""Pictures of balls: round in every plane, where they are, as large as they are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.findings import VoiMask
from inference.pictures.key_image import (
    FOOTER_PX,
    HEADER_PX,
    LONG_AXIS_COLOUR,
    WARNING_COLOUR,
    draw_nodule,
)
from inference.pictures.letters import shorten, typeface
from inference.pictures.overview import draw_overview
from inference.pictures.tile import draw_tile, scale_bar_mm, to_grey
from inference.pictures.view import (
    View,
    edge_letters,
    key_point,
    make_views,
    sample_hu,
    sample_mask,
    slice_hu,
    whole_slice,
)
from inference.volume import Volume
from tests.unit.inference.balls import LUNG_HU, ball, distance_mm, grid
from tests.unit.inference.drawn_nodules import WORDS, nodule_of

RADIUS_MM = 8.0
EXTENT_MM = 40.0
GREEN = (0, 255, 0)
SPACINGS = [(1.0, 0.7, 0.7), (3.0, 0.6, 0.6), (0.5, 0.8, 0.6)]
ROTATIONS = [(0.0, 0.0, 0.0), (0.0, 180.0, 0.0), (12.0, 0.0, 90.0), (180.0, 0.0, 0.0)]


def tilted_ball(spacing_mm: float, tilt_deg: float) -> tuple[Volume, VoiMask]:
    """A ball in slices that are not perpendicular to the table (gantry tilt)."""
    shape = (25, 41, 41)
    affine = grid(shape, (spacing_mm, 0.8, 0.8))
    affine[:3, 0] = [0.0, -spacing_mm * np.tan(np.radians(tilt_deg)), spacing_mm]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    mask = distance_mm(shape, affine) <= RADIUS_MM
    hu = np.where(mask, 30, LUNG_HU).astype(np.int16)
    return Volume(hu=hu, affine=affine), VoiMask(origin_kji=(0, 0, 0), mask=mask)


def drawn_size_mm(share: NDArray[np.float32]) -> tuple[float, float, float]:
    """Width, height and diameter by area of what is drawn."""
    inside = share >= 0.5
    step_mm = EXTENT_MM / len(share)
    across = np.flatnonzero(inside.any(axis=0))
    down = np.flatnonzero(inside.any(axis=1))
    area_mm2 = float(inside.sum()) * step_mm**2
    return (
        float(across[-1] - across[0] + 1) * step_mm,
        float(down[-1] - down[0] + 1) * step_mm,
        2 * float(np.sqrt(area_mm2 / np.pi)),
    )


@pytest.mark.parametrize("spacing_mm", SPACINGS)
@pytest.mark.parametrize("rotation_deg", ROTATIONS)
def test_a_ball_is_round_and_as_large_in_all_three_planes(
    spacing_mm: tuple[float, float, float], rotation_deg: tuple[float, float, float]
) -> None:
    volume, voi = ball(2 * RADIUS_MM, spacing_mm, rotation_deg)

    for view in make_views(volume, (0.0, 0.0, 0.0), EXTENT_MM):
        share = sample_mask(volume, voi, view)
        size = drawn_size_mm(share)
        # The mask is made of voxels: its edge is off by up to half of one on either side, and
        # the samples add half of one of theirs.
        off_mm = max(spacing_mm) + EXTENT_MM / len(share)
        assert size == pytest.approx((2 * RADIUS_MM,) * 3, abs=off_mm)
        assert size[2] == pytest.approx(2 * RADIUS_MM, abs=0.5 * max(spacing_mm))


def test_a_tilted_gantry_does_not_bend_the_picture() -> None:
    volume, voi = tilted_ball(2.0, 20.0)

    _, coronal, sagittal = make_views(volume, (0.0, 0.0, 0.0), EXTENT_MM)

    for view in (coronal, sagittal):
        width, height, diameter = drawn_size_mm(sample_mask(volume, voi, view))
        assert diameter == pytest.approx(2 * RADIUS_MM, abs=0.7)
        assert width == pytest.approx(height, abs=2.5)  # a slice, and a voxel in its plane
    inside = np.argwhere(sample_mask(volume, voi, sagittal) >= 0.5)
    skew = np.corrcoef(inside.T)[0, 1]
    assert abs(skew) < 0.05


def test_a_picture_drawn_in_the_array_would_bend() -> None:
    """What the test above must be able to see: the same ball with its tilt ignored."""
    volume, voi = tilted_ball(2.0, 20.0)
    straight = volume.affine.copy()
    straight[:3, 0] = [0.0, 0.0, 2.0]
    straight[:3, 3] = -straight[:3, :3] @ ((np.array(volume.shape) - 1) / 2)
    ignored = Volume(hu=volume.hu, affine=straight)

    sagittal = make_views(ignored, (0.0, 0.0, 0.0), EXTENT_MM)[2]

    inside = np.argwhere(sample_mask(ignored, voi, sagittal) >= 0.5)
    assert abs(np.corrcoef(inside.T)[0, 1]) > 0.1


@pytest.mark.parametrize(
    ("rotation_deg", "wanted"),
    [
        ((0.0, 0.0, 0.0), {"axial": "RLAP", "coronal": "RLHF", "sagittal": "APHF"}),
        # Feet first is head first in LPS with the slices from the other end.
        ((0.0, 180.0, 0.0), {"axial": "LRAP", "coronal": "RLHF", "sagittal": "APHF"}),
        ((0.0, 0.0, 180.0), {"axial": "LRPA", "coronal": "RLHF", "sagittal": "APHF"}),
        ((0.0, 0.0, 90.0), {"axial": "APLR", "coronal": "RLHF", "sagittal": "APHF"}),
        ((10.0, 0.0, 0.0), {"axial": "RLAP", "coronal": "RLHF", "sagittal": "APHF"}),
    ],
)
def test_edges_are_named_by_the_direction_cosines(
    rotation_deg: tuple[float, float, float], wanted: dict[str, str]
) -> None:
    volume, _ = ball(12.0, rotation_deg=rotation_deg)

    views = make_views(volume, (0.0, 0.0, 0.0), EXTENT_MM)

    assert {view.plane: "".join(view.letters) for view in views} == wanted


def test_an_oblique_edge_has_two_letters_the_larger_first() -> None:
    angle = np.radians(30.0)

    assert edge_letters(np.array([np.cos(angle), np.sin(angle), 0.0])) == "LP"
    assert edge_letters(np.array([0.0, -np.sin(angle), np.cos(angle)])) == "HA"


@pytest.mark.parametrize("rotation_deg", ROTATIONS)
def test_what_lies_to_the_patients_left_head_and_back_is_drawn_there(
    rotation_deg: tuple[float, float, float],
) -> None:
    volume, _ = ball(4.0, (1.0, 1.0, 1.0), rotation_deg)
    hu = volume.hu.copy()
    hu[:] = LUNG_HU
    place = np.array([4.0, 4.0, 4.0])  # left, posterior, towards the head
    hu[tuple(np.round(volume.lps_to_index(place)).astype(int))] = 1000
    marked = Volume(hu=hu, affine=volume.affine)

    _, coronal, sagittal = make_views(marked, place, 16.0)
    shifted = [
        View(plane=v.plane, centre_lps_mm=place - 4 * v.right + 4 * v.down, right=v.right,
             down=v.down, extent_mm=16.0)
        for v in (coronal, sagittal)
    ]  # fmt: skip

    for view in shifted:
        seen = sample_hu(marked, view)
        y, x = np.unravel_index(np.argmax(seen), seen.shape)
        assert (x + 0.5) / len(seen) == pytest.approx(0.75, abs=0.06)
        assert (y + 0.5) / len(seen) == pytest.approx(0.25, abs=0.06)
    assert coronal.letters[1] == "L"
    assert sagittal.letters[1] == "P"


def test_points_come_back_to_their_pixels() -> None:
    volume, _ = ball(12.0, (2.5, 0.7, 0.7), (5.0, 0.0, 0.0))
    view = make_views(volume, (1.0, 2.0, 3.0), EXTENT_MM)[1]

    grid_points = view.points(20)

    pixels = view.to_picture(grid_points, 20)
    wanted = np.stack(np.meshgrid(np.arange(20) + 0.5, np.arange(20) + 0.5), axis=-1)
    assert pixels == pytest.approx(wanted, abs=1e-9)


def test_the_outline_and_the_axes_are_drawn_around_the_nodule() -> None:
    volume, voi = ball(2 * RADIUS_MM, (2.5, 0.7, 0.7), (0.0, 0.0, 30.0))
    side, extent_mm = 300, 50.0

    drawn = draw_nodule(volume, nodule_of(volume, voi), WORDS, colour=GREEN, tile_px=side)

    for tile in (drawn.axial, drawn.coronal, drawn.sagittal):
        y, x = np.nonzero(coloured(tile, GREEN))
        away_mm = np.hypot(x + 0.5 - side / 2, y + 0.5 - side / 2) * extent_mm / side
        # Voxels of 2.5 mm: in the upright planes the outline is a staircase around the circle.
        assert np.median(away_mm) == pytest.approx(RADIUS_MM, abs=0.6)
        assert away_mm.min() > RADIUS_MM - 2.6
        assert away_mm.max() < RADIUS_MM + 2.6
    y, x = np.nonzero(coloured(drawn.axial, LONG_AXIS_COLOUR))
    length_mm = float(np.hypot(np.ptp(x), np.ptp(y))) * extent_mm / side
    assert length_mm == pytest.approx(2 * RADIUS_MM, abs=1.5)
    assert not coloured(drawn.coronal, LONG_AXIS_COLOUR).any()


def coloured(image: Image.Image, colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Pixels that are nearly of a colour."""
    return np.asarray((np.abs(np.asarray(image).astype(int) - colour) < 60).all(axis=-1))


def test_the_sheet_holds_all_tiles_title_and_warning() -> None:
    volume, voi = ball(12.0)

    drawn = draw_nodule(volume, nodule_of(volume, voi), WORDS, colour=GREEN, tile_px=200)

    assert drawn.sheet.mode == "RGB"
    assert drawn.sheet.size == (404, HEADER_PX + 404 + FOOTER_PX)
    sheet = np.asarray(drawn.sheet)
    assert np.array_equal(sheet[HEADER_PX : HEADER_PX + 200, :200], np.asarray(drawn.axial))
    assert np.array_equal(sheet[HEADER_PX + 204 : HEADER_PX + 404, :200], np.asarray(drawn.coronal))
    assert np.array_equal(
        sheet[HEADER_PX + 204 : HEADER_PX + 404, 204:], np.asarray(drawn.sagittal)
    )
    assert sheet[:HEADER_PX].max() == 255
    footer = Image.fromarray(sheet[-FOOTER_PX:])
    assert coloured(footer, WARNING_COLOUR).sum() > 100


def test_equal_input_gives_the_same_picture() -> None:
    volume, voi = ball(12.0)
    nodule = nodule_of(volume, voi)

    first, second = (
        draw_nodule(volume, nodule, WORDS, colour=GREEN, tile_px=120).sheet.tobytes()
        for _ in range(2)
    )

    assert first == second


def test_the_square_in_the_whole_slice_marks_what_the_axial_view_shows() -> None:
    volume, voi = ball(12.0, (1.0, 1.0, 1.0))
    view = whole_slice(volume, volume.shape[0] // 2)
    inner = make_views(volume, (0.0, 0.0, 0.0), view.extent_mm / 2)[0]

    corners = view.to_picture(inner.points(2), 100)

    assert corners[0, 0] == pytest.approx([37.5, 37.5], abs=0.01)
    assert corners[1, 1] == pytest.approx([62.5, 62.5], abs=0.01)
    assert voi.mask.any()


def test_a_slice_that_is_not_square_lies_in_the_middle_of_its_square() -> None:
    hu = np.full((3, 10, 21), 100, dtype=np.int16)
    volume = Volume(hu=hu, affine=grid((3, 10, 21), (1.0, 1.0, 1.0)))

    shown = slice_hu(volume, 1)

    assert shown.shape == (21, 21)
    rows = np.flatnonzero((shown == 100).all(axis=1))
    assert (rows[0], rows[-1]) == (5, 14)
    corner = whole_slice(volume, 1).to_picture(volume.index_to_lps([1, 0, 0]), 21)
    assert corner == pytest.approx([0.5, 6.0], abs=0.51)


def test_the_lung_window_is_linear_between_black_and_white() -> None:
    hu = np.array([-2000, -1350, -600, 150, 3000])

    assert to_grey(hu).tolist() == [0, 0, 128, 255, 255]


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    volume, _ = ball(12.0)
    view = make_views(volume, (0.0, 0.0, 0.0), 50.0)[0]
    black = np.full((4, 4), -1024)

    image = np.asarray(draw_tile(black, view, 500).convert("L")).astype(int)

    lengths = [longest_run(row > 200) for row in image[450:]]
    assert scale_bar_mm(50.0) == 10
    assert max(lengths) == pytest.approx(100, abs=3)


def longest_run(bright: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], bright.astype(int), [0]])))
    return int(max(np.diff(edges)[::2], default=0))


def test_scale_bars_suit_small_and_large_views() -> None:
    assert [scale_bar_mm(extent) for extent in (2.0, 20.0, 80.0, 400.0)] == [1, 5, 20, 100]


def test_a_nodule_at_the_edge_of_the_volume_is_drawn_with_black_beyond() -> None:
    volume, voi = ball(12.0, (1.0, 1.0, 1.0))
    cut = Volume(hu=volume.hu[:12], affine=volume.affine)
    part = VoiMask(origin_kji=(0, 0, 0), mask=voi.mask[:12])

    drawn = draw_nodule(cut, nodule_of(cut, part), WORDS, colour=GREEN, tile_px=200)

    coronal = np.asarray(drawn.coronal.convert("L"))
    assert coronal[20:60, 20:60].max() == 0  # above the last slice
    assert coronal[120:130, 95:105].max() > 0
    assert np.asarray(drawn.axial.convert("L"))[100, 100] > 0  # the last slice itself is not lost


def test_the_key_point_of_a_ring_lies_in_the_ring() -> None:
    shape = (3, 21, 21)
    affine = grid(shape, (1.0, 1.0, 1.0))
    away = distance_mm(shape, affine)
    mask = (away > 5) & (away < 8)
    volume = Volume(hu=np.zeros(shape, dtype=np.int16), affine=affine)

    point = key_point(volume, VoiMask(origin_kji=(0, 0, 0), mask=mask), 1)

    assert mask[tuple(np.round(volume.lps_to_index(point)).astype(int))]


def test_a_nodule_that_is_not_in_its_key_slice_is_refused() -> None:
    volume, voi = ball(12.0)

    with pytest.raises(ValueError, match="no voxel in slice 0"):
        key_point(volume, voi, 0)
    with pytest.raises(ValueError, match="no voxel in slice 400"):
        key_point(volume, voi, 400)


def test_an_overview_shows_all_three_planes_of_the_whole_volume() -> None:
    volume, _ = ball(40.0, (2.0, 1.0, 1.0))

    tiles = draw_overview(volume, ("Axial", "Coronal", "Sagittal"), side_px=200)

    for tile in tiles:
        grey = np.asarray(tile.convert("L"))
        bright = np.flatnonzero(grey[100, 20:180] > 200)  # between the letters
        extent_mm = float(((np.array(volume.shape) - 1) * volume.spacing_mm).max())
        assert np.ptp(bright) / 200 * extent_mm == pytest.approx(40.0, abs=2.0)


def test_long_titles_are_cut_and_short_ones_are_not() -> None:
    font = typeface(None, 20)

    assert shorten("Nodule 1", font, 400) == "Nodule 1"
    cut = shorten("Nodule 1, " + "very " * 60 + "long", font, 400)
    assert cut.endswith("...")
    assert font.getlength(cut) <= 400
