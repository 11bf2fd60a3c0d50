"""CT Image Storage from an array: for phantoms, in the form that scanners send (PS3.3 A.3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from dicom_node.compose.identity import derive_uid
from dicom_node.equipment import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

INTERCEPT_HU = -1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CtIdentity:
    """Whose CT it is said to be; UIDs follow from `key` where they are not given."""

    key: str
    patient_id: str = "PHANTOM"
    patient_name: str = "Phantom^Chest"
    patient_birth_date: str = "19600101"
    patient_sex: str = "O"
    patient_age: str = "060Y"
    study_date: str = "20260101"
    study_time: str = "120000"
    accession_number: str = "PHANTOM1"
    study_description: str = "Chest CT (simulated)"
    series_description: str = "Simulated chest 1"
    study_instance_uid: str = ""
    series_instance_uid: str = ""


def write_ct_series(
    folder: Path,
    *,
    hu: NDArray[np.int16],
    affine: NDArray[np.float64],
    identity: CtIdentity,
    descending: bool = False,
) -> list[Path]:
    """Write a series, one file per slice.

    Parameters
    ----------
    folder : Path
        Made when absent.
    hu : ndarray of shape (D, H, W), dtype int16
        HU, at least -1024.
    affine : ndarray of shape (4, 4)
        Voxel centres (k, j, i, 1) to LPS mm.
    identity : CtIdentity
        Patient and study.
    descending : bool
        Instance Number 1 for the last slice of the array.

    Returns
    -------
    list of Path
        In the order of Instance Number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = range(len(hu) - 1, -1, -1) if descending else range(len(hu))
    paths = []
    for number, k in enumerate(order, start=1):
        path = folder / f"{number:04d}.dcm"
        slice_dataset(hu[k], k, number, affine, identity).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def slice_dataset(
    hu: NDArray[np.int16],
    k: int,
    number: int,
    affine: NDArray[np.float64],
    identity: CtIdentity,
) -> Dataset:
    """One slice as a CT Image (H, W), at index `k` of its series' grid."""
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    column_cosines = affine[:3, 1] / spacing_mm[1]
    row_cosines = affine[:3, 2] / spacing_mm[2]
    position = affine[:3, 3] + k * affine[:3, 0]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(
        derive_uid("phantom instance", identity.key, identity.series_instance_uid, str(k))
    )
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    _add_patient_and_study(ds, identity)
    ds.Modality = "CT"
    ds.SeriesInstanceUID = UID(
        identity.series_instance_uid or derive_uid("phantom series", identity.key)
    )
    ds.SeriesNumber = 2
    ds.SeriesDescription = identity.series_description
    ds.BodyPartExamined = "CHEST"
    ds.PatientPosition = "HFS"
    ds.Manufacturer = "Pulmonode"
    ds.ManufacturerModelName = "Phantom"
    ds.FrameOfReferenceUID = derive_uid("phantom frame of reference", identity.key)
    ds.PositionReferenceIndicator = ""
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.InstanceNumber = number
    ds.AcquisitionNumber = 1
    ds.KVP = 120
    ds.SliceThickness = _ds(spacing_mm[0])
    ds.ImagePositionPatient = [_ds(value) for value in position]
    ds.ImageOrientationPatient = [_ds(value) for value in (*row_cosines, *column_cosines)]
    ds.PixelSpacing = [_ds(spacing_mm[1]), _ds(spacing_mm[2])]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = hu.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.PixelRepresentation = 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = INTERCEPT_HU, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = -600, 1500
    stored = np.clip(hu.astype(np.int32) - INTERCEPT_HU, 0, 65535).astype("<u2")
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def _add_patient_and_study(ds: Dataset, identity: CtIdentity) -> None:
    texts = (identity.patient_name, identity.study_description, identity.series_description)
    if not all(text.isascii() for text in texts):
        ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = identity.patient_name
    ds.PatientID = identity.patient_id
    ds.PatientBirthDate = identity.patient_birth_date
    ds.PatientSex = identity.patient_sex
    ds.PatientAge = identity.patient_age
    ds.StudyInstanceUID = UID(
        identity.study_instance_uid or derive_uid("phantom study", identity.key)
    )
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = identity.study_date
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = identity.study_time
    ds.StudyID = "1"
    ds.AccessionNumber = identity.accession_number
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = identity.study_description


def _ds(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 section 6.2, DS)."""
    return f"{value:.9g}"[:16]
