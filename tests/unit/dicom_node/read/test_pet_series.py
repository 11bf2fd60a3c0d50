"""PET series from files: each slice by its own slope, refused with what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.compose.ct import CtIdentity, write_ct_series
from dicom_node.errors import SeriesRejected, SuvUnknown
from dicom_node.read.pet_series import load_pet_series
from tests.unit.dicom_node.read import pet_files
from tests.unit.dicom_node.read.test_suv import pet

SLICES = 20
AFFINE = np.array([[0, 0, 4, 0], [0, 4, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
SLOPES = np.linspace(0.5, 2.0, SLICES)


def write_pet(folder: Path) -> list[Path]:
    """Slice k holds 100 stored everywhere, and a Rescale Slope of its own."""
    stored = np.full((SLICES, 8, 8), 100, dtype=np.int16)
    return pet_files.write_pet(
        folder, stored, AFFINE, SLOPES, header=pet(), identity=CtIdentity(key="pet")
    )


def test_each_slice_is_scaled_by_its_own_slope(tmp_path: Path) -> None:
    series = load_pet_series(write_pet(tmp_path)[::-1])

    assert series.suv.shape == (SLICES, 8, 8)
    assert series.suv[:, 3, 3] == pytest.approx(100 * SLOPES * series.scale.g_per_ml)
    assert series.scale.g_per_ml == pytest.approx(70_000 / 253.31e6, rel=1e-4)
    assert series.frame_of_reference_uid == str(series.headers[0].FrameOfReferenceUID)
    assert all("PixelData" not in header for header in series.headers)


def edited(paths: list[Path], index: int, edit: object) -> list[Path]:
    ds: Dataset = dcmread(paths[index])
    edit(ds)  # type: ignore[operator]
    ds.save_as(paths[index])
    return paths


def test_what_is_no_pet_or_cannot_be_decoded_is_refused(tmp_path: Path) -> None:
    paths = write_pet(tmp_path)

    def without_slope(ds: Dataset) -> None:
        del ds.RescaleSlope

    with pytest.raises(SeriesRejected, match="cannot be decoded"):
        load_pet_series(edited(paths, 3, without_slope))
    whole = write_pet(tmp_path / "holes")
    with pytest.raises(SeriesRejected) as refused:
        load_pet_series([*whole[:7], *whole[8:]])
    assert refused.value.code == "missing_slices"


def test_a_ct_is_no_pet(tmp_path: Path) -> None:
    paths = write_ct_series(
        tmp_path,
        hu=np.zeros((SLICES, 8, 8), dtype=np.int16),
        affine=AFFINE,
        identity=CtIdentity(key="ct"),
    )

    with pytest.raises(SeriesRejected, match="other than PET"):
        load_pet_series(paths)


def test_a_series_without_a_dose_says_so(tmp_path: Path) -> None:
    paths = write_pet(tmp_path)

    def without_dose(ds: Dataset) -> None:
        del ds.RadiopharmaceuticalInformationSequence

    for index in range(len(paths)):
        edited(paths, index, without_dose)
    with pytest.raises(SuvUnknown, match="0054,0016"):
        load_pet_series(paths)
