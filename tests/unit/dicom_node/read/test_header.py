from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ComprehensiveSRStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    EnhancedCTImageStorage,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RawDataStorage,
    SegmentationStorage,
)

from dicom_node.errors import UnreadableInstance
from dicom_node.read.header import Identity, InstanceHeader, digests, read_header
from tests.unit.dicom_node.read.ct_builder import build_ct, save_all


def one(tmp_path: Path, change: Callable[[Dataset], object] = lambda _ds: None) -> Path:
    (ds,) = build_ct(slices=1)
    change(ds)
    return save_all([ds], tmp_path)[0]


def test_a_header_survives_the_way_through_json(tmp_path: Path) -> None:
    header = read_header(one(tmp_path))

    assert InstanceHeader.from_json(header.to_json()) == header
    assert InstanceHeader.from_json(json.loads(json.dumps(header.to_json()))) == header
    assert (header.modality, header.source_ae_title) == ("CT", "SCANNER")
    assert header.image_position_lps_mm == (-10.0, -12.0, 30.0)
    assert header.identity.patient_name == "Built^1"
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


def patched(path: Path, keyword: str, value: bytes) -> Path:
    """Another value of the same length as the one that is there, byte for byte."""
    tag = tag_for_keyword(keyword) or 0
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    data = path.read_bytes()
    at = data.index(head) + 8
    length = int.from_bytes(data[at - 2 : at], "little")
    path.write_bytes(data[:at] + value.ljust(length)[:length] + data[at + length :])
    return path


@pytest.mark.parametrize(
    ("keyword", "usual", "value", "field"),
    [
        ("SliceThickness", 2.12345678, b"thick", "slice_thickness_mm"),
        ("SliceThickness", 2.12345678, b"nan", "slice_thickness_mm"),
        ("RescaleIntercept", -1024, b"-inf", "rescale_intercept"),
        ("AcquisitionNumber", 100000, b"1.5", "acquisition_number"),
        ("AcquisitionNumber", 100000, b"\xff\xfe", "acquisition_number"),
        ("PixelSpacing", [0.71, 0.81], b"0.7", "pixel_spacing_mm"),
        ("ImagePositionPatient", [1.25, 2.25, 3.25], b"1\\2\\nan", "image_position_lps_mm"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 1, 0], b"\\\\\\\\", "image_orientation"),
    ],
)
def test_a_malformed_value_on_disk_is_none_and_a_problem(
    tmp_path: Path, keyword: str, usual: Any, value: bytes, field: str
) -> None:
    path = one(tmp_path, lambda ds: setattr(ds, keyword, usual))

    header = read_header(patched(path, keyword, value))

    assert getattr(header, field) is None
    assert [problem.split()[0] for problem in header.problems] == [keyword]
    json.dumps(header.to_json(), allow_nan=False)


def test_several_values_of_a_text_are_joined_by_backslashes(tmp_path: Path) -> None:
    path = one(tmp_path, lambda ds: setattr(ds, "SeriesDescription", ["Chest", "thin"]))

    assert read_header(path).series_description == "Chest\\thin"


def test_texts_are_read_in_their_character_set(tmp_path: Path) -> None:
    def chinese(ds: Dataset) -> None:
        ds.SpecificCharacterSet = "GB18030"
        ds.PatientName, ds.SeriesDescription = "Wang^XiaoDong=王^小东", "胸部平扫"

    header = read_header(one(tmp_path, chinese))

    assert header.identity.patient_name == "Wang^XiaoDong=王^小东"
    assert header.series_description == "胸部平扫"


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
    assert header.problems == ("Pixel Data hold 1526 of 1536 bytes",)


def test_a_file_that_ends_after_its_header_is_cut_short(tmp_path: Path) -> None:
    path = one(tmp_path)
    path.write_bytes(path.read_bytes()[: -1536 - 12])

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


def test_what_follows_the_pixels_does_not_make_them_look_cut_short(tmp_path: Path) -> None:
    def pad(ds: Dataset) -> None:
        ds.compress(JPEGLSLossless, generate_instance_uid=False)
        ds.DataSetTrailingPadding = bytes(64)

    assert not read_header(one(tmp_path, pad)).truncated


def test_a_frame_without_a_fragment_is_missed(tmp_path: Path) -> None:
    def promise(ds: Dataset) -> None:
        ds.compress(JPEGLSLossless, generate_instance_uid=False)
        ds.NumberOfFrames = 2

    header = read_header(one(tmp_path, promise))

    assert header.problems == ("Pixel Data have 1 fragments for 2 frames",)


def test_a_file_without_a_group_length_is_whole_and_has_the_same_digests(tmp_path: Path) -> None:
    path = one(tmp_path)
    known, data = digests(path), path.read_bytes()
    path.write_bytes(data[:132] + data[144:])

    assert not read_header(path).truncated
    assert digests(path) == known


# pydicom writes unknown syntaxes in Implicit VR and finds that out when it reads them again
@pytest.mark.filterwarnings("ignore:Expected explicit VR, but found implicit VR")
@pytest.mark.parametrize("syntax", ["1.2.840.113619.5.2", "1.2.3.4.5"])
def test_an_instance_in_an_unknown_transfer_syntax_has_a_header(
    tmp_path: Path, syntax: str
) -> None:
    header = read_header(
        one(tmp_path, lambda ds: setattr(ds.file_meta, "TransferSyntaxUID", syntax))
    )

    assert (header.transfer_syntax_uid, header.truncated) == (syntax, False)


@pytest.mark.parametrize(
    ("sop_class", "modality"),
    [
        (ComprehensiveSRStorage, "SR"),
        (EncapsulatedPDFStorage, "DOC"),
        (RawDataStorage, "CT"),
        (EnhancedCTImageStorage, "CT"),
        (SegmentationStorage, "SEG"),
        ("1.2.3.4.5", "OT"),
    ],
)
def test_instances_of_every_class_are_read(tmp_path: Path, sop_class: str, modality: str) -> None:
    def become(ds: Dataset) -> None:
        ds.SOPClassUID, ds.Modality = sop_class, modality
        item = Dataset()
        item.TextValue = "nested"
        ds.ContentSequence = [item]
        if sop_class not in {EnhancedCTImageStorage, SegmentationStorage}:
            del ds.PixelData, ds.Rows, ds.Columns
        if sop_class == SegmentationStorage:
            ds.BitsAllocated, ds.NumberOfFrames, ds.PixelData = 1, 3, bytes(288)

    header = read_header(one(tmp_path, become))

    assert (header.sop_class_uid, header.modality) == (sop_class, modality)
    assert (header.truncated, header.problems) == (False, ())


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_transfer_syntaxes_are_read_and_whole(tmp_path: Path, syntax: str) -> None:
    (ds,) = build_ct(slices=1)
    path = tmp_path / "x.dcm"
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(
        path,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=True,
        enforce_file_format=True,
    )

    header = read_header(path)

    assert (header.rows, header.truncated) == (32, False)
    assert digests(path)[1] != digests(one(tmp_path / "empty", blank))[1]


def blank(ds: Dataset) -> None:
    ds.PixelData = bytes(1536)


def test_digests_tell_a_corrected_header_from_another_image(tmp_path: Path) -> None:
    first = digests(one(tmp_path / "a"))

    renamed = digests(one(tmp_path / "b", lambda ds: setattr(ds, "PatientName", "Other^Name")))
    repainted = digests(one(tmp_path / "c", lambda ds: setattr(ds, "PixelData", bytes(1536))))
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
