"""Nodules of a CT in a PET beside it, whose frame of reference may be another one.

In one frame a place is a place. Else the CT that was taken with the PET (for attenuation
correction, in the PET's frame) is laid under the analysed one: lungs over lungs, as for an earlier
examination, then each nodule by itself. A map that is not good enough is not used, and the reason
is said; nor is a nodule measured that was not found again in that CT.

Deliberately absent: laying a PET itself over a CT. It shows little of the lungs, and what is hot
in it may be what is looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from inference.errors import NotAnalysable
from inference.findings import Nodule
from inference.follow_up.registration import Registration, register
from inference.lungs import LungMask, segment_lungs
from inference.pet.carry import SAME_FRAME, Carry
from inference.pet.local_match import REACH_MM, match_near
from inference.pet.uptake import OwnCt, SuvVolume, measure_uptake
from inference.pet_values import PetRegistration, PetUsed, Uptake
from inference.volume import Volume

LUNGS_LIKE_AT_LEAST = 0.78
"""Correlation of the densities in both lungs (docs/pet.md): those of two patients reach 0.60,
those of one chest bent by 24 mm 0.77, where the lungs alone are off by more than is searched."""
NODULE_LIKE_AT_LEAST = 0.75
"""Correlation of a nodule and the lung around it with what is taken for them (docs/pet.md)."""
PET_LIMIT = (
    "SUV is measured by published formulas that were checked on computed cases only; breathing and "
    "small size make it too low, and no level rests on it"
)
PET_GRADED_LIMIT = (
    "SUV is measured by published formulas that were checked on computed cases only; breathing and "
    "small size make it too low, and under 8 mm it counts for no level"
)
CARRIED_LIMIT = (
    "the PET has another frame of reference than the CT: places were carried over by registering "
    "the CT that was taken with it, which was tested on phantoms and deformed copies of real CT "
    "only, never on patients' PET"
)
NOT_USED = "the PET was not used, it has another Frame of Reference than the CT: {why}"
OWN_CT = "its own CT: {why}"
UNLIKE = (
    "the lungs in its own CT look unlike (correlation {found:.2f}, at least "
    f"{LUNGS_LIKE_AT_LEAST:.2f} wanted): breath too different, or another patient"
)
NOT_MEASURED = "nodule {number} was not measured in the PET: {why}"
NOT_COVERED = "the CT that was taken with it does not cover the place"
NOT_FOUND = (
    "it was not found again in the CT that was taken with it (correlation {found:.2f}, at least "
    f"{NODULE_LIKE_AT_LEAST:.2f} wanted)"
)
TOO_FAR = (
    f"it lies in the CT that was taken with it more than {REACH_MM:.0f} mm from where the "
    "registration puts it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredBeside:
    """What a PET gave: the same nodules in the same order, and which PET it is.

    `used` is `None` where nothing could be measured in it; `warnings` say why, unless it only
    covers no nodule.
    """

    nodules: tuple[Nodule, ...]
    used: PetUsed | None
    warnings: tuple[str, ...] = ()


def measure_beside(
    ct: Volume, lungs: LungMask, nodules: Sequence[Nodule], pet: SuvVolume
) -> MeasuredBeside:
    """Measure each nodule in a PET, where that covers it.

    Parameters
    ----------
    ct, lungs : Volume, LungMask
        In which the nodules were outlined.
    nodules : sequence of Nodule
        Of this CT.
    pet : SuvVolume
        With a CT of its own where its frame of reference is not `ct`'s.
    """
    if pet.own_ct is None:
        measured = tuple(
            replace(nodule, uptake=_measure(ct, nodule, pet, SAME_FRAME)) for nodule in nodules
        )
        return MeasuredBeside(nodules=measured, used=pet.used)
    if not nodules:
        return MeasuredBeside(nodules=(), used=None)
    laid = _lay_under(ct, lungs, pet.own_ct)
    if isinstance(laid, str):
        return MeasuredBeside(
            nodules=tuple(nodules), used=None, warnings=(NOT_USED.format(why=laid),)
        )
    return _through(laid, ct, lungs, nodules, pet, pet.own_ct)


def _measure(ct: Volume, nodule: Nodule, pet: SuvVolume, carry: Carry) -> Uptake | None:
    diameter_mm = nodule.measurements.mean_diameter_mm
    return measure_uptake(ct, nodule.voi, pet, diameter_mm=diameter_mm, carry=carry)


def _lay_under(ct: Volume, lungs: LungMask, own: OwnCt) -> Registration | str:
    """The map from a CT to the one of the PET, or why it cannot be believed."""
    try:
        laid = register(ct, lungs, own.volume, segment_lungs(own.volume))
    except NotAnalysable as error:
        return OWN_CT.format(why=error.why)
    except (ValueError, np.linalg.LinAlgError, MemoryError) as error:
        return f"the CTs could not be registered: {error}"
    if laid.why_not is not None:
        return laid.why_not
    if laid.likeness < LUNGS_LIKE_AT_LEAST:
        return UNLIKE.format(found=laid.likeness)
    return laid


def _through(
    laid: Registration,
    ct: Volume,
    lungs: LungMask,
    nodules: Sequence[Nodule],
    pet: SuvVolume,
    own: OwnCt,
) -> MeasuredBeside:
    measured, warnings, off_mm = [], [], []
    for nodule in nodules:
        uptake = _carried(laid, ct, lungs, nodule, pet, own)
        if isinstance(uptake, str):
            warnings.append(NOT_MEASURED.format(number=nodule.id, why=uptake))
            measured.append(nodule)
            continue
        if uptake is not None and uptake.corrected_mm is not None:
            off_mm.append(uptake.corrected_mm)
        measured.append(replace(nodule, uptake=uptake))
    used = replace(
        pet.used,
        registration=PetRegistration(
            ct_series=own.series,
            overlap=laid.overlap,
            likeness=laid.likeness,
            residual_mm=max(off_mm, default=None),
        ),
    )
    return MeasuredBeside(
        nodules=tuple(measured), used=used if off_mm else None, warnings=tuple(warnings)
    )


def _carried(
    laid: Registration, ct: Volume, lungs: LungMask, nodule: Nodule, pet: SuvVolume, own: OwnCt
) -> Uptake | str | None:
    """A nodule's uptake through a registration, or why its place cannot be believed."""
    near = match_near(ct, lungs, nodule.voi, own.volume, laid.to_prior)
    if near is None:
        return NOT_COVERED
    if near.likeness < NODULE_LIKE_AT_LEAST:
        return NOT_FOUND.format(found=near.likeness)
    if near.at_edge:
        return TOO_FAR
    uptake = _measure(ct, nodule, pet, Carry(registration=laid, shift_mm=near.shift_mm))
    if uptake is None:
        return None
    corrected_mm = float(np.linalg.norm(near.shift_mm))
    return replace(uptake, corrected_mm=corrected_mm, likeness=near.likeness)
