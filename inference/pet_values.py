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
    corrected_mm: float | None = None
    """Through a registration: what that was off by at this nodule, and was corrected by."""
    likeness: float | None = None
    """Through a registration: correlation of the nodule and the lung around it with the place in
    the PET's own CT, -1 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PetRegistration:
    """How a PET in another frame of reference was brought to the CT."""

    ct_series: str
    """Series Instance UID of the CT in the PET's frame."""
    overlap: float
    """Dice coefficient of the lungs of both CTs, 0 to 1."""
    likeness: float
    """Correlation of the densities in both lungs, -1 to 1."""
    residual_mm: float | None
    """The most that it was off by at a nodule that was measured; corrected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PetUsed:
    """The PET that nodules were measured in."""

    series: str
    """Its Series Instance UID."""
    how: str
    """By which attributes its values became SUV."""
    registration: PetRegistration | None = None
    """`None` where it has the CT's own frame of reference."""
