"""What a header says of the patient beside the identity: age, sex, height, weight, smoking.

PS3.3 sections C.7.1.1 (Patient) and C.7.2.2 (Patient Study). Values that cannot be, and malformed
ones, are unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from pydicom import config
from pydicom.dataset import Dataset

from dicom_node.read.header import Identity

AGE_PATTERN = re.compile(r"(\d{3})([DWMY])")
YEARS_PER_UNIT = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
"""AS value representation (PS3.5 section 6.2)."""
SIZE_M = (0.3, 2.6)
WEIGHT_KG = (1.0, 500.0)
"""Beyond these a value was entered in another unit, or is a placeholder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientModule:
    """Of one series; `None` and empty are unknown."""

    names: tuple[str, ...] = ()
    """``FAMILY^GIVEN`` of each component group (alphabetic, ideographic, phonetic)."""
    birth_date: str = ""
    """YYYYMMDD."""
    sex: str = ""
    """F, M or O."""
    age_years: float | None = None
    """At the study: (0010,1010), else by birth date and study date."""
    size_m: float | None = None
    weight_kg: float | None = None
    smoking_status: str = ""
    """(0010,21A0): YES, NO or UNKNOWN; whether the patient smokes now."""
    study_date: str = ""
    """YYYY-MM-DD."""
    accession_number: str = ""


def read_patient_module(ds: Dataset) -> PatientModule:
    """Read it; never raises."""
    with config.disable_value_validation():
        identity = Identity.from_dataset(ds)
        birth, study = _day(identity.birth_date), _day(identity.study_date)
        sex = identity.sex.upper()
        return PatientModule(
            names=tuple(
                name
                for group in identity.patient_name.split("=")
                if (name := "^".join(group.split("^")[:2]).strip("^ "))
            ),
            birth_date=identity.birth_date if birth else "",
            sex=sex if sex in ("F", "M", "O") else "",
            age_years=_age(ds, birth, study),
            size_m=_number(ds, "PatientSize", SIZE_M),
            weight_kg=_number(ds, "PatientWeight", WEIGHT_KG),
            smoking_status=str(ds.get("SmokingStatus") or "").strip().upper(),
            study_date=study.isoformat() if study else "",
            accession_number=identity.accession_number,
        )


def _day(text: str) -> date | None:
    if not re.fullmatch(r"\d{8}", text):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def _age(ds: Dataset, birth: date | None, study: date | None) -> float | None:
    match = AGE_PATTERN.fullmatch(str(ds.get("PatientAge") or "").strip())
    if match:
        return int(match[1]) * YEARS_PER_UNIT[match[2]]
    if birth is None or study is None or study < birth:
        return None
    return float(study.year - birth.year - ((study.month, study.day) < (birth.month, birth.day)))


def _number(ds: Dataset, keyword: str, limits: tuple[float, float]) -> float | None:
    try:
        value = float(str(ds.get(keyword)))
    except (ValueError, TypeError):
        return None
    return value if limits[0] <= value <= limits[1] else None
