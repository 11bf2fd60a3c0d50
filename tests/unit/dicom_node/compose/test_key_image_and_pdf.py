from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.compose.content import ComposedObject
from dicom_node.compose.encapsulated_pdf import compose_pdf
from dicom_node.compose.envelope import PATIENT_AND_STUDY_KEYWORDS
from dicom_node.compose.identity import is_own_object
from dicom_node.compose.profile import DEFAULT, Profile, SeriesDress, SeriesDresses
from dicom_node.compose.secondary_capture import KeyPicture, compose_key_image
from dicom_node.errors import ComposeError
from dicom_node.read.ct_series import CtSeries
from tests.unit.dicom_node.compose.cases import (
    CREATED,
    decode,
    read_headers,
    report,
    series_on_disk,
    three_nodules,
)

PDF = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
RGB = np.arange(30 * 20 * 3, dtype=np.uint8).reshape(30, 20, 3)
PICTURE = KeyPicture(number=2, rgb=RGB, slices=(4, 9))
Make = Callable[..., ComposedObject]


def key_image(series: CtSeries, revision: int = 1, **more: object) -> ComposedObject:
    arguments: dict[str, object] = {"created": CREATED, "picture": PICTURE} | more
    content = report(three_nodules(series), revision=revision)
    return compose_key_image(series, content, **arguments)  # type: ignore[arg-type]


def page(series: CtSeries, revision: int = 1, **more: object) -> ComposedObject:
    arguments: dict[str, object] = {"created": CREATED, "pdf": PDF} | more
    content = report(three_nodules(series), revision=revision)
    return compose_pdf(series, content, **arguments)  # type: ignore[arg-type]


both = pytest.mark.parametrize("make", [key_image, page])


def test_the_picture_comes_back_pixel_by_pixel(series: CtSeries) -> None:
    ds = decode(key_image(series))

    assert np.array_equal(ds.pixel_array, RGB)
    assert (ds.PhotometricInterpretation, ds.Modality, ds.ConversionType) == ("RGB", "OT", "WSD")
    assert "PixelSpacing" not in ds  # of several planes: nobody may measure across them


def test_the_document_comes_back_byte_by_byte(series: CtSeries) -> None:
    ds = decode(page(series))

    assert ds.EncapsulatedDocument == PDF
    assert ds.EncapsulatedDocumentLength == len(PDF)
    assert ds.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert (ds.Modality, ds.VerificationFlag) == ("DOC", "UNVERIFIED")
    assert ds.ConceptNameCodeSequence[0].CodeValue == "126000"


def test_only_what_names_the_patient_is_marked_as_identifying(series: CtSeries) -> None:
    assert decode(key_image(series)).BurnedInAnnotation == "NO"
    assert decode(page(series)).BurnedInAnnotation == "YES"


@both
def test_they_say_what_they_are_for(series: CtSeries, make: Make) -> None:
    ds = decode(make(series))

    words = " ".join(
        str(ds.get(keyword) or "")
        for keyword in ("SeriesDescription", "ImageComments", "DerivationDescription",
                        "DocumentTitle")
    )  # fmt: skip
    assert "research use" in ds.SeriesDescription
    assert "not for diagnosis" in words.lower()
    assert is_own_object(ds)


@both
def test_patient_and_study_are_copied_whole(tmp_path: Path, make: Make) -> None:
    _, paths = series_on_disk(tmp_path, shape=(20, 60, 60))
    for path in paths:
        ds = dcmread(path)
        ds.IssuerOfPatientID = "HOSPITAL-A"
        ds.OtherPatientNames = "Former^Name"
        ds.AccessionNumber = "ACC-77"
        ds.TimezoneOffsetFromUTC = "+0800"
        ds.save_as(path)
    series = read_headers(paths)

    made = decode(make(series))

    source = series.headers[0]
    for keyword in PATIENT_AND_STUDY_KEYWORDS:
        if keyword in source:
            assert made[keyword].value == source[keyword].value, keyword


@both
def test_names_keep_their_character_set(tmp_path: Path, make: Make) -> None:
    _, paths = series_on_disk(tmp_path, shape=(20, 60, 60))
    for path in paths:
        ds = dcmread(path)
        ds.SpecificCharacterSet = "GB18030"
        ds.PatientName = "Wang^XiaoDong=王^小东"
        ds.save_as(path)
    series = read_headers(paths)

    data = make(series).data

    assert "王^小东".encode("gb18030") in data


