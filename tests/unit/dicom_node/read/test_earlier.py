"""Whether two studies may be compared: one patient for sure, and one of them earlier."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from dicom_node.read.earlier import days_before, why_not_earlier


def header(**other: str) -> Dataset:
    ds = Dataset()
    values = {
        "PatientID": "4711",
        "IssuerOfPatientID": "KLINIK",
        "PatientName": "Muster^Eva",
        "PatientBirthDate": "19600203",
        "PatientSex": "F",
        "StudyDate": "20260301",
    }
    for keyword, value in (values | other).items():
        setattr(ds, keyword, value)
    return ds


THEN = {"StudyDate": "20251201"}


def test_the_same_patient_at_an_earlier_day_is_taken_whatever_the_name() -> None:
    then = header(**THEN, PatientName="Beispiel^Eva")

    assert why_not_earlier(header(), then) is None
    assert days_before(header(), then) == 90


@pytest.mark.parametrize(
    ("keyword", "value", "said"),
    [
        ("PatientID", "4712", "Patient ID"),
        ("IssuerOfPatientID", "", "Issuer of Patient ID"),
        ("PatientBirthDate", "19600302", "birth date"),
        ("PatientSex", "M", "sex"),
    ],
)
def test_another_patient_is_refused_and_no_value_is_told(
    keyword: str, value: str, said: str
) -> None:
    why = why_not_earlier(header(), header(**THEN, **{keyword: value}))

    assert why is not None
    assert said in why
    assert "4711" not in why
    assert "1960" not in why


def test_without_a_patient_id_nothing_is_compared_though_all_else_is_equal() -> None:
    why = why_not_earlier(header(PatientID=""), header(**THEN, PatientID=""))

    assert why is not None
    assert "without a Patient ID" in why


def test_neither_the_same_day_nor_a_later_one_is_earlier() -> None:
    for date in ("20260301", "20260302"):
        assert why_not_earlier(header(), header(StudyDate=date)) == "it is not of an earlier day"


def test_the_day_of_the_scan_counts_before_that_of_the_study() -> None:
    then = header(**THEN, AcquisitionDate="20251211")

    assert days_before(header(AcquisitionDate="20260301"), then) == 80


def test_headers_without_a_date_are_refused() -> None:
    why = why_not_earlier(header(StudyDate=""), header(**THEN))

    assert why is not None
    assert "date" in why
