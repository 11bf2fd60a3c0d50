from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from pydicom.dataset import Dataset

from dicom_node.errors import SeriesRejected
from dicom_node.read.series import AIR_HU, load_ct_series, select_series
from tests.conftest import need_ct
from tests.integration.bad_series import HEADER_CASES, plain_series, save

GEOMETRY_CASES = [name for name in HEADER_CASES if name not in {"not_ct", "localizer", "no_lungs"}]


def test_a_series_is_decoded_to_hu_in_the_order_of_its_slices(tmp_path: Path) -> None:
    datasets = plain_series("decoded")
    wanted = np.stack([ds.pixel_array.astype(int) - 1024 for ds in datasets])
    shuffled = [datasets[k] for k in np.random.default_rng(0).permutation(len(datasets))]

    series = load_ct_series(save(shuffled, tmp_path))

    assert np.array_equal(series.hu, wanted)
    assert series.hu.dtype == np.int16
    assert series.sop_instance_uids == tuple(str(ds.SOPInstanceUID) for ds in datasets)
    assert all("PixelData" not in header for header in series.headers)
    assert series.affine[:3, 3] == pytest.approx((-44.8, -44.8, -60.0))


def test_each_slice_has_its_own_rescale(tmp_path: Path) -> None:
    datasets = plain_series("rescale")
    datasets[4].RescaleSlope = 0.5
    stored = datasets[4].pixel_array.astype(float)

    series = load_ct_series(save(datasets, tmp_path))

    assert np.array_equal(series.hu[4], np.rint(stored * 0.5 - 1024))


def test_padding_becomes_air(tmp_path: Path) -> None:
    datasets = plain_series("padding")
    for ds in datasets:
        ds.PixelPaddingValue = 7
        pixels = ds.pixel_array.copy()
        pixels[0, :] = 7
        ds.PixelData = pixels.astype("<u2").tobytes()

    series = load_ct_series(save(datasets, tmp_path))

    assert (series.hu[:, 0] == AIR_HU).all()


@pytest.mark.parametrize("name", GEOMETRY_CASES)
def test_a_series_that_is_no_volume_is_rejected_with_its_code(name: str, tmp_path: Path) -> None:
    code, words, change = HEADER_CASES[name]

    with pytest.raises(SeriesRejected, match=words.replace(".", r"\.")) as caught:
        load_ct_series(save(change(plain_series(name)), tmp_path))

    assert caught.value.code == code


def test_a_hole_may_be_tolerated_and_is_said(tmp_path: Path) -> None:
    datasets = plain_series("hole")

    series = load_ct_series(save(datasets[:9] + datasets[10:], tmp_path), allow_incomplete=True)

    assert len(series.hu) == 23
    assert "analysed although incomplete: 1 slices missing" in series.warnings[-1]


def test_a_file_that_is_cut_short_is_named(tmp_path: Path) -> None:
    datasets = plain_series("cut")
    paths = save(datasets, tmp_path)
    paths[3].write_bytes(paths[3].read_bytes()[:-100])

    with pytest.raises(SeriesRejected, match=str(datasets[3].SOPInstanceUID)) as caught:
        load_ct_series(paths)

    assert caught.value.code == "truncated"


def test_a_garbled_frame_is_named(tmp_path: Path) -> None:
    def garble(ds: Dataset) -> None:
        ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.80"
        from pydicom.encaps import encapsulate

        ds.PixelData = encapsulate([b"\xff\xd8" + b"nonsense" * 20])
        ds["PixelData"].VR = "OB"

    datasets = plain_series("garbled")
    garble(datasets[7])

    with pytest.raises(SeriesRejected, match="cannot be decoded") as caught:
        load_ct_series(save(datasets, tmp_path))

    assert caught.value.code == "undecodable"
    assert str(datasets[7].SOPInstanceUID) in caught.value.why


def test_a_folder_is_sorted_by_series_and_other_files_are_passed_over(tmp_path: Path) -> None:
    save(plain_series("one", slices=3), tmp_path / "a")
    save(plain_series("two", slices=2), tmp_path / "a" / "b")
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / "truth.json").write_text(json.dumps({}))

    assert sorted(len(paths) for paths in select_series(tmp_path).values()) == [2, 3]


@pytest.mark.real_ct
def test_real_compressed_slices_are_decoded_as_another_reader_decodes_them() -> None:
    folder = need_ct("lung_pet_ct_dx_A0001") / "dicom"
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()

    series = load_ct_series(sorted(folder.glob("*.dcm")))

    assert np.array_equal(series.hu, SimpleITK.GetArrayFromImage(image))
    assert series.affine[:3, 3] == pytest.approx(image.GetOrigin(), abs=1e-4)
