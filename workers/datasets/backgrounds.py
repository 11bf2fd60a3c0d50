"""Annotated scans -> backgrounds whose annotated nodules are to be found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.training.backgrounds import AnnotatedPlace, KnownLesion, prepare_background
from inference.training.shapes import part_of
from inference.training.shelf import is_stored, store_background
from workers.datasets.excluded import may_train
from workers.datasets.scan import AnnotatedScan
from workers.datasets.source import DatasetSource, Tally, iterate

CACHE_VERSION = 1
"""Raised when backgrounds are prepared otherwise."""
AT_LEAST_MM = 3.0
"""Smaller marks are neither right nor wrong."""
TOO_FEW_RADIUS = 0.6
"""Of the diameter, around a nodule that too few readers marked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedBackgrounds:
    """Prepared backgrounds on disk, and whose they are.

    Attributes
    ----------
    patients : tuple of str
        Digests (`patient_digest`) of all patients, so that nothing else need be remembered.
    nodules : int
        That count.
    left_out : frozenset of str
        Of the names that were to be left out, those that the data sets have.
    """

    folders: tuple[Path, ...]
    patients: tuple[str, ...]
    nodules: int
    left_out: frozenset[str]
    tally: Tally


def patient_digest(patient_id: str) -> str:
    """What a manifest remembers of a patient: enough to recognise, not to tell who it is."""
    return hashlib.sha256(patient_id.encode()).hexdigest()[:16]


def prepare_annotated(
    sources: Sequence[DatasetSource],
    *,
    spacing_mm: float,
    readers: int,
    cache: Path,
    told: Callable[[str], None],
    every_patient: bool = False,
    left_out: Collection[str] = (),
) -> AnnotatedBackgrounds:
    """Prepare the scans of some data sets for training, each once.

    Parameters
    ----------
    sources : sequence of DatasetSource
        Where they are.
    spacing_mm : float
        The network's.
    readers : int
        Nodules marked by fewer are neither right nor wrong.
    cache : Path
        Folder for prepared backgrounds.
    told : callable
        Told of progress and of each scan that is skipped.
    every_patient : bool
        Also those that are kept for tuning and testing by the hash of their identity.
    left_out : collection of str
        Series Instance UIDs, or patients, not to be used.

    Raises
    ------
    DatasetRefused
        If a data set is not what it is said to be, or no scan can be used.
    """
    folders: list[Path] = []
    patients: set[str] = set()
    met: set[str] = set()
    count = 0

    def accept(scan: AnnotatedScan) -> bool:
        wanted = every_patient or part_of(scan.patient_id) == "train"
        named = {scan.identifier, scan.patient_id} & set(left_out)
        met.update(named)
        return may_train(scan) and wanted and not named

    def use(scan: AnnotatedScan) -> None:
        nonlocal count
        nodules, lesions = _sorted(scan, readers)
        key = hashlib.sha256(
            f"{CACHE_VERSION} {scan.identifier} {spacing_mm} {nodules} {lesions} "
            f"{scan.negatives_lps_mm.tolist()}".encode()
        ).hexdigest()[:24]
        if not is_stored(cache / key):
            told(f"preparing {scan.identifier}")
            background = prepare_background(
                f"annotated {key[:12]}",
                scan.read_volume(),
                spacing_mm=spacing_mm,
                lesions=lesions,
                nodules=nodules,
                negatives_lps_mm=np.asarray(scan.negatives_lps_mm),
            )
            store_background(background, cache / key)
        folders.append(cache / key)
        patients.add(patient_digest(scan.patient_id))
        count += len(nodules)

    tally = iterate(sources, use, told=told, accept=accept)
    return AnnotatedBackgrounds(
        folders=tuple(folders),
        patients=tuple(sorted(patients)),
        nodules=count,
        left_out=frozenset(met),
        tally=tally,
    )


def _sorted(
    scan: AnnotatedScan, readers: int
) -> tuple[tuple[AnnotatedPlace, ...], tuple[KnownLesion, ...]]:
    """What is to be found, and what is neither right nor wrong."""
    counted, uncertain = scan.split_by_readers(readers)
    nodules = tuple(
        AnnotatedPlace(centre_lps_mm=item.centre_lps_mm, diameter_mm=item.diameter_mm)
        for item in counted
        if item.diameter_mm >= AT_LEAST_MM
    )
    small = [item for item in counted if item.diameter_mm < AT_LEAST_MM]
    lesions = [
        KnownLesion(
            centre_lps_mm=item.centre_lps_mm,
            radius_mm=max(AT_LEAST_MM, TOO_FEW_RADIUS * item.diameter_mm),
        )
        for item in (*uncertain, *small)
    ]
    # What readers marked as no nodule stays in the loss: it is known to be none.
    lesions += [
        KnownLesion(centre_lps_mm=mark.centre_lps_mm, radius_mm=mark.radius_mm)
        for mark in scan.other_marks
        if mark.kind != "non-nodule"
    ]
    return nodules, tuple(lesions)
