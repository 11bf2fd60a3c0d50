"""What a PET says, as ``findings.json`` writes it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from inference.pet_values import PetRegistration, PetUsed, Uptake


def uptake_to_dict(uptake: Uptake | None) -> dict[str, Any] | None:
    """A nodule's ``pet``; `None` where no PET covers it."""
    return None if uptake is None else asdict(uptake)


def pet_to_dict(pet: PetUsed | None) -> dict[str, Any] | None:
    """The examination's ``pet``; `None` where there is none."""
    if pet is None:
        return None
    return {
        "series_instance_uid": pet.series,
        "suv": pet.how,
        "registration": _registration_to_dict(pet.registration),
    }


def _registration_to_dict(used: PetRegistration | None) -> dict[str, Any] | None:
    """`None` where CT and PET have one frame of reference."""
    if used is None:
        return None
    return {
        "ct_series_instance_uid": used.ct_series,
        "overlap": used.overlap,
        "likeness": used.likeness,
        "residual_mm": used.residual_mm,
    }
