"""A cube network's second look at a detector's peaks, for measuring what it changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.delineation import JUDGED_AT_MOST
from inference.evaluation.combination import rejudge
from inference.evaluation.detector import score_candidates
from inference.evaluation.froc import ScoredScan
from inference.evaluation.volumes import SimulatedVolume
from inference.findings import Candidate
from inference.segmenters import to_segmenter
from inference.training.backgrounds import Background
from inference.voi_segmentation import NetworkSegmenter
from inference.weights import Weights, load_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondLook:
    """A trained segmenter and the scans that it was trained without."""

    segmenter: NetworkSegmenter
    left_out: frozenset[str]
    used: frozenset[str]

    @classmethod
    def load(cls, folder: Path) -> SecondLook:
        """Read the weights of a folder.

        Raises
        ------
        inference.errors.WeightsRefused
            If they do not match their manifest.
        """
        weights = load_weights("segmenter", folder)
        return cls(
            segmenter=to_segmenter(weights, mirror=False),
            left_out=frozenset(weights.facts["left_out"]),
            used=frozenset(weights.facts["backgrounds"]),
        )

    def never_saw(self, background: Background) -> bool:
        """Whether the network was trained without a background."""
        return background.name not in self.used

    def threshold(self, detector: Weights, without: float) -> float:
        """From which combined probability a nodule is listed; `without` is the detector's own."""
        combination = self.segmenter.combination.for_detector({"detector": detector.sha256})
        return without if combination.report_from is None else combination.report_from

    def score(
        self, volume: SimulatedVolume, peaks: NDArray[np.float64], detector: Weights, name: str
    ) -> ScoredScan:
        """Score a detector's peaks on a simulated volume by both looks together."""
        combination = self.segmenter.combination.for_detector({"detector": detector.sha256})
        second = rejudge(volume, peaks, self.segmenter, at_most=JUDGED_AT_MOST)
        points = volume.background.volume.index_to_lps(peaks[:, :3])
        unseen = combination.combine(0.0, 0.0)
        candidates = []
        for rank, (peak, again) in enumerate(zip(peaks, second, strict=True)):
            first = float(peak[4])
            both = combination.combine(first, float(again))
            x, y, z = (float(value) for value in points[rank])
            candidates.append(
                Candidate(
                    centre_lps_mm=(x, y, z),
                    probability=both if rank < JUDGED_AT_MOST else min(first, unseen),
                    diameter_mm=float(peak[3]),
                )
            )
        return score_candidates(volume, candidates, name=name)
