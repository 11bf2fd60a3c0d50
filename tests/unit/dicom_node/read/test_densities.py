"""A lost Rescale Intercept is seen, whatever the padding outside the reconstruction circle is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from dicom_node.errors import SeriesRejected
from dicom_node.read.series import AIR_HU, load_ct_series
from tests.conftest import need_ct
from tests.unit.dicom_node.read.ct_builder import build_ct, save_all

FILLS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    # padding: (stored values outside the circle, Pixel Padding Value and its Range Limit)
    "declared": ((-2000,), (-2000,)),
    "undeclared": ((-2000,), ()),
    "two values, one declared": ((-2000, -1000), (-2000,)),
    "two values, none declared": ((-2000, -1024), ()),
    "a range": ((-2000, -1024), (-2000, -1024)),
    "a value that looks like air": ((-1000,), ()),
    "just above what is never air": ((-1023,), ()),
}


def padded(
    series: list[FileDataset], fill: tuple[int, ...], declared: tuple[int, ...]
) -> list[FileDataset]:
    """Put stored values outside the reconstruction circle, band by band of rows."""
    rows, columns = series[0].Rows, series[0].Columns
    j, i = np.mgrid[:rows, :columns]
    outside = (2 * (j + 0.5) / rows - 1) ** 2 + (2 * (i + 0.5) / columns - 1) ** 2 > 1
    value = np.array(fill)[(j * len(fill)) // rows].astype(np.int16)
    for ds in series:
        stored = ds.pixel_array.astype(np.int16)
        ds.PixelRepresentation = 1
        ds.PixelData = np.where(outside, value, stored).tobytes()
        names = ("PixelPaddingValue", "PixelPaddingRangeLimit")
        for name, number in zip(names, declared, strict=False):
            ds.add_new(name, "SS", number)
    return series


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("intercept", [None, 0])
def test_padding_does_not_hide_a_lost_intercept(
    tmp_path: Path, fill: str, intercept: int | None
) -> None:
    series = build_ct(rows=64, columns=64, RescaleIntercept=intercept)

    with pytest.raises(SeriesRejected, match="check Rescale Slope and Intercept") as caught:
        load_ct_series(save_all(padded(series, *FILLS[fill]), tmp_path))

    assert caught.value.code == "wrong_rescale"


@pytest.mark.parametrize("fill", FILLS)
def test_padding_of_a_right_series_is_not_taken_for_a_wrong_rescale(
    tmp_path: Path, fill: str
) -> None:
    series = padded(build_ct(rows=64, columns=64), *FILLS[fill])

    hu = load_ct_series(save_all(series, tmp_path)).hu

    assert (hu[:, 32, 32] > -200).all()
    if FILLS[fill][1]:
        assert (hu[:, 0, 0] == AIR_HU).all()


def test_one_slice_without_its_intercept_is_named(tmp_path: Path) -> None:
    series = build_ct()
    del series[6].RescaleIntercept

    with pytest.raises(SeriesRejected, match=r"\(instance 7\).* above 600 HU") as caught:
        load_ct_series(save_all(series, tmp_path))

    assert caught.value.code == "wrong_rescale"


def test_a_slice_of_padding_only_is_no_reason_to_refuse(tmp_path: Path) -> None:
    series = build_ct(PixelPaddingValue=0)
    series[0].PixelData = bytes(len(series[0].PixelData))

    assert (load_ct_series(save_all(series, tmp_path)).hu[0] == AIR_HU).all()


def test_a_series_of_padding_only_is_refused(tmp_path: Path) -> None:
    series = build_ct(PixelPaddingValue=0, PixelData=bytes(1536))

    with pytest.raises(SeriesRejected, match="every pixel is padding"):
        load_ct_series(save_all(series, tmp_path))


@pytest.mark.real_ct
@pytest.mark.parametrize(
    "fill", ["declared", "two values, none declared", "two values, one declared"]
)
@pytest.mark.parametrize("intercept", [-1024, None])
def test_padding_of_a_real_series_does_not_hide_a_lost_intercept(
    tmp_path: Path, fill: str, intercept: int | None
) -> None:
    sources = sorted((need_ct("lidc_idri_0001") / "dicom").glob("*.dcm"))[40:56]
    series = [dcmread(source) for source in sources]
    for ds in series:
        ds.decompress(generate_instance_uid=False)
        del ds.RescaleIntercept, ds.PixelPaddingValue
        if intercept is not None:
            ds.RescaleIntercept = intercept
    paths = save_all(padded(series, *FILLS[fill]), tmp_path)

    if intercept is not None:
        assert len(load_ct_series(paths).headers) == 16
        return
    with pytest.raises(SeriesRejected) as caught:
        load_ct_series(paths)
    assert caught.value.code == "wrong_rescale"
