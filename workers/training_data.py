"""CT folders -> backgrounds and known lesions for `inference.training` and its evaluation.

The folder given by ``--data`` holds ``lidc/`` (annotation tables) and ``ct/NAME/dicom/`` (one
series each). What they are known to hold stands in ``known_lesions.yaml``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from dicom_node.read.header import read_header
from dicom_node.read.series import load_ct_series
from inference.training.backgrounds import (
    Background,
    KnownLesion,
    load_background,
    prepare_background,
    save_background,
    simulate_background,
)
from inference.volume import Volume
from workers.datasets.backgrounds import patient_digest
from workers.translate import to_volume

LESIONS_FILE = Path(__file__).parent / "known_lesions.yaml"
CACHE_VERSION = 2
"""Raised when backgrounds are prepared otherwise."""


class LesionEntry(BaseModel):
    """One lesion of ``known_lesions.yaml``.

    Attributes
    ----------
    evaluate : bool
        The detector must find it.
    unsure : bool
        Looks like a nodule and was confirmed by nobody: kept out of training like the others,
        and still counted among the false positives when it is listed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    centre_lps_mm: tuple[float, float, float]
    diameter_mm: float = Field(gt=0)
    radius_mm: float = Field(gt=0)
    evaluate: bool
    unsure: bool = False
    source: str

    def to_known(self) -> KnownLesion:
        """As `inference.training` takes it."""
        return KnownLesion(centre_lps_mm=self.centre_lps_mm, radius_mm=self.radius_mm)


@dataclass(frozen=True, slots=True, kw_only=True)
class RealScan:
    """A CT series and the lesions that it is known to hold."""

    name: str
    volume: Volume
    lesions: tuple[LesionEntry, ...]


def read_lesions(file: Path | None = None) -> dict[str, tuple[LesionEntry, ...]]:
    """Known lesions by folder name.

    Raises
    ------
    pydantic.ValidationError
        If the file does not say what it should.
    """
    raw = yaml.safe_load((file or LESIONS_FILE).read_text())
    return TypeAdapter(dict[str, tuple[LesionEntry, ...]]).validate_python(raw)


def scan_names(data: Path) -> list[str]:
    """Names of the CT series below ``ct/``, sorted."""
    return sorted(path.parent.name for path in (data / "ct").glob("*/dicom"))


def check_names(names: Iterable[str], data: Path) -> None:
    """Refuse names of scans that are not there.

    Raises
    ------
    FileNotFoundError
        Naming the first of them.
    """
    known = set(scan_names(data))
    for name in names:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise FileNotFoundError(f"no CT series {name} in {data / 'ct'} (there: {there})")


def read_scan(data: Path, name: str, lesions: Sequence[LesionEntry]) -> RealScan:
    """Read one series of ``ct/``.

    Raises
    ------
    dicom_node.errors.DicomNodeError
        If it cannot be read.
    """
    files = sorted((data / "ct" / name / "dicom").glob("*.dcm"))
    series = load_ct_series(files, allow_incomplete=True)
    return RealScan(name=name, volume=to_volume(series), lesions=tuple(lesions))


def patients_of(data: Path | None, names: Sequence[str]) -> tuple[str, ...]:
    """Digests of the patients of some series of ``ct/``, by the header of one slice each."""
    if data is None:
        return ()
    first = (next((data / "ct" / name / "dicom").glob("*.dcm"), None) for name in names)
    return tuple(
        patient_digest(read_header(path).identity.patient_id) for path in first if path is not None
    )


def prepare_backgrounds(
    data: Path,
    names: Sequence[str],
    lesions: Mapping[str, Sequence[LesionEntry]],
    *,
    spacing_mm: float,
    simulated: Iterable[int],
    cache: Path,
    told: Callable[[str], None],
) -> list[Background]:
    """Real and simulated backgrounds, prepared once and kept in `cache`.

    Parameters
    ----------
    data : Path
        See the module.
    names : sequence of str
        Real scans to use.
    lesions : mapping
        Known lesions by name; a scan without an entry counts as free of nodules.
    spacing_mm : float
        The network's.
    simulated : iterable of int
        Seeds of simulated thoraces.
    cache : Path
        Folder for prepared backgrounds.
    told : callable
        Told what is being prepared.
    """
    found = []
    for name in names:
        known = [entry.to_known() for entry in lesions.get(name, ())]
        key = hashlib.sha256(f"{CACHE_VERSION} {spacing_mm} {known}".encode()).hexdigest()[:12]
        path = cache / f"{name}-{key}.npz"
        if not path.exists():
            told(f"preparing {name}")
            scan = read_scan(data, name, lesions.get(name, ()))
            save_background(
                prepare_background(name, scan.volume, spacing_mm=spacing_mm, lesions=known), path
            )
        found.append(load_background(path))
    for seed in simulated:
        path = cache / f"simulated-{seed}-{spacing_mm:g}-{CACHE_VERSION}.npz"
        if not path.exists():
            told(f"simulating thorax {seed}")
            save_background(simulate_background(seed, spacing_mm=spacing_mm), path)
        found.append(load_background(path))
    return found
