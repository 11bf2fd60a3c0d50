from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom_node.compose.envelope import PATIENT_AND_STUDY_KEYWORDS
from dicom_node.compose.seg import compose_seg
from dicom_node.compose.sr import compose_sr
from dicom_node.errors import ComposeError
from dicom_node.read.ct_series import CtSeries
from tests.unit.dicom_node.compose.cases import (
    CREATED,
    compose_both,
    decode,
    read_headers,
    report,
    series_on_disk,
    three_nodules,
)


def changed(folder: Path, **values: object) -> CtSeries:
    """A small series whose headers say these things."""
    _, paths = series_on_disk(folder, shape=(16, 60, 60))
    for path in paths:
        ds = dcmread(path)
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        ds.save_as(path)
    return read_headers(paths)


def raw_name(data: bytes) -> bytes:
    """Patient's Name as it stands in the file (Explicit VR Little Endian)."""
    at = data.index(b"\x10\x00\x10\x00PN") + 8
    length = int.from_bytes(data[at - 2 : at], "little")
    return data[at : at + length]


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 100", "Buc^Jérôme"),
        (["ISO 2022 IR 6", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 144", "\u041b\u044e\u043a\u0446"),
    ],
)
def test_a_name_in_any_character_set_survives(
    tmp_path: Path, charset: str | list[str], name: str
) -> None:
    series = changed(
        tmp_path, SpecificCharacterSet=charset, PatientName=name, StudyDescription="Chest"
    )
    seg, sr = compose_both(series, report(three_nodules(series)))
    assert seg is not None
    source = next(tmp_path.iterdir()).read_bytes()

    for composed in (seg, sr):
        ds = decode(composed)
        assert str(ds.PatientName) == name
        assert ds.SpecificCharacterSet == charset
        assert raw_name(composed.data) == raw_name(source)


def test_a_name_with_code_extensions_keeps_its_bytes(tmp_path: Path) -> None:
    # The worked example of PS3.5 K.2; pydicom does not write these escapes itself.
    name = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab= "
    stand_in = "X" * len(name)
    changed(tmp_path, SpecificCharacterSet=["", "ISO 2022 IR 58"], PatientName=stand_in)
    paths = sorted(tmp_path.iterdir())
    for path in paths:
        path.write_bytes(path.read_bytes().replace(stand_in.encode(), name))
    series = read_headers(paths)

    seg, sr = compose_both(series, report(three_nodules(series)))
    assert seg is not None

    for composed in (seg, sr):
        assert raw_name(composed.data).rstrip(b"= ") == name.rstrip(b"= ")
        assert list(decode(composed).SpecificCharacterSet) == ["", "ISO 2022 IR 58"]


def test_our_own_words_beyond_ascii_bring_utf_8_and_keep_the_name(tmp_path: Path) -> None:
    series = changed(tmp_path, SpecificCharacterSet="GB18030", PatientName="Wang=王^小东")

    _, sr = compose_both(series, report(warnings=("层厚 2.5 mm",)))

    ds = decode(sr)
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert str(ds.PatientName) == "Wang=王^小东"
    assert "层厚 2.5 mm" in sr.data.decode("utf-8", errors="ignore")


def test_bytes_of_an_undeclared_character_set_come_through_unchanged(tmp_path: Path) -> None:
    series, paths = series_on_disk(tmp_path, shape=(16, 60, 60))
    del series
    for path in paths:
        data = path.read_bytes()
        # 13 bytes of ASCII become 13 bytes that are GBK without any declaration.
        path.write_bytes(data.replace(b"Phantom^Chest", "王^小东东东".encode("gbk") + b"  "))

    _, sr = compose_both(read_headers(paths), report())

    assert raw_name(sr.data).startswith("王^小东东东".encode("gbk"))
    assert "SpecificCharacterSet" not in decode(sr)


