"""From candidates to outlines: who is looked at a second time, and one nodule per place.

Where the detector's scores need it, every candidate is segmented and ranked anew by what was
found. A segmenter that judges looks at the best `JUDGED_AT_MOST` of the detector; its probability
and theirs become one (`Combination`), and what it did not see comes after.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from inference.detection import Detector
from inference.findings import Candidate
from inference.lungs import LungMask
from inference.measurement import centre_of
from inference.ranking import nodule_probability
from inference.segmentation import Combination, Segmented, Segmenter, share_voxel
from inference.volume import Volume

JUDGED_AT_MOST = 24
"""Candidates that a second look is taken at; a thirtieth of a second each, or so."""


def delineate(
    volume: Volume,
    lungs: LungMask,
    found: tuple[Candidate, ...],
    segmenter: Segmenter,
    detector: Detector,
) -> tuple[tuple[Candidate, ...], list[tuple[Candidate, Segmented]]]:
    """Segment the candidates that may be listed, and keep one per place.

    Returns
    -------
    candidates : tuple of Candidate
        All of them with their final probability, best first.
    segmented : list of (Candidate, Segmented)
        Those with voxels that no better one has taken, best first.
    """
    combination = combination_of(segmenter, detector)
    rows: list[tuple[Candidate, Segmented | None]] = []
    unseen = 1.0 if combination is None else combination.combine(0.0, 0.0)
    for rank, candidate in enumerate(found):
        likely = candidate.probability >= detector.report_from
        if combination is not None and not detector.needs_ranking:
            likely = likely or rank < JUDGED_AT_MOST
        if detector.needs_ranking or likely:
            rows.append(look_again(volume, lungs, candidate, segmenter, detector))
        else:
            rows.append((replace(candidate, probability=candidate.probability * unseen), None))
    rows.sort(key=lambda row: (-row[0].probability, row[0].centre_lps_mm))
    kept: list[tuple[Candidate, Segmented]] = []
    candidates: list[Candidate] = []
    for candidate, item in rows:
        if item is not None and any(share_voxel(item.voi, other.voi) for _, other in kept):
            continue
        candidates.append(candidate)
        if item is not None:
            kept.append((candidate, item))
    return tuple(candidates), kept


def combination_of(segmenter: Segmenter, detector: Detector) -> Combination | None:
    """How both probabilities become one; `None` where the segmenter has no say."""
    combination = segmenter.combination and segmenter.combination.for_detector(detector.weights)
    return combination if combination is not None and combination.asks_segmenter else None


def look_again(
    volume: Volume,
    lungs: LungMask,
    candidate: Candidate,
    segmenter: Segmenter,
    detector: Detector,
) -> tuple[Candidate, Segmented | None]:
    """A candidate's outline, and the candidate with the probability of both looks."""
    item = segmenter.segment(volume, lungs, candidate)
    scored = candidate
    if detector.needs_ranking:
        scored = _ranked_by_shape(volume, candidate, item)
    combination = combination_of(segmenter, detector)
    if combination is not None:
        scored = _judged(scored, item, combination)
    return scored, item


def _ranked_by_shape(volume: Volume, candidate: Candidate, item: Segmented | None) -> Candidate:
    """The candidate with place, size and probability of its delineation; 0 without one."""
    if item is None:
        return replace(candidate, probability=0.0)
    mm3 = float(item.voi.mask.sum()) * volume.voxel_volume_mm3
    diameter_mm = float((6 * mm3 / np.pi) ** (1 / 3))
    probability = nodule_probability(
        candidate,
        item,
        equivalent_diameter_mm=diameter_mm,
        slice_spacing_mm=float(volume.spacing_mm[0]),
    )
    return Candidate(
        centre_lps_mm=centre_of(volume, item.voi), probability=probability, diameter_mm=diameter_mm
    )


def _judged(candidate: Candidate, item: Segmented | None, combination: Combination) -> Candidate:
    """The candidate with the probability of both looks; without an outline the second says no."""
    second = item.probability if item is not None and item.probability is not None else 0.0
    return replace(candidate, probability=combination.combine(candidate.probability, second))
