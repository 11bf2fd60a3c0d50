from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dicom_node.errors import SeriesRejected
from dicom_node.read.series import AIR_HU, load_ct_series, scan_folder, select_series
from tests.conftest import need_ct
from tests.unit.dicom_node.read.ct_builder import (
    build_ct,
    chest_hu,
    save_all,
    to_jpeg_lossless,
)


def test_a_series_is_decoded_to_hu_in_the_order_of_its_slices(tmp_path: Path) -> None:
    datasets = build_ct()
    shuffled = [datasets[k] for k in np.random.default_rng(0).permutation(len(datasets))]

    series = load_ct_series(save_all(shuffled, tmp_path))

    assert np.array_equal(series.hu, chest_hu(20, 32, 24))
    assert series.hu.dtype == np.int16
    assert series.sop_instance_uids == tuple(str(ds.SOPInstanceUID) for ds in datasets)
    assert series.affine[:3, 3] == pytest.approx((-10.0, -12.0, 30.0))


def test_headers_keep_the_patient_and_lose_what_is_bulky(tmp_path: Path) -> None:
    overlay = {"OverlayRows": 32}
    datasets = build_ct(InstitutionName="Hospital", IssuerOfPatientID="ISSUER")
    for ds in datasets:
        ds.add_new(0x60000010, "US", overlay["OverlayRows"])
        ds.add_new(0x60003000, "OW", bytes(96))
        ds.IconImageSequence = [Dataset()]

    header = load_ct_series(save_all(datasets, tmp_path)).headers[3]

    assert (header.PatientName, header.IssuerOfPatientID) == ("Built^1", "ISSUER")
    assert header.InstitutionName == "Hospital"
    assert "PixelData" not in header
    assert "IconImageSequence" not in header
    assert 0x60003000 not in header


def test_each_slice_has_its_own_rescale(tmp_path: Path) -> None:
    datasets = build_ct()
    datasets[4].RescaleSlope = 0.5
    stored = datasets[4].pixel_array.astype(float)

    series = load_ct_series(save_all(datasets, tmp_path))

    assert np.array_equal(series.hu[4], np.rint(stored * 0.5 - 1024))
    assert np.array_equal(series.hu[5], chest_hu(20, 32, 24)[5])


def test_values_beyond_int16_are_clipped(tmp_path: Path) -> None:
    datasets = build_ct()
    pixels = datasets[2].pixel_array.copy()
    pixels[0, 0] = 65535
    datasets[2].PixelData = pixels.tobytes()

    assert load_ct_series(save_all(datasets, tmp_path)).hu[2, 0, 0] == 32767


def test_padding_becomes_air(tmp_path: Path) -> None:
    datasets = build_ct(PixelPaddingValue=7, PixelPaddingRangeLimit=9)
    for ds in datasets:
        pixels = ds.pixel_array.copy()
        pixels[0, :] = 7
        pixels[1, :] = 9
        pixels[2, :] = 10
        ds.PixelData = pixels.tobytes()

    series = load_ct_series(save_all(datasets, tmp_path))

    assert (series.hu[:, :2] == AIR_HU).all()
    assert (series.hu[:, 2] == 10 - 1024).all()


def test_a_simulation_without_noise_is_not_taken_for_a_wrong_rescale(tmp_path: Path) -> None:
    datasets = build_ct()
    hu = np.full((32, 24), -1000)
    hu[8:28, 4:20] = 20
    for ds in datasets:
        ds.PixelData = (hu + 1024).astype("<u2").tobytes()

    assert load_ct_series(save_all(datasets, tmp_path)).hu.min() == -1000


def test_negative_padding_written_as_if_it_were_unsigned_is_understood(tmp_path: Path) -> None:
    datasets = build_ct(PixelRepresentation=1)
    for ds in datasets:
        pixels = ds.pixel_array.astype(np.int16)
        pixels[0, :] = -2000
        ds.PixelData = pixels.tobytes()
        ds.add_new("PixelPaddingValue", "US", 63536)

    assert (load_ct_series(save_all(datasets, tmp_path)).hu[:, 0] == AIR_HU).all()


def test_padding_that_means_tissue_makes_no_holes_in_it(tmp_path: Path) -> None:
    datasets = build_ct(PixelPaddingValue=1064)

    series = load_ct_series(save_all(datasets, tmp_path))

    assert np.array_equal(series.hu, chest_hu(20, 32, 24))
    assert series.warnings == ("Pixel Padding Value means 40 HU, so it was not taken as such",)


def test_one_lost_slice_may_be_tolerated_and_is_said(tmp_path: Path) -> None:
    datasets = build_ct()
    paths = save_all(datasets[:9] + datasets[10:], tmp_path)

    series = load_ct_series(paths, allow_incomplete=True)

    assert len(series.hu) == 19
    assert "analysed although incomplete: 1 slice missing in 1 place" in series.warnings[-1]
    assert "places are off by up to 1.2 mm" in series.warnings[-1]
    with pytest.raises(SeriesRejected, match="1 slice missing"):
        load_ct_series(paths)


