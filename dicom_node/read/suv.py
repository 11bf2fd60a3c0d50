"""Standardised uptake values: what a PET image's numbers mean for the patient.

SUV by body weight is (activity per ml) x (body weight in g) / (injected activity, decayed to the
moment that the images are corrected to). The vendor neutral way of QIBA (Quantitative Imaging
Biomarkers Alliance, FDG-PET/CT profile, appendix on SUV from DICOM objects) with the attributes of
PS3.3 C.8.9; Philips' and GE's private attributes only where the standard ones do not say it.
SUL takes lean body mass instead (Janmahasatian et al., Clin Pharmacokinet 2005;44:1051).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pydicom.dataset import Dataset
from pydicom.valuerep import DA, DT, TM

from dicom_node.errors import SuvUnknown

PHILIPS, PHILIPS_SUV, PHILIPS_ACTIVITY = "Philips PET Private Group", 0x00, 0x09
GE, GE_SCAN_TIME = "GEMS_PETD_01", 0x0D
LEAST_DOSE_BQ = 1e6
"""Below 1 MBq nothing would be seen: the dose was written in MBq or mCi."""
WEIGHTS_KG = (1.0, 400.0)
HEIGHTS_M = (0.3, 2.5)
LONGEST_WAIT = timedelta(hours=24)
"""From injection to scan; beyond it a date or clock is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuvScale:
    """How an image's values become SUV.

    Attributes
    ----------
    g_per_ml : float
        SUV by body weight per unit of the rescaled pixel value.
    lean_fraction : float or None
        Lean body mass over body weight: SUL is SUV times this. `None` where sex, height or
        weight is not known.
    how : str
        By which attributes, for people.
    """

    g_per_ml: float
    lean_fraction: float | None
    how: str


def suv_scale(headers: Sequence[Dataset]) -> SuvScale:
    """Read the scale of a PET series from its headers.

    Parameters
    ----------
    headers : sequence of Dataset
        Of all its images, in any order; what belongs to the series is read from the first.

    Raises
    ------
    SuvUnknown
        If an attribute that it takes is absent or cannot be; names the attribute.
    """
    first = headers[0]
    units = str(first.get("Units", "")).upper()
    if units == "GML":
        return _already_suv(first)
    if units == "BQML":
        factor, how = _from_activity(headers)
    elif units == "CNTS":
        factor, how = _from_philips(headers)
    else:
        raise SuvUnknown(f"Units (0054,1001) is {units or 'absent'}, wanted BQML, GML or CNTS")
    return SuvScale(g_per_ml=factor, lean_fraction=lean_fraction(first), how=how)


def lean_fraction(header: Dataset) -> float | None:
    """Lean body mass over body weight; `None` where it cannot be told.

    Women: 9270 / (8780 + 244 BMI), men: 9270 / (6680 + 216 BMI), BMI in kg/m2.
    """
    weight, height = _number(header, "PatientWeight"), _number(header, "PatientSize")
    sex = str(header.get("PatientSex", ""))
    if sex not in ("F", "M") or weight is None or height is None:
        return None
    if not (WEIGHTS_KG[0] <= weight <= WEIGHTS_KG[1] and HEIGHTS_M[0] <= height <= HEIGHTS_M[1]):
        return None
    index = weight / height**2
    return 9270.0 / (8780.0 + 244.0 * index) if sex == "F" else 9270.0 / (6680.0 + 216.0 * index)


def _already_suv(header: Dataset) -> SuvScale:
    """Units GML: the values are SUV, of the type that SUV Type (0054,1006) names; BW if none."""
    kind = str(header.get("SUVType", "") or "BW").upper()
    fraction = lean_fraction(header)
    if kind == "BW":
        return SuvScale(g_per_ml=1.0, lean_fraction=fraction, how="Units GML, SUV Type BW")
    if kind == "LBMJANMA" and fraction:
        return SuvScale(g_per_ml=1 / fraction, lean_fraction=fraction, how=f"SUV Type {kind}")
    raise SuvUnknown(f"SUV Type (0054,1006) is {kind}, which is not turned into body weight")


def _from_philips(headers: Sequence[Dataset]) -> tuple[float, str]:
    """Units CNTS: private factors, to SUV or to Bq/ml (their conformance statements)."""
    header = headers[0]
    factor = _private(header, 0x7053, PHILIPS, PHILIPS_SUV)
    if factor:
        return factor, "Philips' SUV scale factor (7053,xx00)"
    activity = _private(header, 0x7053, PHILIPS, PHILIPS_ACTIVITY)
    if not activity:
        raise SuvUnknown(
            "Units (0054,1001) is CNTS, without Philips' factors (7053,xx00), (7053,xx09)"
        )
    by_activity, how = _from_activity(headers)
    return activity * by_activity, f"Philips' activity factor (7053,xx09), {how}"