def test_the_slices_that_a_picture_shows_are_its_sources(series: CtSeries) -> None:
    ds = decode(key_image(series))

    named = [item.ReferencedSOPInstanceUID for item in ds.SourceImageSequence]
    assert named == list(series.sop_instance_uids[4:10])
    assert ds.DerivationCodeSequence[0].CodeMeaning == "Multiplanar reformatting"


def test_every_slice_is_a_source_of_the_page(series: CtSeries) -> None:
    ds = decode(page(series))

    named = [item.ReferencedSOPInstanceUID for item in ds.SourceInstanceSequence]
    assert named == list(series.sop_instance_uids)


@both
def test_equal_input_gives_equal_bytes(series: CtSeries, make: Make) -> None:
    assert make(series).data == make(series).data


@both
def test_times_are_those_of_the_study(tmp_path: Path, make: Make) -> None:
    _, paths = series_on_disk(tmp_path, shape=(20, 60, 60))
    for path in paths:
        ds = dcmread(path)
        ds.TimezoneOffsetFromUTC = "+0800"
        ds.save_as(path)

    ds = decode(make(read_headers(paths), created=datetime(2026, 1, 1, 23, 30, tzinfo=UTC)))

    assert (ds.ContentDate, ds.ContentTime[:4]) == ("20260102", "0730")
    if make is key_image:
        assert (ds.DateOfSecondaryCapture, ds.TimeOfSecondaryCapture[:4]) == ("20260102", "0730")


@both
def test_revisions_share_the_series_and_rise(series: CtSeries, make: Make) -> None:
    one, two = (make(series, revision=revision) for revision in (1, 2))

    assert one.series_instance_uid == two.series_instance_uid
    assert one.sop_instance_uid != two.sop_instance_uid
    assert int(decode(two).InstanceNumber) > int(decode(one).InstanceNumber)


def test_nodules_have_an_instance_each_in_one_series(series: CtSeries) -> None:
    made = [
        key_image(series, picture=dataclasses.replace(PICTURE, number=number))
        for number in (1, 2, 3)
    ]

    assert len({item.sop_instance_uid for item in made}) == 3
    assert len({item.series_instance_uid for item in made}) == 1
    assert [decode(item).InstanceNumber for item in made] == [1, 2, 3]


@both
def test_another_language_or_series_is_another_object(series: CtSeries, make: Make) -> None:
    chinese = Profile(name="zh", language="zh")
    moved = Profile(
        name="moved",
        series=SeriesDresses(
            key_images=SeriesDress(number=77, description="Pictures (research use)"),
            pdf=SeriesDress(number=78, description="Page (research use)"),
        ),
    )

    made = [make(series, profile=profile) for profile in (DEFAULT, chinese, moved)]

    assert len({item.sop_instance_uid for item in made}) == 3
    assert made[0].series_instance_uid == made[1].series_instance_uid
    assert made[2].series_instance_uid != made[0].series_instance_uid
    assert int(decode(made[2]).SeriesNumber) in (77, 78)


def test_a_lossy_source_stays_said(series: CtSeries, tmp_path: Path) -> None:
    _, paths = series_on_disk(tmp_path, shape=(20, 60, 60))
    for path in paths:
        ds = dcmread(path)
        ds.LossyImageCompression = "01"
        ds.LossyImageCompressionRatio = 12.5
        ds.LossyImageCompressionMethod = "ISO_10918_1"
        ds.save_as(path)

    lossy = decode(key_image(read_headers(paths)))

    assert lossy.LossyImageCompression == "01"
    assert float(lossy.LossyImageCompressionRatio) == 12.5
    assert decode(key_image(series)).LossyImageCompression == "00"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rgb": RGB[..., 0]}, "wanted uint8"),
        ({"rgb": RGB.astype(np.float32)}, "wanted uint8"),
        ({"slices": (4, 20)}, "slices 4 to 20, the series has 20"),
        ({"slices": (5, 4)}, "slices 5 to 4"),
        ({"number": 9}, "nodule 9, which the report does not name"),
    ],
)
def test_a_picture_that_does_not_belong_is_refused(
    series: CtSeries, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ComposeError, match=message):
        key_image(series, picture=dataclasses.replace(PICTURE, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("pdf", [b"", b"GIF89a  ", PDF + b" "])
def test_what_is_no_even_pdf_is_refused(series: CtSeries, pdf: bytes) -> None:
    with pytest.raises(ComposeError, match="cannot be encapsulated"):
        page(series, pdf=pdf)
