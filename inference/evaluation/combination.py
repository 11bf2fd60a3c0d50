"""Fits how a detector's and a cube network's probabilities become one."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference.evaluation.detector import IGNORED_AT_LEAST_MM
from inference.evaluation.froc import HIT_AT_LEAST_MM
from inference.evaluation.volumes import SimulatedVolume
from inference.findings import Candidate
from inference.segmentation import PROBABILITY_MARGIN, Combination
from inference.voi_segmentation import NetworkSegmenter
from inference.volume import Volume

PRIOR = np.array([0.0, 0.5, 0.5])
PRIOR_WEIGHT = 2.0
"""Pulls towards the mean of the logits, as so many candidates would."""
STEPS = 50


def rejudge(
    volume: SimulatedVolume,
    peaks: NDArray[np.float64],
    segmenter: NetworkSegmenter,
    *,
    at_most: int,
) -> NDArray[np.float64]:
    """The cube network's probabilities of a detector's peaks on a simulated volume.

    Parameters
    ----------
    peaks : ndarray of shape (N, 5)
        See `inference.centre_detection.find_peaks`; best first.
    at_most : int
        Peaks to look at; the others get 0.

    Returns
    -------
    ndarray of shape (N,)
    """
    pixels = np.clip(np.rint(volume.hu), -1024, 3071).astype(np.int16)
    grid = Volume(hu=pixels, affine=volume.background.volume.affine)
    found = np.zeros(len(peaks))
    for number, peak in enumerate(peaks[:at_most]):
        x, y, z = (float(value) for value in grid.index_to_lps(peak[:3]))
        candidate = Candidate(
            centre_lps_mm=(x, y, z), probability=float(peak[4]), diameter_mm=float(peak[3])
        )
        found[number] = segmenter.judge(grid, candidate)
    return found


def labels_of(volume: SimulatedVolume, peaks: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 for a peak on a nodule, 0 for none, NaN where it counts neither way; shape (N,)."""
    background = volume.background
    mm = float(background.volume.spacing_mm[0])
    labels = np.zeros(len(peaks))
    for lesion in background.lesions_kji:
        near = np.linalg.norm(peaks[:, :3] - lesion[:3], axis=1) <= lesion[3]
        labels[near] = np.nan
    for nodule in volume.nodules:
        distance = np.linalg.norm(peaks[:, :3] - nodule.centre_kji, axis=1) * mm
        if nodule.counts:
            labels[distance <= max(nodule.diameter_mm / 2, HIT_AT_LEAST_MM)] = 1
        else:
            labels[distance <= max(IGNORED_AT_LEAST_MM, 0.6 * nodule.diameter_mm)] = np.nan
    return labels


def fit_combination(detector: ArrayLike, segmenter: ArrayLike, labels: ArrayLike) -> Combination:
    """A logistic regression on both logits, pulled towards their mean; NaN labels are left out.

    Raises
    ------
    ValueError
        Without candidates of both kinds.
    """
    known = ~np.isnan(np.asarray(labels, dtype=np.float64))
    truth = np.asarray(labels, dtype=np.float64)[known]
    if not (truth == 1).any() or not (truth == 0).any():
        raise ValueError("fitting needs candidates on nodules and candidates on none")
    table = np.column_stack(
        [np.ones(known.sum()), _logits(detector)[known], _logits(segmenter)[known]]
    )
    weights = PRIOR.copy()
    for _ in range(STEPS):  # Newton
        probability = 1 / (1 + np.exp(-table @ weights))
        slope = table.T @ (probability - truth) + PRIOR_WEIGHT * (weights - PRIOR)
        bend = table.T @ (table * (probability * (1 - probability))[:, None])
        weights -= np.linalg.solve(bend + PRIOR_WEIGHT * np.eye(3), slope)
    bias, first, second = (float(value) for value in weights)
    return Combination(bias=bias, detector=first, segmenter=second)


def _logits(probabilities: ArrayLike) -> NDArray[np.float64]:
    inside = np.clip(np.asarray(probabilities), PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
    return np.asarray(np.log(inside / (1 - inside)))
