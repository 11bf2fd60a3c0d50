"""Radiomics of balls and tiny masks: grids, turns, what is undefined, and how long it takes."""

from __future__ import annotations

import hashlib
import itertools
import sys
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from inference.findings import VoiMask
from inference.radiomics.extract import features_of, roi_features, voi_features
from inference.radiomics.table import ROI_TABLE, TABLE_VERSION, VOI_TABLE, FeatureTable
from inference.volume import Volume
from tests.unit.inference.balls import ball

Nodule = tuple[NDArray[np.float32], NDArray[np.bool_]]
TABLES = pytest.mark.parametrize("table", [ROI_TABLE, VOI_TABLE], ids=["roi", "voi"])


def _nodule(side: int = 24, seed: int = 1) -> Nodule:
    """Smooth noise in a lopsided blob: no symmetry of its own."""
    noise = np.random.default_rng(seed).normal(size=(2, side, side, side))
    texture, form = ndimage.gaussian_filter(noise[0], 1), ndimage.gaussian_filter(noise[1], 3)
    distance = np.linalg.norm(np.indices((side,) * 3) - side / 2, axis=0)
    mask = distance + 60 * form < side / 3
    hu = np.where(mask, 20.0, -850.0) + 400 * texture
    return hu.astype(np.float32), mask


def _named(row: NDArray[np.float64], table: FeatureTable) -> dict[str, float]:
    return dict(zip(table.names, row.tolist(), strict=True))


def test_names_and_settings_are_those_of_the_version() -> None:
    """What weights were trained on: a change here needs a new TABLE_VERSION and this digest."""
    text = repr([(table.planar, table.names, table.settings) for table in (ROI_TABLE, VOI_TABLE)])

    assert TABLE_VERSION == 1
    assert (
        hashlib.sha256(text.encode()).hexdigest()
        == "1b5017b84a4abfd3d2d3e3705aaea510c925c6b8308fbd82411d84b285addcdd"
    )
    assert (len(ROI_TABLE.names), len(VOI_TABLE.names)) == (86, 104)


@TABLES
def test_no_name_stands_twice_and_every_one_is_computed(table: FeatureTable) -> None:
    row = features_of(*_nodule(), (1.0, 1.0, 1.0), table)

    assert len(set(table.names)) == len(table.names)
    assert row.shape == (len(table.names),)
    assert row.dtype == np.float64
    assert np.isfinite(row).all()


@TABLES
def test_the_same_nodule_gives_the_same_bits(table: FeatureTable) -> None:
    hu, mask = _nodule()

    first = features_of(hu, mask, (1.5, 0.7, 0.7), table)

    assert (features_of(hu.copy(), mask.copy(), (1.5, 0.7, 0.7), table) == first).all()


@TABLES
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (1.25, 0.7, 0.7), (0.65, 0.65, 0.65)])
def test_mirrored_axes_change_nothing(
    table: FeatureTable, spacing_mm: tuple[float, float, float]
) -> None:
    hu, mask = _nodule()
    straight = _named(features_of(hu, mask, spacing_mm, table), table)
    for turns in itertools.product((1, -1), repeat=3):
        view = tuple(slice(None, None, turn) for turn in turns)

        turned = _named(features_of(hu[view], mask[view], spacing_mm, table), table)

        assert turned == pytest.approx(straight, rel=1e-6, abs=1e-9)


def test_exchanged_axes_change_only_the_names_of_planes() -> None:
    hu, mask = _nodule()
    planes = [f"shape_maximum_2d_diameter_{name}" for name in ("slice", "column", "row")]
    spacing_mm = np.array([1.25, 0.7, 0.9])
    straight = _named(features_of(hu, mask, spacing_mm), VOI_TABLE)
    across = [straight.pop(name) for name in planes]
    for order in itertools.permutations(range(3)):
        turned = _named(
            features_of(hu.transpose(order), mask.transpose(order), spacing_mm[list(order)]),
            VOI_TABLE,
        )
        turned_across = [turned.pop(name) for name in planes]

        assert turned == pytest.approx(straight, rel=1e-6, abs=1e-9)
        assert turned_across == pytest.approx([across[axis] for axis in order], rel=1e-6)


