"""A nodule's uptake in a PET, in its group of measurements (TID 1411), and in words.

Names and derivations as in CID 7469 (Generic Intensity and Size Measurements) and CID 7464.
"""

from __future__ import annotations

from highdicom import sr
from pydicom.sr.coding import Code

from dicom_node.compose import codes
from dicom_node.compose.content import UptakeContent
from dicom_node.compose.words import Words


def uptake_measurements(uptake: UptakeContent | None) -> list[sr.Measurement]:
    """SUV by body weight (maximum, peak, mean), SULpeak, metabolic volume and glycolysis."""
    if uptake is None:
        return []
    rows: tuple[tuple[Code, float | None, Code, Code | None, int], ...] = (
        (codes.SUV, uptake.suv_max, codes.SUV_UNIT, codes.MAXIMUM, 2),
        (codes.SUV, uptake.suv_peak, codes.SUV_UNIT, codes.PEAK, 2),
        (codes.SUV, uptake.suv_mean, codes.SUV_UNIT, codes.MEAN, 2),
        (codes.SUL, uptake.sul_peak, codes.SUL_UNIT, codes.PEAK, 2),
        (codes.METABOLIC_VOLUME, uptake.mtv_mm3, codes.CUBIC_MILLIMETRE, None, 0),
        (codes.GLYCOLYSIS, uptake.tlg, codes.GRAM, None, 2),
    )
    return [
        sr.Measurement(name=name, value=round(value, digits), unit=unit, derivation=derivation)
        for name, value, unit, derivation, digits in rows
        if value is not None
    ]


def uptake_text(uptake: UptakeContent, words: Words) -> str:
    """The uptake as a sentence."""
    text = words.say(
        "uptake",
        maximum=f"{uptake.suv_max:.1f}",
        peak=f"{uptake.suv_peak:.1f}",
        ml=f"{uptake.mtv_mm3 / 1000:.1f}",
    )
    if uptake.too_small_to_trust:
        text += words.say("uptake_small")
    if uptake.corrected_mm is not None and uptake.likeness is not None:
        text += words.say(
            "uptake_carried", mm=f"{uptake.corrected_mm:.1f}", likeness=f"{uptake.likeness:.2f}"
        )
    return text
