"""What is sent of each study: files of a small phantom, as pieces with pauses between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from dicom_node.compose.ct import CtIdentity, slice_dataset
from dicom_node.compose.identity import derive_uid
from inference.phantom import PhantomSpec, make_phantom
from workers.bench.scale.day import Kind, Study

CUT_BYTES = 1000
LATE_SLICES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Chest:
    """The series that every study sends a copy of: HU (D, H, W) and its affine."""

    hu: NDArray[np.int16]
    affine: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """Seconds of the wall clock, not of the replayed day.

    Attributes
    ----------
    between_s : float
        Between two associations of one series: below the quiet time.
    late_s : float
        Until late slices come: above the quiet time, below the wait for them.
    very_late_s : float
        Until the end of a series comes that may have a result by then.
    """

    between_s: float
    late_s: float
    very_late_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Files that go over one association, so long after the piece before."""

    after_s: float
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A study as it is sent, and what must be known of it afterwards."""

    study: Study
    patient_id: str
    study_uid: str
    series_uid: str
    instances: dict[Path, str]
    """SOP Instance UID of each file."""
    pieces: tuple[Piece, ...]


def make_chest(slices: int, pixels: int) -> Chest:
    """A phantom of 200 mm along the body and 300 mm across."""
    phantom = make_phantom(
        PhantomSpec(
            seed=1,
            slices=slices,
            pixels=pixels,
            slice_spacing_mm=200.0 / slices,
            pixel_spacing_mm=300.0 / pixels,
            nodules=(),
        )
    )
    return Chest(hu=phantom.volume.hu, affine=phantom.volume.affine)


def write_study(study: Study, chest: Chest, folder: Path, pauses: Pauses) -> Sent:
    """Write a study's files and say in which pieces they go.

    Parameters
    ----------
    folder : Path
        Of its own; made here.
    """
    patient_id = f"SCALE{study.number:05d}"
    key = f"bench scale {study.number}"
    datasets = _slices(chest, key, patient_id)
    first = datasets[0]
    if study.kind is Kind.MISSING:
        middle = len(datasets) // 2
        del datasets[middle : middle + 2]
    elif study.kind is Kind.NOT_CT:
        for ds in datasets:
            ds.Modality = "MR"
            ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    elif study.kind is Kind.FOREIGN:
        datasets[len(datasets) // 2].PatientID = f"OTHER{study.number:05d}"
    folder.mkdir(parents=True)
    instances = {}
    for number, ds in enumerate(datasets):
        path = folder / f"{number:04d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        instances[path] = str(ds.SOPInstanceUID)
    if study.kind is Kind.TRUNCATED:
        cut = list(instances)[len(instances) // 2]
        cut.write_bytes(cut.read_bytes()[:-CUT_BYTES])
    return Sent(
        study=study,
        patient_id=patient_id,
        study_uid=str(first.StudyInstanceUID),
        series_uid=str(first.SeriesInstanceUID),
        instances=instances,
        pieces=_pieces(study.kind, list(instances), pauses),
    )


def _slices(chest: Chest, key: str, patient_id: str) -> list[Dataset]:
    identity = CtIdentity(
        key=key,
        patient_id=patient_id,
        patient_name=f"Scale^{patient_id}",
        accession_number=derive_uid(key)[-12:],
    )
    return [
        slice_dataset(chest.hu[k], k, k + 1, chest.affine, identity) for k in range(len(chest.hu))
    ]


def _pieces(kind: Kind, files: Sequence[Path], pauses: Pauses) -> tuple[Piece, ...]:
    middle = len(files) // 2
    late = files[middle : middle + LATE_SLICES]
    parts: dict[Kind, tuple[tuple[float, Sequence[Path]], ...]] = {
        Kind.TWO_ASSOCIATIONS: ((0.0, files[:middle]), (pauses.between_s, files[middle:])),
        Kind.LATE_MIDDLE: (
            (0.0, [file for file in files if file not in late]),
            (pauses.late_s, late),
        ),
        Kind.LATE_END: (
            (0.0, files[:-LATE_SLICES]),
            (pauses.very_late_s, files[-LATE_SLICES:]),
        ),
        Kind.RESENT: ((0.0, files), (pauses.very_late_s, files)),
    }
    return tuple(
        Piece(after_s=after_s, files=tuple(part))
        for after_s, part in parts.get(kind, ((0.0, files),))
    )