def test_patient_and_study_are_copied_whole(tmp_path: Path) -> None:
    other = Dataset()
    other.PatientID = "OLD-7"
    other.IssuerOfPatientID = "OTHER HOSPITAL"
    other.TypeOfPatientID = "TEXT"
    values: dict[str, object] = {
        "IssuerOfPatientID": "HOSPITAL",
        "OtherPatientIDsSequence": [other],
        "AccessionNumber": "A-1",
        "ReferringPhysicianName": "House^Gregory",
        "StudyDescription": "CT chest",
        "PatientAge": "061Y",
        "PatientSize": "1.81",
        "PatientWeight": "77",
        "PatientComments": "none",
        "EthnicGroup": "x",
        "AdmissionID": "ADM",
        "TimezoneOffsetFromUTC": "+0800",
        "StudyID": "S1",
        "PatientBirthTime": "010203",
    }
    series = changed(tmp_path, **values)
    seg, sr = compose_both(series, report(three_nodules(series)))
    assert seg is not None

    for ds in (decode(seg), decode(sr)):
        for keyword in PATIENT_AND_STUDY_KEYWORDS:
            assert ds.get(keyword) == series.headers[0].get(keyword), keyword
        assert ds.IssuerOfPatientID == "HOSPITAL"
        assert ds.OtherPatientIDsSequence[0].PatientID == "OLD-7"


def test_missing_type_2_attributes_become_empty_ones(tmp_path: Path) -> None:
    series = changed(tmp_path)
    for header in series.headers:
        for keyword in ("PatientBirthDate", "AccessionNumber", "StudyID", "StudyTime"):
            delattr(header, keyword)
    seg, sr = compose_both(series, report(three_nodules(series)))
    assert seg is not None

    for ds in (decode(seg), decode(sr)):
        assert ds.AccessionNumber == ""
        assert "PatientBirthDate" in ds
    assert "StudyID" not in series.headers[0]


# Reading the objects back, pydicom warns of the value that is passed on on purpose.
@pytest.mark.filterwarnings("ignore:The value length", "ignore:Invalid value for VR")
@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyTime", "25:61"),
        ("StudyDate", "2026.01.01"),
        ("PatientBirthDate", "19800231"),
        ("PatientSex", "MALE"),
        ("AccessionNumber", "A" * 24),
        ("PatientAge", "61"),
        ("SliceThickness", None),
        ("KVP", None),
    ],
)
def test_an_odd_value_is_passed_on_and_stops_nothing(
    tmp_path: Path, keyword: str, value: str | None
) -> None:
    series = changed(tmp_path)
    for header in series.headers:
        # As read from a file: pydicom checks what is set, not what it reads.
        vr = header[keyword].VR
        header[keyword] = DataElement(header[keyword].tag, vr, value, validation_mode=IGNORE)
    seg, sr = compose_both(series, report(three_nodules(series)))
    assert seg is not None

    if keyword in PATIENT_AND_STUDY_KEYWORDS:
        assert [str(decode(each).get(keyword)) for each in (seg, sr)] == [value, value]
    assert series.headers[0].get(keyword) == value


def test_equal_arguments_give_equal_bytes(series: CtSeries) -> None:
    content = report(three_nodules(series))

    first = compose_both(series, content)
    time.sleep(0.01)
    second = compose_both(series, content)

    assert first == second


def test_another_moment_changes_dates_alone(series: CtSeries) -> None:
    later = CREATED + timedelta(days=1)
    one = decode(compose_sr(series, report(), seg=None, created=CREATED))
    two = decode(compose_sr(series, report(), seg=None, created=later))

    differing = {element.keyword for element in one if element != two[element.tag]}

    assert differing == {
        "ContentDate",
        "InstanceCreationDate",
        "ContributingEquipmentSequence",  # highdicom's own Contribution DateTime
    }


def test_an_aware_moment_is_written_in_the_studys_time_zone(tmp_path: Path) -> None:
    series = changed(tmp_path, TimezoneOffsetFromUTC="+0830")
    created = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)

    ds = decode(compose_sr(series, report(), seg=None, created=created))

    assert (ds.ContentDate, ds.ContentTime) == ("20261124", "043000.000000")


@pytest.mark.parametrize("defect", ["none", "mixed"])
def test_a_series_without_one_frame_of_reference_is_refused(tmp_path: Path, defect: str) -> None:
    series = changed(tmp_path)
    nodules = three_nodules(series)
    if defect == "none":
        for header in series.headers:
            del header.FrameOfReferenceUID
    else:
        series.headers[3].FrameOfReferenceUID = "1.2.3"

    with pytest.raises(ComposeError, match="one Frame of Reference UID for all"):
        compose_seg(series, report(nodules), created=CREATED)


def test_what_highdicom_refuses_is_our_error(tmp_path: Path) -> None:
    series = changed(tmp_path)
    nodules = three_nodules(series)
    for header in series.headers:
        del header.ImageOrientationPatient

    with pytest.raises(ComposeError, match="cannot compose the segmentation"):
        compose_seg(series, report(nodules), created=CREATED)
