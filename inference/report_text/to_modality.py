"""A reported nodule as a row of the modality ``ct_report``: LIDC's eight scales, NaN unknown.

Columns as in `inference.image_row.REPORT_COLUMNS` (``reported_`` and the attribute). Words of a
report are coarser than ratings: only what they name is set, at the scale's point named here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from inference.attributes import ATTRIBUTES, CALCIFICATION_ABSENT
from inference.report_text.facts import ReportedNodule

PREFIX = "reported_"
NAMED = 4.0
"""Spiculation or lobulation that a report names: clear, not marked. Assumed; 5 is marked."""
NONE = 1.0
AIR = 4.0
"""Internal structure of a cavity (1 soft tissue, 2 fluid, 3 fat, 4 air)."""
TEXTURES: Mapping[str, float] = {
    "ground-glass": 1.0,
    "subsolid": 2.0,
    "part-solid": 3.0,
    "solid": 5.0,
    "calcified": 5.0,
}
"""Subsolid is one of the two below it: their mean."""
CALCIFICATIONS: Mapping[str, float] = {
    "popcorn": 1.0,
    "laminated": 2.0,
    "diffuse": 3.0,
    "eccentric": 4.0,
    "punctate": 4.0,
    "central": 5.0,
}
SOLID_CALCIFICATION = 3.0
MARGINS: Mapping[str, float] = {"well-defined": 5.0, "ill-defined": 1.0}
"""LIDC's margin is its sharpness; smooth and irregular say nothing of it."""


def to_ratings(nodule: ReportedNodule) -> dict[str, float | None]:
    """By attribute, on LIDC's scales; None is not told.

    Subtlety and sphericity are never told; what is only possible counts as not told.
    """
    ratings: dict[str, float | None] = dict.fromkeys(ATTRIBUTES)
    ratings["texture"] = TEXTURES.get(nodule.type or "")
    sharpness = {MARGINS[name] for name in nodule.margin if name in MARGINS}
    ratings["margin"] = sharpness.pop() if len(sharpness) == 1 else None
    for name, told in (("spiculation", nodule.spiculation), ("lobulation", nodule.lobulation)):
        ratings[name] = {"present": NAMED, "absent": NONE}.get(told or "")
    ratings["internal_structure"] = AIR if nodule.cavity == "present" else None
    ratings["calcification"] = _calcification(nodule)
    return ratings


def _calcification(nodule: ReportedNodule) -> float | None:
    if nodule.calcification == "absent":
        return CALCIFICATION_ABSENT
    if nodule.calcification != "present":
        return None
    if nodule.calcification_pattern is not None:
        return CALCIFICATIONS[nodule.calcification_pattern]
    return SOLID_CALCIFICATION if nodule.type == "calcified" else None


def report_columns(nodule: ReportedNodule) -> dict[str, float | None]:
    """By column of ``ct_report``."""
    return {f"{PREFIX}{name}": value for name, value in to_ratings(nodule).items()}


def report_rows(nodules: Sequence[ReportedNodule | None]) -> NDArray[np.float32]:
    """Rows in the order of the nodules, None for one that the report does not name.

    Returns
    -------
    ndarray of shape (N, 8), dtype float32
        In the order of `ATTRIBUTES`; NaN is unknown. As `image_row.describe_rows` takes it.
    """
    unknown: dict[str, float | None] = dict.fromkeys(ATTRIBUTES)
    rows = [
        [np.nan if value is None else value for value in ratings.values()]
        for ratings in (unknown if one is None else to_ratings(one) for one in nodules)
    ]
    return np.array(rows, dtype=np.float32).reshape(len(rows), len(ATTRIBUTES))