def test_a_slice_turned_by_right_angles_has_the_same_features() -> None:
    hu, mask = _nodule()
    straight = features_of(hu, mask, (2.0, 0.8, 0.8), ROI_TABLE)
    for quarter in (1, 2, 3):
        turned = features_of(
            np.rot90(hu, quarter, (1, 2)), np.rot90(mask, quarter, (1, 2)), (2, 0.8, 0.8), ROI_TABLE
        )

        assert turned == pytest.approx(straight, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    "spacing_mm", [(1.0, 1.0, 1.0), (0.65, 0.65, 0.65), (2.0, 0.7, 0.7), (1.4, 1.4, 1.4)]
)
def test_a_ball_has_its_size_on_any_grid(spacing_mm: tuple[float, float, float]) -> None:
    """Within 5 %, its diameter within half a voxel of both grids at each end."""
    volume, voi = ball(20.0, spacing_mm)

    found = _named(voi_features(volume, voi), VOI_TABLE)
    flat = _named(roi_features(volume, voi, len(voi.mask) // 2), ROI_TABLE)

    assert found["shape_mesh_volume"] == pytest.approx(np.pi / 6 * 20.0**3, rel=0.05)
    assert flat["shape2d_mesh_surface"] == pytest.approx(np.pi / 4 * 20.0**2, rel=0.05)
    assert found["shape_maximum_3d_diameter"] == pytest.approx(20.0, abs=1.0 + max(spacing_mm))
    assert found["firstorder_median"] == 30.0
    assert flat["firstorder_median"] == 30.0


def test_the_grid_that_a_texture_was_stored_on_matters_little() -> None:
    """A smooth texture, stored at 0.5 mm and at 0.5 x 0.5 x 1.5 mm."""
    noise = np.random.default_rng(3).normal(size=(61, 60, 60))
    hu = 3000 * ndimage.gaussian_filter(noise, 5)
    mask = np.linalg.norm(np.indices(hu.shape) - 30, axis=0) < 20
    fine = _named(features_of(hu, mask, (0.5, 0.5, 0.5)), VOI_TABLE)

    coarse = _named(features_of(hu[::3], mask[::3], (1.5, 0.5, 0.5)), VOI_TABLE)

    for name in (
        "firstorder_mean",
        "firstorder_variance",
        "glcm_contrast",
        "glcm_idm",
        "glszm_zone_percentage",
        "glrlm_run_percentage",
        "gldm_dependence_variance",
    ):
        assert coarse[name] == pytest.approx(fine[name], rel=0.1), name


def test_the_functions_of_a_volume_are_those_of_its_arrays() -> None:
    hu, mask = _nodule()
    places = np.argwhere(mask)
    low, high = places.min(axis=0), places.max(axis=0) + 1
    box = mask[tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))]
    spacing_mm = np.array([1.5, 0.7, 0.7])
    volume = Volume(hu=np.rint(hu).astype(np.int16), affine=np.diag([*spacing_mm, 1.0]))
    voi = VoiMask(origin_kji=(int(low[0]), int(low[1]), int(low[2])), mask=box)
    k = int(mask.sum(axis=(1, 2)).argmax())

    whole, flat = voi_features(volume, voi), roi_features(volume, voi, k)

    assert (whole == features_of(volume.hu, mask, spacing_mm, VOI_TABLE)).all()
    assert (flat == features_of(volume.hu, mask, spacing_mm, ROI_TABLE)).all()
    assert np.isnan(roi_features(volume, voi, int(low[0]) - 1)).all()


def test_a_nodule_at_the_edge_of_the_volume_has_features() -> None:
    volume = Volume(hu=np.full((3, 5, 5), 40, dtype=np.int16), affine=np.diag([2.5, 0.7, 0.7, 1.0]))
    voi = VoiMask(origin_kji=(0, 0, 0), mask=np.ones((3, 5, 5), dtype=bool))

    assert _named(voi_features(volume, voi), VOI_TABLE)["firstorder_mean"] == 40.0
    assert _named(roi_features(volume, voi, 2), ROI_TABLE)["firstorder_mean"] == 40.0


def _undefined(row: NDArray[np.float64], table: FeatureTable) -> set[str]:
    assert not np.isinf(row).any()
    return {name for name, value in _named(row, table).items() if np.isnan(value)}


def _mask_of(*places: tuple[int, int, int]) -> NDArray[np.bool_]:
    mask = np.zeros((9, 9, 9), dtype=bool)
    for place in places:
        mask[place] = True
    return mask


