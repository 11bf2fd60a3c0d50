from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from dicom_node.errors import UnreadableInstance
from dicom_node.read.header import Identity, InstanceHeader, digests, read_header
from tests.integration.bad_series import plain_series, save


def one(tmp_path: Path, change: Callable[[Dataset], object] = lambda _ds: None) -> Path:
    (ds,) = plain_series("header", slices=1)
    change(ds)
    return save([ds], tmp_path)[0]


def test_a_header_survives_the_way_through_json(tmp_path: Path) -> None:
    header = read_header(one(tmp_path))

    assert InstanceHeader.from_json(header.to_json()) == header
    assert header.modality == "CT"
    assert header.image_position_lps_mm == (-44.8, -44.8, -60.0)
    assert header.identity.patient_name == "Name^header"
    assert (header.truncated, header.problems) == (False, ())


@pytest.mark.filterwarnings("ignore:Invalid value for VR")  # that is what is written on purpose
def test_a_malformed_attribute_is_a_problem_and_not_the_end(tmp_path: Path) -> None:
    def spoil(ds: Dataset) -> None:
        ds.ImagePositionPatient = ["1", "2"]
        ds["InstanceNumber"]._value = "many"
        del ds.PatientAge

    header = read_header(one(tmp_path, spoil))

    assert header.image_position_lps_mm is None
    assert header.instance_number is None
    assert {problem.split()[0] for problem in header.problems} == {
        "ImagePositionPatient",
        "InstanceNumber",
    }


@pytest.mark.filterwarnings("ignore:End of file reached")  # pydicom's own word for it
@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"\xff" * 300]
)
def test_what_is_no_dicom_file_is_unreadable(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(data)

    with pytest.raises(UnreadableInstance, match=r"x\.dcm"):
        read_header(path)


@pytest.mark.parametrize("keep", [200, 400, 600])
def test_a_file_that_ends_within_its_header_is_unreadable(tmp_path: Path, keep: int) -> None:
    path = one(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(UnreadableInstance):
        read_header(path)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_an_instance_without_a_valid_series_uid_is_unreadable(tmp_path: Path) -> None:
    def spoil(ds: Dataset) -> None:
        ds.SeriesInstanceUID = "../../etc"

    with pytest.raises(UnreadableInstance, match="SeriesInstanceUID"):
        read_header(one(tmp_path, spoil))


def test_native_pixels_that_are_cut_short_are_seen(tmp_path: Path) -> None:
    path = one(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])

    header = read_header(path)

    assert header.truncated
    assert header.problems == ("Pixel Data hold 8182 of 8192 bytes",)


def test_a_file_that_ends_after_its_header_is_cut_short(tmp_path: Path) -> None:
    path = one(tmp_path)
    path.write_bytes(path.read_bytes()[: -8192 - 12])

    assert read_header(path).truncated


def test_encapsulated_pixels_need_their_delimiter(tmp_path: Path) -> None:
    def encode(ds: Dataset) -> None:
        ds.file_meta.TransferSyntaxUID = JPEGLSLossless
        ds.PixelData = encapsulate([b"\xff\xd8" + b"x" * 500])
        ds["PixelData"].VR = "OB"

    path = one(tmp_path, encode)
    whole = read_header(path)
    path.write_bytes(path.read_bytes()[:-60])

    assert not whole.truncated
    assert read_header(path).truncated


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_transfer_syntaxes_are_read_and_whole(tmp_path: Path, syntax: str) -> None:
    (ds,) = plain_series("syntax", slices=1)
    path = tmp_path / "x.dcm"
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(
        path,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=True,
        enforce_file_format=True,
    )

    header = read_header(path)

    assert (header.rows, header.truncated) == (64, False)
    assert digests(path)[1] != digests(one(tmp_path / "empty", blank))[1]


def blank(ds: Dataset) -> None:
    ds.PixelData = bytes(8192)


def test_digests_tell_a_corrected_header_from_another_image(tmp_path: Path) -> None:
    first = digests(one(tmp_path / "a"))

    renamed = digests(one(tmp_path / "b", lambda ds: setattr(ds, "PatientName", "Other^Name")))
    repainted = digests(one(tmp_path / "c", lambda ds: setattr(ds, "PixelData", bytes(8192))))
    resent = digests(
        one(
            tmp_path / "d",
            lambda ds: setattr(ds.file_meta, "SourceApplicationEntityTitle", "ELSEWHERE"),
        )
    )

    assert renamed[0] != first[0]
    assert renamed[1] == first[1]
    assert repainted[0] == first[0]
    assert repainted[1] != first[1]
    assert resent == first


def test_patients_differ_by_their_attributes_but_not_by_trailing_carets() -> None:
    one_patient = Identity(patient_id="1", patient_name="Doe^Jane")
    ds = Dataset()
    ds.PatientID = "1"
    ds.PatientName = "Doe^Jane^^^"

    assert Identity.from_dataset(ds).patient_differences(one_patient) == ()
    assert one_patient.patient_differences(Identity(patient_id="1", patient_name="Roe")) == (
        "patient_name",
    )
    assert one_patient.patient_differences(
        Identity(patient_id="1", patient_name="Doe^Jane", issuer_of_patient_id="B")
    ) == ("issuer_of_patient_id",)
