"""Detected nodules by what links them to a report."""

from __future__ import annotations

from typing import Any

import numpy as np

from inference.findings import (
    BrockEstimate,
    FleischnerAssessment,
    LungRadsAssessment,
    MayoEstimate,
    Nodule,
    VoiMask,
)
from tests.unit.inference.rules.examples import measured


def detected(number: int, *, long_mm: float = 6.0, **other: Any) -> Nodule:
    """A nodule of the right upper lobe, solid, unless said otherwise."""
    lobe = other.get("lobe", "right upper lobe")
    values: dict[str, Any] = {
        "lobe": lobe,
        "laterality": lobe.split()[0],
        "lobe_probability": 0.9,
        "type": "solid",
        **other,
    }
    return Nodule(
        id=number,
        centre_lps_mm=(0.0, 0.0, 0.0),
        voi=VoiMask(origin_kji=(0, 0, 0), mask=np.ones((1, 1, 1), dtype=bool)),
        detection_probability=0.9,
        measurements=measured(long_mm),
        lung_rads=LungRadsAssessment(applicable="unknown", category=None, why="a test"),
        fleischner=FleischnerAssessment(applicable="unknown", recommendation=None, why="a test"),
        brock=BrockEstimate(probability=None, missing=()),
        mayo=MayoEstimate(probability=None),
        **values,
    )
