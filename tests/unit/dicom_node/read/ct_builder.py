"""Small synthetic CT series as data sets; no file, path or fixture is assumed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

Vector = tuple[float, float, float]


def uid(*words: object) -> str:
    """A UID that depends on the words only."""
    return str(generate_uid(entropy_srcs=[str(word) for word in words]))


def chest_hu(slices: int, rows: int, columns: int) -> NDArray[np.int16]:
    """Air, a body of soft tissue and two lungs with noise: densities of a chest (D, H, W)."""
    j, i = np.mgrid[:rows, :columns]
    y, x = 2 * (j + 0.5) / rows - 1, 2 * (i + 0.5) / columns - 1
    hu = np.full((rows, columns), -1000.0)
    hu[x**2 + y**2 < 0.8] = 40
    hu[((np.abs(x) - 0.4) / 0.25) ** 2 + (y / 0.5) ** 2 < 1] = -850
    noise = np.random.default_rng(0).normal(0, 15, (slices, rows, columns))
    return np.clip(hu + noise, -1024, 3071).astype(np.int16)


def build_ct(
    *,
    slices: int = 20,
    spacing_mm: float = 2.5,
    rows: int = 32,
    columns: int = 24,
    pixel_spacing_mm: tuple[float, float] = (0.7, 0.8),
    row: Vector = (1.0, 0.0, 0.0),
    column: Vector = (0.0, 1.0, 0.0),
    origin_lps_mm: Vector = (-10.0, -12.0, 30.0),
    step: Vector | None = None,
    key: str = "1",
    **attributes: Any,
) -> list[FileDataset]:
    """One series, slices ascending along the normal.

    `step` is the way per slice (default: `spacing_mm` along the normal); `key` makes the UIDs;
    further keywords are DICOM attributes set on every slice, or removed where `None`.
    """
    hu = chest_hu(slices, rows, columns)
    way = np.cross(row, column) * spacing_mm if step is None else np.asarray(step)
    datasets = []
    for k in range(slices):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.SourceApplicationEntityTitle = "SCANNER"
        ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID = CTImageStorage
        ds.SOPInstanceUID = uid(key, "instance", k)
        ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(key, "study"), uid(key, "series")
        ds.FrameOfReferenceUID = uid(key, "frame of reference")
        ds.PatientName, ds.PatientID, ds.PatientSex = f"Built^{key}", f"ID-{key}", "O"
        ds.PatientBirthDate, ds.PatientAge = "19600101", "066Y"
        ds.StudyDate, ds.StudyID, ds.AccessionNumber = "20260201", "1", "A1"
        ds.StudyDescription, ds.SeriesDescription = "CT chest", "Chest 2.5 mm"
        ds.Modality, ds.BodyPartExamined = "CT", "CHEST"
        ds.Manufacturer, ds.ConvolutionKernel = "Builder", "B30f"
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.InstanceNumber, ds.AcquisitionNumber, ds.SeriesNumber = k + 1, 1, 2
        ds.SliceThickness = spacing_mm
        ds.ImagePositionPatient = [f"{v:.9g}" for v in np.asarray(origin_lps_mm) + k * way]
        ds.ImageOrientationPatient = [f"{v:.9g}" for v in (*row, *column)]
        ds.PixelSpacing = list(pixel_spacing_mm)
        ds.Rows, ds.Columns, ds.SamplesPerPixel = rows, columns, 1
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -1024, "HU"
        ds.PixelData = (hu[k].astype(np.int32) + 1024).astype("<u2").tobytes()
        ds["PixelData"].VR = "OW"
        for name, value in attributes.items():
            if value is None:
                delattr(ds, name)
            else:
                setattr(ds, name, value)
        meta.MediaStorageSOPClassUID = ds.SOPClassUID
        meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        datasets.append(ds)
    return datasets


def copied(ds: FileDataset, key: str, **attributes: Any) -> FileDataset:
    """The same slice under another SOP Instance UID, with some attributes changed."""
    twin = copy.deepcopy(ds)
    twin.SOPInstanceUID = uid(key, ds.SOPInstanceUID)
    twin.file_meta.MediaStorageSOPInstanceUID = twin.SOPInstanceUID
    for name, value in attributes.items():
        setattr(twin, name, value)
    return twin


def moved(ds: FileDataset, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> FileDataset:
    """The same slice (and UID) elsewhere, mm."""
    position = np.array(ds.ImagePositionPatient, dtype=float) + np.array((x, y, z))
    ds.ImagePositionPatient = [f"{value:.9g}" for value in position]
    return ds


def save_all(datasets: Sequence[FileDataset], folder: Path) -> list[Path]:
    """Write the data sets as files in the order given; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}.dcm" for number in range(len(datasets))]
    for ds, path in zip(datasets, paths, strict=True):
        ds.save_as(path, enforce_file_format=True)
    return paths


def to_jpeg_lossless(path: Path) -> None:
    """Compress a file in place by JPEG Lossless SV1, which pydicom has no encoder for."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), None
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path))
    assert writer.Write()
