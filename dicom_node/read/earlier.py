"""Whether one study may be compared with another: the same patient, and earlier.

Never by name. Patient ID and its issuer must be equal and not empty; birth date and sex must be
equal. Reasons name attributes, never values: they go into reports and logs.
"""

from __future__ import annotations

from datetime import date, datetime

from pydicom.dataset import Dataset

from dicom_node.read.header import Identity

DATE_KEYWORDS = ("AcquisitionDate", "SeriesDate", "StudyDate")
"""The first that is given tells when the patient was scanned (PS3.3 C.7.6.1, C.7.3.1, C.7.2.1)."""
NAMED = {
    "patient_id": "Patient ID",
    "issuer_of_patient_id": "Issuer of Patient ID",
    "birth_date": "birth date",
    "sex": "sex",
}


def why_other_patient(now: Identity, then: Identity) -> str | None:
    """Why two studies may not be taken for one patient's, or `None`."""
    if not now.patient_id or not then.patient_id:
        return "without a Patient ID nobody can tell that it is the same patient"
    differing = [
        words for name, words in NAMED.items() if getattr(now, name) != getattr(then, name)
    ]
    if differing:
        return f"not the same patient for sure: {', '.join(differing)} differ"
    return None


def scan_date(ds: Dataset) -> date | None:
    """When the patient was scanned; `None` where no header tells it."""
    for keyword in DATE_KEYWORDS:
        try:
            return datetime.strptime(str(ds.get(keyword) or "").strip(), "%Y%m%d").date()
        except ValueError:
            continue
    return None


def why_not_earlier(now: Dataset, then: Dataset) -> str | None:
    """Why one study is not an earlier one of the same patient, or `None`.

    Parameters
    ----------
    now, then : Dataset
        One header of each.
    """
    other = why_other_patient(Identity.from_dataset(now), Identity.from_dataset(then))
    if other is not None:
        return other
    first, second = scan_date(then), scan_date(now)
    if first is None or second is None:
        return "a header without a date: nobody can tell how much time lies between"
    if first >= second:
        return "it is not of an earlier day"
    return None


def days_before(now: Dataset, then: Dataset) -> int:
    """Days from the earlier scan to the later one, of a pair without `why_not_earlier`.

    Raises
    ------
    ValueError
        If a date is missing.
    """
    first, second = scan_date(then), scan_date(now)
    if first is None or second is None:
        raise ValueError("a header has no date")
    return (second - first).days
