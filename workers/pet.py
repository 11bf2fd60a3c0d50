"""A PET beside a CT: read, with the CT of its own where its frame of reference is another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydicom.uid import PositronEmissionTomographyImageStorage

from dicom_node.errors import DicomNodeError, SeriesRejected, SuvUnknown, UnreadableInstance
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.earlier import why_other_patient
from dicom_node.read.header import Identity, read_header
from dicom_node.read.pet_series import PetSeries, load_pet_series
from dicom_node.read.series import load_ct_series, scan_folder
from inference.pet.uptake import OwnCt, SuvVolume
from inference.pet_values import PetUsed
from workers.translate import to_volume

NO_OWN_CT = (
    "it has another Frame of Reference than the CT, and no CT in its own is here: send the CT that "
    "was taken with it (for attenuation correction) as well"
)
OWN_CT_UNREADABLE = (
    "it has another Frame of Reference than the CT, and the CT that was taken with it cannot be "
    "used: {why}"
)
CT = "CT"

OwnCtFiles = Callable[[str], Iterator[Sequence[Path]]]
"""From a Frame of Reference UID to the files of each CT series in it, the likeliest first."""


def no_own_ct(_frame_of_reference_uid: str) -> Iterator[Sequence[Path]]:
    """For a PET of which nothing else is known."""
    return iter(())


def pet_beside(
    series: CtSeries, paths: Sequence[Path], own_ct: OwnCtFiles = no_own_ct
) -> SuvVolume | str:
    """The PET in `paths`, or why nodules of a CT cannot be measured in it.

    Parameters
    ----------
    series : CtSeries
        The CT.
    paths : sequence of Path
        All instances of one PET series.
    own_ct : callable
        Asked only where the PET has another frame of reference.
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
    beside: OwnCt | None = None
    frame = str(series.headers[0].get("FrameOfReferenceUID", ""))
    if not frame or frame != pet.frame_of_reference_uid:
        found = _read_own_ct(pet, whose, own_ct)
        if isinstance(found, str):
            return found
        beside = found
    return SuvVolume(
        suv=pet.suv,
        affine=pet.affine,
        used=PetUsed(series=str(pet.headers[0].SeriesInstanceUID), how=pet.scale.how),
        lean_fraction=pet.scale.lean_fraction,
        own_ct=beside,
    )


def _read_own_ct(pet: PetSeries, whose: Identity, own_ct: OwnCtFiles) -> OwnCt | str:
    """The first CT in the PET's frame of reference that can be read, or why there is none."""
    refused = NO_OWN_CT
    if not pet.frame_of_reference_uid:
        return refused
    for paths in own_ct(pet.frame_of_reference_uid):
        try:
            ct = load_ct_series(paths, allow_incomplete=True)
        except DicomNodeError as error:
            refused = OWN_CT_UNREADABLE.format(why=error)
            continue
        others = (_why_other_patient(whose, Identity.from_dataset(ds)) for ds in ct.headers)
        other = next((why for why in others if why is not None), None)
        if other is not None:
            refused = OWN_CT_UNREADABLE.format(why=other)
            continue
        return OwnCt(series=ct.series_instance_uid, volume=to_volume(ct))
    return refused


def _why_other_patient(ct: Identity, pet: Identity) -> str | None:
    """Why a PET may not be taken for the CT's patient's; equal in all is enough without an ID."""
    return None if ct.patient_key() == pet.patient_key() else why_other_patient(ct, pet)


def pet_of_folder(series: CtSeries, folder: Path, beside: Path) -> SuvVolume | str:
    """As `pet_beside`, of a folder with one PET series.

    The CT that was taken with it may lie there as well, or in `beside`, the analysed CT's folder.
    """
    pets: list[Path] = []
    others: list[Path] = []
    for paths in scan_folder(folder).series.values():
        header = read_header(paths[0])
        is_pet = header.sop_class_uid == PositronEmissionTomographyImageStorage
        (pets if is_pet else others).extend(paths)

    def own_ct(frame_of_reference_uid: str) -> Iterator[Sequence[Path]]:
        found = []
        for place in dict.fromkeys((folder, beside)):
            for paths in scan_folder(place).series.values():
                header = read_header(paths[0])
                if (
                    header.modality == CT
                    and header.frame_of_reference_uid == frame_of_reference_uid
                    and header.series_instance_uid != series.series_instance_uid
                ):
                    found.append(paths)
        yield from sorted(found, key=len, reverse=True)

    return pet_beside(series, pets or others, own_ct)
