"""Series with something wrong, each with UIDs of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.compose.ct import CtIdentity, slice_dataset
from dicom_node.compose.identity import derive_uid

SLICES = 24
SPACING_MM = 5.0


def plain_series(key: str, slices: int = SLICES) -> list[Dataset]:
    """A small series with nothing wrong in its headers (its pixels are noise)."""
    affine = np.array(
        [[0, 0, 1.4, -44.8], [0, 1.4, 0, -44.8], [SPACING_MM, 0, 0, -60.0], [0, 0, 0, 1.0]]
    )
    random = np.random.default_rng(1)
    hu = random.integers(-1000, 300, (slices, 64, 64)).astype(np.int16)
    identity = CtIdentity(key=key, patient_id=f"ID-{key}", patient_name=f"Name^{key}")
    return [slice_dataset(hu[k], k, k + 1, affine, identity) for k in range(slices)]


def renamed(paths: Sequence[Path], key: str) -> list[Dataset]:
    """Real slices under new study, series and instance UIDs."""
    datasets = [dcmread(path) for path in paths]
    for ds in datasets:
        ds.StudyInstanceUID = derive_uid("test study", key)
        ds.SeriesInstanceUID = derive_uid("test series", key)
        ds.FrameOfReferenceUID = derive_uid("test frame", key)
        ds.SOPInstanceUID = derive_uid("test instance", key, ds.SOPInstanceUID)
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return datasets


def save(datasets: Sequence[Dataset], folder: Path) -> list[Path]:
    """Write data sets to files; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, ds in enumerate(datasets):
        path = folder / f"{number:04d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def again(ds: Dataset, suffix: str) -> Dataset:
    """A copy under another SOP Instance UID."""
    twin = copy.deepcopy(ds)
    twin.SOPInstanceUID = derive_uid("again", ds.SOPInstanceUID, suffix)
    twin.file_meta.MediaStorageSOPInstanceUID = twin.SOPInstanceUID
    return twin


def _each(change: Callable[[Dataset, int], None]) -> Callable[[list[Dataset]], list[Dataset]]:
    def apply(datasets: list[Dataset]) -> list[Dataset]:
        for k, ds in enumerate(datasets):
            change(ds, k)
        return datasets

    return apply


def _move(ds: Dataset, *, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> None:
    position = [float(value) for value in ds.ImagePositionPatient]
    ds.ImagePositionPatient = [position[0] + x, position[1] + y, position[2] + z]


def _not_ct(ds: Dataset, _k: int) -> None:
    ds.Modality = "MR"
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID


def _localizer(ds: Dataset, _k: int) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def _second_orientation(ds: Dataset, k: int) -> None:
    if k % 2:
        ds.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def _tilt(ds: Dataset, k: int) -> None:
    _move(ds, y=k * SPACING_MM * float(np.tan(np.radians(15))))


def _stretch(ds: Dataset, k: int) -> None:
    _move(ds, z=0.6 * k if k % 3 == 0 else 0.0)


def _wrong_rescale(ds: Dataset, _k: int) -> None:
    ds.RescaleIntercept = 0


def _two_phases(datasets: list[Dataset]) -> list[Dataset]:
    later = [again(ds, "phase 2") for ds in datasets]
    for phase, group in enumerate((datasets, later), start=1):
        for ds in group:
            ds.TemporalPositionIdentifier = phase
    return datasets + later


HEADER_CASES: dict[str, tuple[str, str, Callable[[list[Dataset]], list[Dataset]]]] = {
    # name: (state's reason code, words that the reason must hold, what is wrong)
    "not_ct": ("not_ct", "modality is MR", _each(_not_ct)),
    "localizer": ("localizer", "localizer", _each(_localizer)),
    "two_series_mixed": ("mixed_series", "orientation", _each(_second_orientation)),
    "missing_slices": ("missing_slices", "2 slices missing", lambda s: s[:9] + s[11:]),
    "duplicate_slices": ("duplicate_slices", "hold several", lambda s: [*s, again(s[3], "x")]),
    "unequal_spacing": ("unequal_spacing", "unequal spacing", _each(_stretch)),
    "gantry_tilt": ("gantry_tilt", "15.0 degrees", _each(_tilt)),
    "four_d": ("temporal_4d", "2 temporal positions", _two_phases),
    "wrong_rescale": ("wrong_rescale", "Rescale Slope", _each(_wrong_rescale)),
    "no_lungs": ("no_lungs", "no lungs", lambda s: s),
}
