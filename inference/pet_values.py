"""What a PET says of a nodule, and of which PET it is; plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Uptake:
    """What the PET shows of one nodule; SUV by body weight, g/ml."""

    suv_max: float
    suv_peak: float
    suv_mean: float
    """Of the metabolic volume."""
    mtv_mm3: float
    """Metabolic tumour volume."""
    tlg: float
    """Total lesion glycolysis, g: the metabolic volume in ml times `suv_mean`."""
    sul_peak: float | None
    """By lean body mass; `None` where that is not known."""
    too_small_to_trust: bool
    """Partial volume: the values are too low."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PetUsed:
    """The PET that nodules were measured in."""

    series: str
    """Its Series Instance UID."""
    how: str
    """By which attributes its values became SUV."""
