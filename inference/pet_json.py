"""What a PET says, as ``findings.json`` writes it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from inference.pet_values import PetUsed, Uptake


def uptake_to_dict(uptake: Uptake | None) -> dict[str, Any] | None:
    """A nodule's ``pet``; `None` where no PET covers it."""
    return None if uptake is None else asdict(uptake)


def pet_to_dict(pet: PetUsed | None) -> dict[str, Any] | None:
    """The examination's ``pet``; `None` where there is none."""
    return None if pet is None else {"series_instance_uid": pet.series, "suv": pet.how}
