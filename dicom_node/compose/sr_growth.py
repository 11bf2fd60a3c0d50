"""A nodule's change since an earlier examination, in its group of measurements (TID 1411).

Numbers and a code where they are known; the words say the rest. No reference to the earlier
CT's instances: viewers would ask the PACS for them.
"""

from __future__ import annotations

from highdicom import sr

from dicom_node.compose import codes
from dicom_node.compose.content import GrowthContent
from dicom_node.compose.words import Words


def growth_measurements(growth: GrowthContent | None) -> list[sr.Measurement]:
    """Change of volume and mean diameter, and the doubling time where it was not withheld."""
    if growth is None:
        return []
    rows = (
        (codes.VOLUME_CHANGE, growth.volume_change_percent, codes.PERCENT, 1),
        (codes.DIAMETER_CHANGE, growth.diameter_change_mm, codes.MILLIMETRE, 2),
        (codes.VOLUME_DOUBLING_TIME, growth.doubling_days, codes.DAY, 0),
    )
    return [
        sr.Measurement(name=name, value=round(value, digits), unit=unit)
        for name, value, unit, digits in rows
        if value is not None
    ]


def growth_evaluations(growth: GrowthContent | None) -> list[sr.QualitativeEvaluation]:
    """New, grown, stable or smaller; nothing where that is not known."""
    value = codes.CHANGES.get(growth.status) if growth else None
    if value is None:
        return []
    return [sr.QualitativeEvaluation(name=codes.CHANGE_SINCE_PRIOR, value=value)]


def growth_text(growth: GrowthContent, words: Words) -> str:
    """The change and its reason as a sentence."""
    return words.say("growth", status=words.name(growth.status), why=words.translate(growth.why))
