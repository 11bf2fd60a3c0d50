"""SUV of cases computed by hand: each vendor's way to say it, and what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_node.errors import SuvUnknown
from dicom_node.read.suv import lean_fraction, suv_scale

F18_S = 6586.2
"""Half life of fluorine-18."""


def pet(**values: Any) -> Dataset:
    """70 kg, 370 MBq of fluorine-18 at 10:00, scanned at 11:00."""
    drug = Dataset()
    drug.RadionuclideTotalDose = 370e6
    drug.RadionuclideHalfLife = F18_S
    drug.RadiopharmaceuticalStartTime = "100000"
    ds = Dataset()
    ds.Units = "BQML"
    ds.CorrectedImage = ["DECY", "ATTN", "SCAT"]
    ds.DecayCorrection = "START"
    ds.PatientWeight = 70
    ds.PatientSize = 1.75
    ds.PatientSex = "M"
    ds.SeriesDate = ds.AcquisitionDate = "20260102"
    ds.SeriesTime, ds.AcquisitionTime = "110000", "110000"
    ds.RadiopharmaceuticalInformationSequence = [drug]
    for keyword, value in values.items():
        setattr(drug if keyword.startswith("Radio") else ds, keyword, value)
    return ds


def test_one_hour_of_decay() -> None:
    # 370 MBq x 2^(-3600 / 6586.2) = 253.31 MBq left; 70,000 g / 253.31 MBq
    scale = suv_scale([pet()])

    assert scale.g_per_ml == pytest.approx(70_000 / 253.31e6, rel=1e-4)
    assert "60 min to Series Time" in scale.how


def test_corrected_to_the_injection_there_is_no_decay() -> None:
    assert suv_scale([pet(DecayCorrection="ADMIN")]).g_per_ml == pytest.approx(70_000 / 370e6)


def test_an_injection_before_midnight() -> None:
    scale = suv_scale(
        [pet(RadiopharmaceuticalStartTime="233000", SeriesTime="003000", AcquisitionTime="003000")]
    )

    assert "60 min" in scale.how


def test_a_date_with_the_time_of_injection_counts_more_than_the_time_alone() -> None:
    scale = suv_scale([pet(RadiopharmaceuticalStartDateTime="20260102103000")])

    assert "30 min" in scale.how


def test_a_series_made_later_is_counted_back_from_its_frames() -> None:
    """Frame of 180 s that began 600 s after the scan: its mean activity is at 689.858 s."""
    header = pet(
        SeriesTime="150000",
        AcquisitionTime="111000",
        FrameReferenceTime=689_858.0,
        ActualFrameDuration=180_000,
    )

    scale = suv_scale([header])

    # ln(x / (1 - exp(-x))) / rate with x = rate x 180 s, rate = ln 2 / 6586.2 s: 89.858 s
    assert "Frame Reference Time" in scale.how
    assert scale.g_per_ml == pytest.approx(70_000 / (370e6 * 2 ** (-3600 / F18_S)), rel=1e-6)


def test_the_earliest_acquisition_decides_whether_series_time_is_the_scan() -> None:
    late = pet(AcquisitionTime="110500")
    early = pet(AcquisitionTime="110200")

    assert "Series Time" in suv_scale([late, early]).how
    with pytest.raises(SuvUnknown, match="Frame Reference Time"):
        suv_scale([pet(SeriesTime="110300", AcquisitionTime="110500"), early])


def test_ge_says_the_scan_time_privately() -> None:
    header = pet(SeriesTime="150000")
    header.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", "20260102110000")

    scale = suv_scale([header])

    assert "GE's scan time" in scale.how
    assert scale.g_per_ml == pytest.approx(suv_scale([pet()]).g_per_ml)


def test_philips_counts_by_its_factor() -> None:
    header = pet(Units="CNTS")
    block = header.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0.000551")

    assert suv_scale([header]).g_per_ml == pytest.approx(0.000551)


def test_philips_counts_by_activity_where_the_factor_is_zero() -> None:
    header = pet(Units="CNTS")
    block = header.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0")
    block.add_new(0x09, "DS", "1.5")

    assert suv_scale([header]).g_per_ml == pytest.approx(1.5 * suv_scale([pet()]).g_per_ml)


def test_values_that_are_suv_already() -> None:
    assert suv_scale([pet(Units="GML")]).g_per_ml == 1.0
    lean = suv_scale([pet(Units="GML", SUVType="LBMJANMA")])
    assert lean.lean_fraction is not None
    assert lean.g_per_ml * lean.lean_fraction == pytest.approx(1.0)


def test_lean_body_mass_of_published_formula() -> None:
    # man of 70 kg and 1.75 m: BMI 22.857, 9270 x 70 / (6680 + 216 x 22.857) = 55.86 kg
    # woman of 60 kg and 1.65 m: BMI 22.039, 9270 x 60 / (8780 + 244 x 22.039) = 39.29 kg
    man, woman = (
        lean_fraction(pet()),
        lean_fraction(pet(PatientSex="F", PatientWeight=60, PatientSize=1.65)),
    )

    assert man is not None
    assert woman is not None
    assert 70 * man == pytest.approx(55.86, abs=0.01)
    assert 60 * woman == pytest.approx(39.29, abs=0.01)
    assert lean_fraction(pet(PatientSex="O")) is None
    assert lean_fraction(pet(PatientSize=175)) is None  # cm


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda ds: setattr(ds, "Units", "PROPCNTS"), "PROPCNTS"),
        (lambda ds: setattr(ds, "CorrectedImage", ["DECY"]), "ATTN"),
        (lambda ds: delattr(ds, "PatientWeight"), "Patient's Weight"),
        (lambda ds: setattr(ds, "PatientWeight", 0), "Patient's Weight"),
        (lambda ds: setattr(ds, "DecayCorrection", "NONE"), "NONE"),
        (lambda ds: setattr(ds, "SeriesTime", "235900"), "Frame Reference Time"),
        (lambda ds: setattr(ds, "Units", "CNTS"), "Philips"),
        (lambda ds: delattr(ds, "RadiopharmaceuticalInformationSequence"), "0054,0016"),
        (lambda ds: setattr(drug_of(ds), "RadionuclideTotalDose", 370), "wanted Bq"),
        (lambda ds: delattr(drug_of(ds), "RadionuclideHalfLife"), "Half Life"),
        (lambda ds: delattr(drug_of(ds), "RadiopharmaceuticalStartTime"), "Start Time"),
        (
            lambda ds: setattr(drug_of(ds), "RadiopharmaceuticalStartDateTime", "20260104100000"),
            "after the injection",
        ),
    ],
)
def test_what_is_not_said_is_named(change: Callable[[Dataset], None], why: str) -> None:
    header = pet()
    change(header)

    with pytest.raises(SuvUnknown, match=why):
        suv_scale([header])


def drug_of(ds: Dataset) -> Any:
    return ds.RadiopharmaceuticalInformationSequence[0]
