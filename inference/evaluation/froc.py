"""Free-response ROC: sensitivity against false positives per scan, with its uncertainty.

As in LUNA16 (Setio et al., Med Image Anal 2017;42:1): a candidate within the nodule's radius is
a hit (here at least `HIT_AT_LEAST_MM`, the width of a heatmap cell); further candidates on the
same nodule count neither way; CPM is the mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false
positives per scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HIT_AT_LEAST_MM = 5.0
OPERATING_POINTS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """A nodule that should be found; centre in mm in the frame of the candidates."""

    centre_mm: tuple[float, float, float]
    diameter_mm: float
    kind: str = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredScan:
    """Candidates of one scan against its truth.

    Attributes
    ----------
    truths : tuple of Truth
        What should be found.
    hits : ndarray of shape (len(truths),)
        Probability of each truth's best candidate, 0 where there is none.
    false_positives : ndarray of shape (F,)
        Probabilities of all that hit nothing.
    """

    name: str
    truths: tuple[Truth, ...]
    hits: NDArray[np.float64]
    false_positives: NDArray[np.float64]


def score_scan(
    name: str,
    centres_mm: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    truths: Sequence[Truth],
    *,
    ignored: Sequence[tuple[NDArray[np.float64], float]] = (),
    hit_at_least_mm: float = HIT_AT_LEAST_MM,
) -> ScoredScan:
    """Match candidates with truth.

    Parameters
    ----------
    name : str
        Of the scan.
    centres_mm : ndarray of shape (N, 3)
        Candidates.
    probabilities : ndarray of shape (N,)
        Theirs.
    truths : sequence of Truth
        What should be found.
    ignored : sequence of (centre in mm, radius in mm)
        Regions whose candidates count neither way.
    hit_at_least_mm : float
        A candidate so near is a hit however small the nodule is; 0 is LUNA16's own rule.
    """
    taken = np.zeros(len(centres_mm), dtype=bool)
    hits = np.zeros(len(truths))
    for index, truth in enumerate(truths):
        distance = np.linalg.norm(centres_mm - truth.centre_mm, axis=1)
        near = distance <= max(truth.diameter_mm / 2, hit_at_least_mm)
        taken |= near
        if near.any():
            hits[index] = probabilities[near].max()
    for centre, radius_mm in ignored:
        taken |= np.linalg.norm(centres_mm - centre, axis=1) <= radius_mm
    return ScoredScan(
        name=name, truths=tuple(truths), hits=hits, false_positives=probabilities[~taken]
    )


def threshold_at(scans: Sequence[ScoredScan], false_positives_per_scan: float) -> float:
    """The lowest threshold with at most so many false positives per scan on average.

    Candidates count from the threshold on (``>=``); where fewer exist at all, 0.
    """
    wrong = np.sort(np.concatenate([scan.false_positives for scan in scans]))[::-1]
    allowed = int(np.floor(false_positives_per_scan * len(scans) + 1e-9))
    if len(wrong) <= allowed:
        return 0.0
    return float(np.nextafter(wrong[allowed], np.inf))


def sensitivity_at(scans: Sequence[ScoredScan], threshold: float) -> float:
    """Share of nodules with a candidate of at least a threshold; NaN without nodules."""
    hits = np.concatenate([scan.hits for scan in scans])
    return float(np.mean((hits >= threshold) & (hits > 0))) if len(hits) else float("nan")


def froc(scans: Sequence[ScoredScan]) -> dict[float, float]:
    """Sensitivity at each of `OPERATING_POINTS`."""
    return {point: sensitivity_at(scans, threshold_at(scans, point)) for point in OPERATING_POINTS}


def cpm(scans: Sequence[ScoredScan]) -> float:
    """Mean sensitivity over `OPERATING_POINTS`."""
    return float(np.mean(list(froc(scans).values())))


def bootstrap(
    scans: Sequence[ScoredScan],
    *,
    seed: int = 0,
    rounds: int = 500,
    patients: Sequence[str] | None = None,
) -> dict[str, tuple[float, float]]:
    """95 % intervals of sensitivities and CPM, resampling whole scans.

    Parameters
    ----------
    scans : sequence of ScoredScan
        What was measured.
    seed, rounds : int
        Of the resampling.
    patients : sequence of str, optional
        Whose each scan is: then patients are resampled, with all their scans.

    Returns
    -------
    dict
        ``"cpm"`` and each operating point as text: (2.5 %, 97.5 %).
    """
    random = np.random.default_rng(seed)
    units: dict[str, list[ScoredScan]] = {}
    for number, scan in enumerate(scans):
        units.setdefault(str(number) if patients is None else patients[number], []).append(scan)
    groups = list(units.values())
    rows = []
    for _ in range(rounds):
        picks = random.integers(len(groups), size=len(groups))
        drawn = [scan for index in picks for scan in groups[int(index)]]
        if any(len(scan.hits) for scan in drawn):
            curve = list(froc(drawn).values())
            rows.append([*curve, float(np.mean(curve))])
    low, high = np.percentile(np.array(rows), [2.5, 97.5], axis=0)
    names = [*(str(point) for point in OPERATING_POINTS), "cpm"]
    return {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}


def sensitivity_by(
    scans: Sequence[ScoredScan], threshold: float
) -> dict[str, dict[str, tuple[int, int]]]:
    """(Found, all) by size and by type at a threshold."""
    rows: dict[str, dict[str, tuple[int, int]]] = {"size_mm": {}, "type": {}}
    for scan in scans:
        for truth, hit in zip(scan.truths, scan.hits, strict=True):
            for group, name in (("size_mm", size_name(truth.diameter_mm)), ("type", truth.kind)):
                found, count = rows[group].get(name, (0, 0))
                rows[group][name] = (found + int(hit >= threshold and hit > 0), count + 1)
    return {group: dict(sorted(names.items())) for group, names in rows.items()}


def size_name(diameter_mm: float) -> str:
    """The size group of a diameter."""
    for low, high in ((0, 6), (6, 8), (8, 15), (15, 30)):
        if diameter_mm < high:
            return f"{low:02d}-{high:02d}"
    return "30-"