@TABLES
def test_of_an_empty_mask_everything_is_undefined(table: FeatureTable) -> None:
    row = features_of(np.zeros((9, 9, 9)), _mask_of(), (1, 1, 1), table)

    assert np.isnan(row).all()


@TABLES
def test_of_one_voxel_only_what_needs_two_is_undefined(table: FeatureTable) -> None:
    hu = np.full((9, 9, 9), 40.0)
    ratios = {"shape_elongation", "shape_flatness", "shape2d_elongation"}
    pairs = {name for name in table.names if name.split("_")[0] in ("glcm", "ngtdm")}

    row = features_of(hu, _mask_of((4, 4, 4)), (1, 1, 1), table)

    assert _undefined(row, table) == (ratios & set(table.names)) | pairs
    assert _named(row, table)["firstorder_mean"] == 40.0


@TABLES
def test_of_constant_density_only_the_coarseness_is_undefined(table: FeatureTable) -> None:
    _, mask = _nodule()

    row = features_of(np.full(mask.shape, -650.0), mask, (1, 1, 1), table)

    assert _undefined(row, table) == {"ngtdm_coarseness"}
    assert _named(row, table)["glcm_correlation"] == 1.0


@TABLES
@pytest.mark.parametrize("spacing_mm", [(1, 1, 1), (5.0, 0.7, 0.7), (0.3, 0.3, 0.3)])
@pytest.mark.parametrize(
    "places",
    [
        [(0, 0, 0)],
        [(4, 4, 4), (4, 4, 5)],
        [(4, 4, 4), (5, 5, 5)],
        [(1, 1, 1), (7, 7, 7)],
        [(1, 1, 1), (4, 4, 4), (4, 4, 5)],
        [(4, 4, i) for i in range(9)],
        [(4, j, i) for j in range(3, 6) for i in range(3, 6)],
        [(k, j, i) for k in range(9) for j in range(9) for i in range(9)],
    ],
    ids=["corner", "pair", "diagonal", "apart", "one apart", "line", "slice", "everything"],
)
def test_tiny_masks_raise_and_warn_of_nothing(
    table: FeatureTable,
    spacing_mm: tuple[float, float, float],
    places: list[tuple[int, int, int]],
) -> None:
    hu = np.random.default_rng(5).normal(-300, 300, (9, 9, 9))

    found = _named(features_of(hu, _mask_of(*places), spacing_mm, table), table)

    assert not np.isinf(list(found.values())).any()
    defined = [name for name in table.names if name.startswith(("firstorder", "glszm", "gldm"))]
    assert np.isfinite([found[name] for name in defined]).all()


def test_densities_beyond_the_range_count_as_its_ends() -> None:
    hu, mask = _nodule()
    beyond = np.where(mask & (hu > 0), 3000.0, hu)

    found = _named(features_of(beyond, mask, (1, 1, 1)), VOI_TABLE)

    assert found["firstorder_maximum"] == 1000.0
    assert features_of(beyond, mask, (1, 1, 1)) == pytest.approx(
        features_of(np.clip(beyond, -1000, 1000), mask, (1, 1, 1)), nan_ok=True
    )


def test_arrays_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="wanted one shape"):
        features_of(np.zeros((3, 3, 3)), np.zeros((3, 3, 4), dtype=bool), (1, 1, 1))


def test_how_long_a_nodule_takes_is_told() -> None:
    """Told (``pytest -s``), not asserted: it depends on the machine."""
    features_of(*_nodule(), (1, 1, 1))  # imports
    for diameter_mm in (6.0, 10.0, 20.0, 30.0):
        volume, voi = ball(diameter_mm)
        noise = np.random.default_rng(1).normal(0, 30, volume.shape)
        volume = Volume(hu=(volume.hu + noise).astype(np.int16), affine=volume.affine)
        k = len(voi.mask) // 2
        start = time.perf_counter()
        voi_features(volume, voi)
        middle = time.perf_counter()
        roi_features(volume, voi, k)
        sys.stdout.write(
            f"{diameter_mm:.0f} mm: volume {1e3 * (middle - start):.0f} ms, "
            f"key slice {1e3 * (time.perf_counter() - middle):.0f} ms\n"
        )
