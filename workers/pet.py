"""A PET beside a CT: read, and brought to where nodules can be measured in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dicom_node.errors import SeriesRejected, SuvUnknown, UnreadableInstance
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.earlier import why_other_patient
from dicom_node.read.header import Identity
from dicom_node.read.pet_series import load_pet_series
from inference.pet.uptake import SuvVolume
from inference.pet_values import PetUsed

OTHER_FRAME = "it has another Frame of Reference than the CT: places cannot be compared"


def pet_beside(series: CtSeries, paths: Sequence[Path]) -> SuvVolume | str:
    """The PET in `paths`, or why nodules of a CT cannot be measured in it.

    Parameters
    ----------
    series : CtSeries
        The CT.
    paths : sequence of Path
        All instances of one PET series.
    """
    try:
        pet = load_pet_series(paths)
    except (SeriesRejected, SuvUnknown) as error:
        return error.why
    except UnreadableInstance as error:
        return f"a file cannot be read: {error.why}"
    whose = Identity.from_dataset(series.headers[0])
    for header in pet.headers:
        other = _why_other_patient(whose, Identity.from_dataset(header))
        if other is not None:
            return other
    frame = str(series.headers[0].get("FrameOfReferenceUID", ""))
    if not frame or frame != pet.frame_of_reference_uid:
        return OTHER_FRAME
    return SuvVolume(
        suv=pet.suv,
        affine=pet.affine,
        used=PetUsed(series=str(pet.headers[0].SeriesInstanceUID), how=pet.scale.how),
        lean_fraction=pet.scale.lean_fraction,
    )


def _why_other_patient(ct: Identity, pet: Identity) -> str | None:
    """Why a PET may not be taken for the CT's patient's; equal in all is enough without an ID."""
    return None if ct.patient_key() == pet.patient_key() else why_other_patient(ct, pet)


def pet_of_folder(series: CtSeries, folder: Path) -> SuvVolume | str:
    """As `pet_beside`, of a folder with one PET series."""
    return pet_beside(series, sorted(path for path in folder.rglob("*") if path.is_file()))
