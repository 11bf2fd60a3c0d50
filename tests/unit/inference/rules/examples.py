"""Nodules by their sizes alone, for the tests of the rules."""

from __future__ import annotations

import numpy as np

from inference.findings import Axis, ClinicalContext, Measurements, NoduleType, PriorNodule
from inference.rules.fleischner import SizedNodule

SCREENING = ClinicalContext(screening_exam=True)
INCIDENTAL = ClinicalContext(
    screening_exam=False,
    age_years=60.0,
    known_cancer=False,
    immunosuppressed=False,
    high_risk=False,
)


def measured(mean_mm: float, solid_mm: float | None = None, *, mm3: float = 1.0) -> Measurements:
    axis = Axis(k=0, start_ji=(0.0, 0.0), end_ji=(0.0, mean_mm), length_mm=mean_mm)
    return Measurements(
        long_axis=axis,
        short_axis=axis,
        contour_ji=np.zeros((3, 2)),
        mean_diameter_mm=mean_mm,
        max_3d_diameter_mm=mean_mm,
        volume_mm3=mm3,
        mean_hu=0.0,
        solid_mean_diameter_mm=solid_mm,
        solid_volume_mm3=None,
    )


def prior(
    mean_mm: float,
    *,
    days: float = 365.0,
    nodule_type: NoduleType = "solid",
    solid_mm: float | None = None,
    category: str | None = None,
    mm3: float | None = None,
) -> PriorNodule:
    return PriorNodule(
        mean_diameter_mm=mean_mm,
        nodule_type=nodule_type,
        days_before=days,
        solid_mean_diameter_mm=solid_mm,
        volume_mm3=mm3,
        category=category,
    )


def sized(
    nodule_type: NoduleType,
    mean_mm: float,
    solid_mm: float | None = None,
    *,
    mm3: float | None = None,
) -> SizedNodule:
    return SizedNodule(
        nodule_type=nodule_type,
        mean_diameter_mm=mean_mm,
        solid_mean_diameter_mm=solid_mm,
        volume_mm3=mm3,
    )
