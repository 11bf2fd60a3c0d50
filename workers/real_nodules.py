"""Nodules of real CT, outlined, with what is known of them: to be looked at, never to train on."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.attributes import ATTRIBUTES
from inference.evaluation.outlines import all_searched
from inference.findings import Candidate, VoiMask
from inference.segmenters import make_segmenter
from inference.training.rated_nodules import COLUMNS
from inference.volume import Volume
from workers.nifti import read_labels
from workers.segmenter_evaluation import CONSENSUS
from workers.training_data import read_lesions, read_scan

CHUNK_NEAR_VOXELS = 6.0
CHUNK_SPACING_MM = (1.25, 0.7, 0.7)
"""Taken for chunks of series that the tables do not name."""
CHUNK_DIAMETER_MM = 8.0
"""Told the segmenter, which corrects it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealNodule:
    """One place in a real CT.

    Attributes
    ----------
    voi : VoiMask or None
        By readers, or by the shipped segmenter; `None` where it outlines nothing.
    known : mapping
        What others say: ``source``, and where readers rated it ``readers``, ``diameter_mm``,
        ``rating`` (1 to 5) and ``attributes``.
    """

    name: str
    volume: Volume
    voi: VoiMask | None
    known: Mapping[str, Any]


def nodules_of_scans(data: Path, names: Sequence[str]) -> Iterator[RealNodule]:
    """Those of series with readers' outlines."""
    for name in names:
        outline = data / "ct" / name / CONSENSUS
        if not outline.exists():
            continue
        labels = read_labels(outline)
        volume = read_scan(data, name, ()).volume
        for label in range(1, int(labels.max()) + 1):
            at = np.argwhere(labels == label)
            low, high = at.min(axis=0), at.max(axis=0) + 1
            k, j, i = (int(value) for value in low)
            window = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
            yield RealNodule(
                name=f"{name}, nodule {label}",
                volume=volume,
                voi=VoiMask(origin_kji=(k, j, i), mask=labels[window] == label),
                known={"source": "outline of the readers"},
            )


def nodules_of_lesions(data: Path, names: Sequence[str]) -> Iterator[RealNodule]:
    """Known lesions of series (``known_lesions.yaml``) as the shipped segmenter outlines them."""
    segmenter = make_segmenter("trained")
    for name in names:
        lesions = [lesion for lesion in read_lesions()[name] if lesion.evaluate]
        volume = read_scan(data, name, ()).volume
        for lesion in lesions:
            candidate = Candidate(
                centre_lps_mm=lesion.centre_lps_mm, probability=1.0, diameter_mm=lesion.diameter_mm
            )
            outlined = segmenter.segment(volume, all_searched(volume), candidate)
            yield RealNodule(
                name=name,
                volume=volume,
                voi=None if outlined is None else outlined.voi,
                known={"source": lesion.source, "diameter_mm": lesion.diameter_mm},
            )


def nodules_of_chunks(folder: Path, tables: Path) -> Iterator[RealNodule]:
    """LUNA16 chunks: outlined by our segmenter, beside what the tables know of them."""
    with gzip.open(tables / "lidc_nodules.csv.gz", "rt", newline="") as stream:
        known = list(csv.DictReader(stream))
    with (folder / "present_candidates.csv").open(newline="") as stream:
        classes = {row["file_path"]: row["class"] for row in csv.DictReader(stream)}
    segmenter = make_segmenter("trained")
    for file in sorted(folder.glob("*.npz")):
        series, *index = file.stem.split("_")
        spacing, rated = _known_of(known, series, np.array(index, dtype=np.float64))
        with np.load(file) as table:
            hu = np.rint(table["ct_chunk"]).astype(np.int16)
        volume = Volume(hu=hu, affine=np.diag([*spacing, 1.0]))
        x, y, z = (float(v) for v in volume.index_to_lps((np.array(hu.shape) - 1) / 2))
        candidate = Candidate(
            centre_lps_mm=(x, y, z), probability=1.0, diameter_mm=CHUNK_DIAMETER_MM
        )
        outlined = segmenter.segment(volume, all_searched(volume), candidate)
        yield RealNodule(
            name=rated.pop("nodule") if rated else file.stem,
            volume=volume,
            voi=None if outlined is None else outlined.voi,
            known={"source": f"LUNA16 class {classes.get(file.name)}", **rated},
        )


def _known_of(
    known: Sequence[Mapping[str, str]], series: str, index: NDArray[np.float64]
) -> tuple[tuple[float, ...], dict[str, Any]]:
    """Voxel size of a series, and what readers rated at an index of it; empty if nothing."""
    spacing, rated = CHUNK_SPACING_MM, {}
    for row in known:
        if row["series_instance_uid"] != series:
            continue
        pixel = float(row["pixel_spacing"])
        spacing = (float(row["slice_spacing"]), pixel, pixel)
        place = np.array([float(row[name]) for name in ("k_index", "row_px", "col_px")])
        if np.linalg.norm(place - index) <= CHUNK_NEAR_VOXELS:
            rated = {
                "nodule": row["nodule_id"],
                "readers": int(row["n_readers"]),
                "diameter_mm": round(float(row["eff_diameter_mm"]), 1),
                "rating": round(float(row["malignancy_mean"]), 2),
                "attributes": {
                    name: round(float(row[f"{COLUMNS.get(name, name)}_mean"]), 2)
                    for name in ATTRIBUTES
                },
            }
    return spacing, rated
