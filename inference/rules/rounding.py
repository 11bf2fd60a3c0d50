"""Rounding as people and guidelines do it: halves go up, never to the even neighbour."""

from __future__ import annotations

import math


def round_tenth_mm(value_mm: float) -> float:
    """To 0.1 mm, as Lung-RADS v2022 measures diameters."""
    return math.floor(value_mm * 10 + 0.5) / 10


def round_whole_mm(value_mm: float) -> int:
    """To 1 mm, as the Fleischner Society measures diameters (Bankier, Radiology 2017;285:584)."""
    return math.floor(value_mm + 0.5)
