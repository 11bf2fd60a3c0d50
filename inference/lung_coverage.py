"""What of the lungs was covered and holds air, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.findings import Laterality, LungSide
from inference.lung_sides import LEFT, RIGHT, UNKNOWN
from inference.volume import Volume

SAID_FROM_ML = 40.0
SAID_FROM_SHARE = 0.03
"""So much of a side without air is worth a warning: above the error on healthy lungs."""
NO_LUNG_ML = 60.0
SMALL_SHARE = 0.3
"""Of both lungs' air; the left lung holds about 45 % in health."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Sides (none where they could not be told apart), where cut, and what to warn of."""

    sides: tuple[LungSide, ...]
    beyond: tuple[str, ...]
    warnings: tuple[str, ...]


def describe_coverage(
    coarse: Volume,
    lungs: NDArray[np.uint8],
    unaerated: NDArray[np.uint8],
    *,
    below: bool,
    above: bool,
    beside: bool,
    upright: bool,
) -> Coverage:
    """Put what was covered into numbers and words.

    Parameters
    ----------
    coarse : Volume
        The grid.
    lungs, unaerated : ndarray of shape (D, H, W), dtype uint8
        By side, see `inference.lungs.LungMask`.
    below, above, beside : bool
        Whether lung reaches the lowest slice, the highest, the edge of the images.
    upright : bool
        Whether the slices are roughly axial, so that the chest wall could be followed.
    """
    ml = coarse.voxel_volume_mm3 / 1000.0
    beyond = tuple(
        place
        for place, is_cut in (
            ("lowest slice (bases)", below),
            ("highest slice (apices)", above),
            ("edge of the field of view", beside),
        )
        if is_cut
    )
    warnings = [
        f"partial coverage: the lungs reach beyond the {place}; what lies there was not seen"
        for place in beyond
    ]
    if not upright:
        warnings.append(
            "slices are not axial: parts of the lungs without air could not be looked for"
        )
    if (lungs == UNKNOWN).any():
        warnings.append("right and left lung could not be told apart")
        missing_ml = float((unaerated > 0).sum() * ml)
        if missing_ml >= SAID_FROM_ML:
            warnings.append(f"lungs: about {missing_ml:.0f} ml {_WITHOUT_AIR}")
        return Coverage(sides=(), beyond=beyond, warnings=tuple(warnings))
    names: tuple[tuple[Laterality, int], ...] = (("right", RIGHT), ("left", LEFT))
    right, left = (
        LungSide(
            side=name,
            aerated_ml=float((lungs == label).sum() * ml),
            unaerated_ml=float((unaerated == label).sum() * ml),
        )
        for name, label in names
    )
    for side, other in ((right, left), (left, right)):
        warnings += _side_warnings(side, other)
    return Coverage(sides=(right, left), beyond=beyond, warnings=tuple(warnings))


_WITHOUT_AIR = (
    "of the cavity is not aerated (effusion, consolidation, collapse or a mass); nodules in it "
    "cannot be seen"
)


def _side_warnings(side: LungSide, other: LungSide) -> list[str]:
    if side.aerated_ml < NO_LUNG_ML:
        return [
            (
                f"one lung only: {side.aerated_ml:.0f} ml of air on the {side.side} (removed, "
                "collapsed or filled); nodules there cannot be seen"
            )
        ]
    fraction = side.aerated_fraction
    if (
        fraction is not None
        and side.unaerated_ml >= SAID_FROM_ML
        and (1 - fraction >= SAID_FROM_SHARE)
    ):
        percent = 100 * (1 - fraction)
        return [f"{side.side} lung: {percent:.0f} % {_WITHOUT_AIR}"]
    share = side.aerated_ml / (side.aerated_ml + other.aerated_ml)
    if share < SMALL_SHARE:
        return [
            (
                f"{side.side} lung: only {100 * share:.0f} % of the air of both (collapse, "
                "surgery or a raised diaphragm); what holds no air there was not searched"
            )
        ]
    return []
