"""How well a detector does: on simulated volumes of unseen shapes, and on real CT.

Every model is run on real scans only if its own manifest says that it was trained without them.
The threshold comes from simulated volumes of the ``tune`` patients; ``test`` patients and real
lesions never touch it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.froc import (
    OPERATING_POINTS,
    ScoredScan,
    Truth,
    bootstrap,
    cpm,
    froc,
    score_scan,
    sensitivity_by,
    threshold_at,
)
from inference.evaluation.volumes import SimulatedVolume
from inference.findings import Candidate
from inference.training.annotated import kept_out

IGNORED_AT_LEAST_MM = 6.0


def score_peaks(volume: SimulatedVolume, peaks: NDArray[np.float64], *, name: str) -> ScoredScan:
    """Score a network's peaks (`find_peaks`) on a simulated volume."""
    return _score(volume, peaks[:, :3], peaks[:, 4], name)


def score_candidates(
    volume: SimulatedVolume, candidates: Sequence[Candidate], *, name: str
) -> ScoredScan:
    """Score any detector's candidates (LPS mm) on a simulated volume."""
    points = np.array([item.centre_lps_mm for item in candidates]).reshape(-1, 3)
    index = volume.background.volume.lps_to_index(points)
    return _score(volume, index, np.array([item.probability for item in candidates]), name)


def _score(
    volume: SimulatedVolume,
    index_kji: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    name: str,
) -> ScoredScan:
    background = volume.background
    mm = float(background.volume.spacing_mm[0])
    truths = [
        Truth(
            centre_mm=(item.centre_kji[0] * mm, item.centre_kji[1] * mm, item.centre_kji[2] * mm),
            diameter_mm=item.diameter_mm,
            kind=item.kind,
        )
        for item in volume.nodules
        if item.counts
    ]
    ignored = [
        (np.array(item.centre_kji) * mm, max(IGNORED_AT_LEAST_MM, 0.6 * item.diameter_mm))
        for item in volume.nodules
        if not item.counts
    ]
    ignored += [(lesion[:3] * mm, float(lesion[3]) * mm) for lesion in kept_out(background, mm)]
    return score_scan(name, index_kji * mm, probabilities, truths, ignored=ignored)


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionResult:
    """What became of one known lesion of a real scan.

    `rank` and `probability` are of the best candidate on it, `None` and 0 where there is none.
    """

    diameter_mm: float
    rank: int | None
    probability: float
    distance_mm: float | None
    found: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RealResult:
    """One detector on one real scan at one threshold."""

    scan: str
    lesions: tuple[LesionResult, ...]
    false_positives: tuple[Candidate, ...]


def judge_real(
    scan: str,
    candidates: Sequence[Candidate],
    truths: Sequence[Truth],
    *,
    threshold: float,
    ignored: Sequence[tuple[tuple[float, float, float], float]],
) -> RealResult:
    """Compare candidates, best first, with the known lesions of a real scan (LPS mm)."""
    centres = np.array([item.centre_lps_mm for item in candidates]).reshape(-1, 3)
    probabilities = np.array([item.probability for item in candidates])
    aside = [(np.array(centre), radius) for centre, radius in ignored]
    scored = score_scan(scan, centres, probabilities, truths, ignored=aside)
    lesions = []
    for truth, probability in zip(truths, scored.hits, strict=True):
        distance = np.linalg.norm(centres - truth.centre_mm, axis=1)
        near = np.flatnonzero(distance <= max(truth.diameter_mm / 2, 5.0))
        best = int(near[0]) if len(near) else None
        lesions.append(
            LesionResult(
                diameter_mm=truth.diameter_mm,
                rank=None if best is None else best + 1,
                probability=float(probability),
                distance_mm=None if best is None else float(distance[best]),
                found=bool(best is not None and probability >= threshold),
            )
        )
    free = np.ones(len(candidates), dtype=bool)
    for truth in truths:
        distance = np.linalg.norm(centres - truth.centre_mm, axis=1)
        free &= distance > max(truth.diameter_mm / 2, 5.0)
    for centre, radius in aside:
        free &= np.linalg.norm(centres - centre, axis=1) > radius
    wrong = tuple(
        item
        for item, outside in zip(candidates, free, strict=True)
        if outside and item.probability >= threshold
    )
    return RealResult(scan=scan, lesions=tuple(lesions), false_positives=wrong)


def summarise(
    scans: Sequence[ScoredScan],
    threshold: float,
    *,
    seed: int = 0,
    patients: Sequence[str] | None = None,
) -> dict[str, Any]:
    """FROC, CPM with intervals, sensitivity by size and type, as JSON.

    With `patients`, whose each scan is, the intervals resample patients.
    """
    intervals = bootstrap(scans, seed=seed, patients=patients)
    wrong = sum(int((scan.false_positives >= threshold).sum()) for scan in scans)
    groups = sensitivity_by(scans, threshold)
    return {
        "volumes": len(scans),
        "nodules": int(sum(len(scan.hits) for scan in scans)),
        "froc": {str(point): value for point, value in froc(scans).items()},
        "thresholds": {str(point): threshold_at(scans, point) for point in OPERATING_POINTS},
        "cpm": cpm(scans),
        "intervals_95": {name: list(pair) for name, pair in intervals.items()},
        "at_threshold": {
            "false_positives_per_scan": wrong / len(scans),
            **{
                group: {name: {"found": a, "all": b} for name, (a, b) in rows.items()}
                for group, rows in groups.items()
            },
        },
    }