def test_behind_wide_holes_only_the_longest_part_is_taken_so_that_lengths_stay_true(
    tmp_path: Path,
) -> None:
    datasets = build_ct(slices=40)
    paths = save_all(datasets[:6] + datasets[9:30] + datasets[34:], tmp_path)

    series = load_ct_series(paths, allow_incomplete=True)

    assert len(series.hu) == 21
    assert series.affine[:3, 0] == pytest.approx((0, 0, 2.5))
    assert series.sop_instance_uids[0] == str(datasets[9].SOPInstanceUID)
    assert "21 of 33 slices, z=52.5 to 102.5 mm" in series.warnings[-1]


def test_holes_that_leave_no_part_long_enough_are_refused(tmp_path: Path) -> None:
    datasets = build_ct(slices=40)
    paths = save_all(datasets[:10] + datasets[14:25] + datasets[30:], tmp_path)

    with pytest.raises(SeriesRejected, match="at least 16") as caught:
        load_ct_series(paths, allow_incomplete=True)

    assert caught.value.code == "missing_slices"


def transcoded(path: Path, syntax: str) -> None:
    ds = dcmread(path)
    if syntax == JPEGLosslessSV1:
        to_jpeg_lossless(path)
    elif syntax in {ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian}:
        ds.file_meta.TransferSyntaxUID = syntax
        implicit = syntax == ImplicitVRLittleEndian
        ds.save_as(path, implicit_vr=implicit, little_endian=True)
    else:
        ds.compress(syntax, generate_instance_uid=False)
        ds.save_as(path)


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEG2000Lossless,
        JPEGLSLossless,
        JPEGLosslessSV1,
    ],
)
def test_every_usual_transfer_syntax_is_decoded_to_the_same_hu(tmp_path: Path, syntax: str) -> None:
    paths = save_all(build_ct(slices=16, rows=64, columns=64), tmp_path)
    for path in paths:
        transcoded(path, syntax)

    series = load_ct_series(paths)

    assert np.array_equal(series.hu, chest_hu(16, 64, 64))


def test_a_transfer_syntax_without_a_decoder_is_named(tmp_path: Path) -> None:
    datasets = build_ct()
    datasets[7].compress(JPEGLSLossless, generate_instance_uid=False)
    datasets[7].file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"

    with pytest.raises(
        SeriesRejected, match=r"\(instance 8\) cannot be decoded from MPEG"
    ) as caught:
        load_ct_series(save_all(datasets, tmp_path))

    assert caught.value.code == "undecodable"
    assert str(datasets[7].SOPInstanceUID) in caught.value.why
    assert len(caught.value.why) < 600


def test_a_file_that_is_cut_short_is_named(tmp_path: Path) -> None:
    datasets = build_ct()
    paths = save_all(datasets, tmp_path)
    paths[3].write_bytes(paths[3].read_bytes()[:-100])

    with pytest.raises(SeriesRejected, match=str(datasets[3].SOPInstanceUID)) as caught:
        load_ct_series(paths)

    assert (caught.value.code, "1436 of 1536 bytes" in caught.value.why) == ("truncated", True)


def test_a_folder_is_sorted_by_series_and_other_files_are_listed_with_reasons(
    tmp_path: Path,
) -> None:
    save_all(build_ct(key="one", slices=3), tmp_path / "a")
    save_all(build_ct(key="two", slices=2), tmp_path / "a" / "b")
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / "DICOMDIR").write_bytes(b"")
    (tmp_path / "truth.json").write_text(json.dumps({}))

    scan = scan_folder(tmp_path)

    assert sorted(len(paths) for paths in scan.series.values()) == [2, 3]
    assert select_series(tmp_path) == scan.series
    assert {path.name for path, _ in scan.ignored} == {"notes.txt", "DICOMDIR", "truth.json"}
    assert all(reason for _, reason in scan.ignored)


@pytest.mark.real_ct
def test_real_compressed_slices_are_decoded_as_another_reader_decodes_them() -> None:
    folder = need_ct("lung_pet_ct_dx_A0001") / "dicom"
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()

    series = load_ct_series(sorted(folder.glob("*.dcm")))

    assert np.array_equal(series.hu, SimpleITK.GetArrayFromImage(image))
    assert series.affine[:3, 3] == pytest.approx(image.GetOrigin(), abs=1e-4)
    assert np.linalg.norm(series.affine[:3, :3], axis=0) == pytest.approx(image.GetSpacing()[::-1])


@pytest.mark.real_ct
@pytest.mark.parametrize("intercept", [None, 0, -2048])
def test_a_real_series_with_a_wrong_intercept_is_refused(
    tmp_path: Path, intercept: int | None
) -> None:
    """Its corners hold an undeclared -1024, which alone looks like air."""
    paths = []
    for source in sorted((need_ct("lidc_idri_0001") / "dicom").glob("*.dcm"))[40:60]:
        ds = dcmread(source)
        del ds.RescaleIntercept
        if intercept is not None:
            ds.RescaleIntercept = intercept
        paths.append(tmp_path / source.name)
        ds.save_as(paths[-1])

    with pytest.raises(SeriesRejected, match="check Rescale Slope and Intercept") as caught:
        load_ct_series(paths)

    assert caught.value.code == "wrong_rescale"