def _from_activity(headers: Sequence[Dataset]) -> tuple[float, str]:
    header = headers[0]
    corrected = {str(item) for item in _values(header.get("CorrectedImage"))}
    if not {"ATTN", "DECY"} <= corrected:
        raise SuvUnknown("Corrected Image (0028,0051) does not name ATTN and DECY")
    weight = _number(header, "PatientWeight")
    if weight is None or not WEIGHTS_KG[0] <= weight <= WEIGHTS_KG[1]:
        raise SuvUnknown(f"Patient's Weight (0010,1030) is {weight if weight else 'absent'}")
    drug = _drug(header)
    dose_bq = _number(drug, "RadionuclideTotalDose")
    if dose_bq is None or dose_bq < LEAST_DOSE_BQ:
        raise SuvUnknown(
            f"Radionuclide Total Dose (0018,1074) is {dose_bq if dose_bq else 'absent'}, wanted Bq"
        )
    decay = str(header.get("DecayCorrection", ""))
    if decay == "ADMIN":
        return weight * 1000.0 / dose_bq, "decay corrected to the injection"
    if decay != "START":
        raise SuvUnknown(f"Decay Correction (0054,1102) is {decay or 'absent'}")
    half_life_s = _number(drug, "RadionuclideHalfLife")
    if half_life_s is None or half_life_s <= 0:
        raise SuvUnknown("Radionuclide Half Life (0018,1075) is absent")
    scan, how = _corrected_to(headers, half_life_s)
    waited = scan - _injected(drug, scan)
    if not timedelta(0) <= waited <= LONGEST_WAIT:
        raise SuvUnknown(
            f"the scan began {waited.total_seconds() / 60:.0f} min after the injection"
        )
    left_bq = dose_bq * 2.0 ** (-waited.total_seconds() / half_life_s)
    minutes = waited.total_seconds() / 60
    return weight * 1000.0 / left_bq, f"decay of {minutes:.0f} min to {how}"


def _corrected_to(headers: Sequence[Dataset], half_life_s: float) -> tuple[datetime, str]:
    """The moment that the images are decay corrected to.

    Series Time, unless it is later than an acquisition: then the series was made again after
    the scan. GE says the scan's own time privately; else it is counted back from an image,
    whose Frame Reference Time is the moment of its mean activity.
    """
    header = headers[0]
    acquired = [_moment(item, "Acquisition") for item in headers]
    known = [moment for moment in acquired if moment is not None]
    series = _moment(header, "Series")
    if series is not None and known and series <= min(known):
        return series, "Series Time"
    told = header.private_block(0x0009, GE) if _has_block(header, 0x0009, GE) else None
    if told is not None and GE_SCAN_TIME in told:
        return _datetime(str(told[GE_SCAN_TIME].value)), "GE's scan time (0009,xx0D)"
    for item, moment in zip(headers, acquired, strict=True):
        reference_ms = _number(item, "FrameReferenceTime")
        duration_ms = _number(item, "ActualFrameDuration")
        if moment is None or reference_ms is None or not duration_ms:
            continue
        rate = math.log(2) / half_life_s
        decayed = rate * duration_ms / 1000.0
        mean_s = math.log(decayed / -math.expm1(-decayed)) / rate
        back = timedelta(seconds=reference_ms / 1000.0 - mean_s)
        return moment - back, "Frame Reference Time"
    raise SuvUnknown(
        "the scan's begin is not told: Series Time (0008,0031) is later than an acquisition, and "
        "Frame Reference Time (0054,1300) or Actual Frame Duration (0018,1242) is absent"
    )


def _drug(header: Dataset) -> Dataset:
    sequence = header.get("RadiopharmaceuticalInformationSequence")
    if not sequence:
        raise SuvUnknown("Radiopharmaceutical Information Sequence (0054,0016) is absent")
    return Dataset(sequence[0])


def _injected(drug: Dataset, scan: datetime) -> datetime:
    """When the drug was given; a time without a date lies within the day before the scan."""
    moment = drug.get("RadiopharmaceuticalStartDateTime")
    if moment:
        return _datetime(str(moment))
    time = drug.get("RadiopharmaceuticalStartTime")
    if not time:
        raise SuvUnknown(
            "Radiopharmaceutical Start Time (0018,1072) and Start DateTime (0018,1078) are absent"
        )
    given = _combined(scan.strftime("%Y%m%d"), str(time))
    return given - timedelta(days=1) if given > scan else given


def _moment(header: Dataset, which: Literal["Series", "Acquisition"]) -> datetime | None:
    day = header.get(f"{which}Date") or header.get("SeriesDate")
    time = header.get(f"{which}Time")
    return _combined(str(day), str(time)) if day and time else None


def _combined(day: str, time: str) -> datetime:
    try:
        return datetime.combine(DA(day), TM(time))
    except (TypeError, ValueError) as error:
        raise SuvUnknown(f"a date or time of the series cannot be read: {error}") from error


def _datetime(text: str) -> datetime:
    """Without the time zone: all moments of a series are told by one clock."""
    try:
        return DT(text).replace(tzinfo=None)
    except (TypeError, ValueError) as error:
        raise SuvUnknown(f"a date and time of the series cannot be read: {error}") from error


def _number(ds: Dataset, keyword: str) -> float | None:
    value: Any = ds.get(keyword)
    if value in (None, ""):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise SuvUnknown(f"{keyword} is no number") from error
    return number if math.isfinite(number) else None


def _private(ds: Dataset, group: int, creator: str, element: int) -> float | None:
    if not _has_block(ds, group, creator):
        return None
    block = ds.private_block(group, creator)
    if element not in block:
        return None
    try:
        return float(block[element].value)
    except (TypeError, ValueError) as error:
        raise SuvUnknown(f"({group:04X},xx{element:02X}) of {creator} is no number") from error


def _has_block(ds: Dataset, group: int, creator: str) -> bool:
    try:
        ds.private_block(group, creator)
    except KeyError:
        return False
    return True


def _values(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
