"""From a candidate to the nodule's voxels, on the volume's own grid.

`Segmenter` is the seam that a trained network fills. The classical method here takes what is
denser than halfway between nodule and lung, keeps the part around the candidate that is thick
enough not to be a vessel, and lets it grow back to its border, but not along what it hangs on.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from inference.findings import Candidate, NoduleType, VoiMask
from inference.lungs import LungMask
from inference.resample import crop, mask_onto
from inference.thresholds import LUNG_AT_MOST_HU
from inference.volume import Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmented:
    """A segmented candidate and what its surroundings say of it.

    Attributes
    ----------
    voi : VoiMask
        Its voxels.
    exposed : float
        Share of the surface that meets lung, 0 to 1: near 1 for a nodule that hangs free,
        low for a bulge of the mediastinum.
    roundness : float
        Radius of the largest ball inside over that of the ball of equal volume, 0 to 1.
    elongation : float
        Long over short principal extent, at least 1.
    compactness : float
        Diameter of the ball of equal volume over the largest diameter: 1 for a ball, below
        0.6 for vessels and their forks.
    probability : float or None
        That it is a nodule, 0 to 1, where the segmenter judges that.
    type : NoduleType or None
        Where the segmenter tells it.
    core : VoiMask or None
        The solid core, on the voxels of `voi`'s box, where the segmenter delineates it.
    """

    voi: VoiMask
    exposed: float
    roundness: float
    elongation: float
    compactness: float
    probability: float | None = None
    type: NoduleType | None = None
    core: VoiMask | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """One probability of a detector's and a segmenter's: a logistic function of their logits.

    Attributes
    ----------
    bias, detector, segmenter : float
        The logit is ``bias + detector * logit(p_detector) + segmenter * logit(p_segmenter)``.
        As they stand here, the detector decides alone.
    report_from : float or None
        Probability from which a nodule is listed, for the detector that this was fitted with;
        `None` leaves the detector's own.
    fitted_with : str or None
        sha256 of that detector's weights. Any other detector decides alone.
    """

    bias: float = 0.0
    detector: float = 1.0
    segmenter: float = 0.0
    report_from: float | None = None
    fitted_with: str | None = None

    def for_detector(self, weights: Mapping[str, str]) -> Combination:
        """Itself for the detector that it was fitted with, else one that leaves it alone."""
        return self if self.fitted_with in weights.values() else Combination()

    @property
    def asks_segmenter(self) -> bool:
        """Whether the segmenter has a say; where it has none, nobody needs to ask it."""
        return self.segmenter != 0.0

    def combine(self, detector: float, segmenter: float) -> float:
        """The combined probability of two, 0 to 1."""
        logit = self.bias + self.detector * _logit(detector) + self.segmenter * _logit(segmenter)
        return 1.0 / (1.0 + math.exp(-logit))


def _logit(probability: float) -> float:
    inside = min(max(probability, PROBABILITY_MARGIN), 1 - PROBABILITY_MARGIN)
    return math.log(inside / (1 - inside))


class Segmenter(Protocol):
    """Delineates a candidate."""

    @property
    def name(self) -> str:
        """For reports."""
        ...

    @property
    def kind(self) -> str:
        """One word: ``classical``, ``trained``."""
        ...

    @property
    def weights(self) -> Mapping[str, str]:
        """Name to sha256 of what was trained; empty for a classical method."""
        ...

    @property
    def combination(self) -> Combination | None:
        """How its probability and the detector's become one; `None` where it gives none."""
        ...

    def segment(self, volume: Volume, lungs: LungMask, candidate: Candidate) -> Segmented | None:
        """The candidate's voxels, or `None` where there is nothing to delineate."""
        ...


PROBABILITY_MARGIN = 1e-4
"""Probabilities nearer to 0 and 1 than this say no more."""
VOI_FACTOR = 1.1
VOI_MARGIN_MM = 9.0
SEARCH_GROWTH_MM = 3.0
"""The search region is coarse: so much is given back at its border."""
OPENING_FRACTION = 0.45
"""Of the largest inscribed ball's radius: what is thinner than that is a vessel or a tail."""
OPENING_AT_LEAST_MM = 1.2
GROWTH_SLACK_MM = 0.6
RIM_MM = (1.5, 3.5)
RIM_GROWTH_AT_LEAST = 2.5
"""A rim that does not make the nodule that much larger is blur or spicules."""
RIM_ROUNDNESS_LOSS = 0.1
RIM_HU = (-760.0, -420.0)
RIM_CONTRAST_HU = 120.0
THRESHOLD_RANGE_HU = (-680.0, -250.0)
SMOOTHING_MM = 0.6
EXPOSED_SLACK_HU = 150.0
"""Beside a nodule lung is blurred with it: so much denser it may be and still count as lung."""


class ThresholdSegmenter:
    """Adaptive threshold, opening by distances, and growth back to the border."""

    name = "threshold segmenter (classical)"
    kind = "classical"
    weights: Mapping[str, str] = MappingProxyType({})
    combination: Combination | None = None

    def segment(self, volume: Volume, lungs: LungMask, candidate: Candidate) -> Segmented | None:
        """Delineate a candidate.

        Parameters
        ----------
        volume : Volume
            The CT.
        lungs : LungMask
            Of the same volume; nothing outside its (slightly grown) search region is taken.
        candidate : Candidate
            Where to look and how large it seems.

        Returns
        -------
        Segmented or None
            `None` when nothing at the candidate is denser than its surroundings.
        """
        box, start, centre = _voi(volume, candidate)
        allowed = _grown(mask_onto(lungs.search, lungs.affine, box), box)
        sigma = SMOOTHING_MM / box.spacing_mm
        smooth = ndimage.gaussian_filter(box.hu.astype(np.float32), sigma)
        threshold = _threshold(box, smooth, centre, candidate.diameter_mm)
        if threshold is None:
            return None
        dense = (smooth > threshold) & allowed
        nodule = _core(dense, box, centre, candidate.diameter_mm)
        if nodule is None:
            return None
        lower = _rim_threshold(nodule, smooth, allowed, threshold, box)
        if lower is not None:
            wider = (smooth > lower) & allowed
            whole = _core(wider, box, centre, candidate.diameter_mm)
            if whole is not None and _is_rim(nodule, whole, box):
                nodule, dense, threshold = whole, wider, lower
        lung = (smooth <= threshold) & (smooth < LUNG_AT_MOST_HU + EXPOSED_SLACK_HU) & ~dense
        return describe_outline(nodule, lung, box, start)


def _voi(
    volume: Volume, candidate: Candidate
) -> tuple[Volume, NDArray[np.int_], NDArray[np.float64]]:
    """Box around a candidate, its first index, and the candidate's index in it."""
    index = volume.lps_to_index(candidate.centre_lps_mm)
    reach = (VOI_FACTOR * candidate.diameter_mm + VOI_MARGIN_MM) / volume.spacing_mm
    start = np.maximum(np.floor(index - reach), 0).astype(int)
    stop = np.minimum(np.ceil(index + reach) + 1, volume.shape).astype(int)
    return crop(volume, start, stop), start, index - start


def _grown(search: NDArray[np.bool_], box: Volume) -> NDArray[np.bool_]:
    if not search.any():
        return search
    away = ndimage.distance_transform_edt(~search, sampling=box.spacing_mm)
    return np.asarray(away <= SEARCH_GROWTH_MM)


def _distance_from(box: Volume, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each voxel from an index, mm."""
    axes = [
        (np.arange(size) - at) * spacing
        for size, at, spacing in zip(box.shape, centre, box.spacing_mm, strict=True)
    ]
    k, j, i = np.meshgrid(*axes, indexing="ij", sparse=True)
    return np.asarray(np.sqrt(k**2 + j**2 + i**2))


def _threshold(
    box: Volume, smooth: NDArray[np.float32], centre: NDArray[np.float64], diameter_mm: float
) -> float | None:
    """Halfway between the candidate's core and the lung around it, HU."""
    distance = _distance_from(box, centre)
    inner = smooth[distance <= max(1.5, diameter_mm / 4)]
    around = smooth[(distance > 0.6 * diameter_mm) & (smooth < LUNG_AT_MOST_HU)]
    if inner.size == 0 or around.size < 20:
        return None
    core, lung = float(np.median(inner)), float(np.median(around))
    core = min(core, 50.0)  # dense calcium must not push the border inwards
    if core - lung < 100.0:
        return None
    return float(np.clip((core + lung) / 2, *THRESHOLD_RANGE_HU))


def _rim_threshold(
    nodule: NDArray[np.bool_],
    smooth: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    threshold: float,
    box: Volume,
) -> float | None:
    """A lower threshold where ground glass surrounds the core (part-solid), HU, else `None`.

    The shell is looked at beyond the blur of the core's border.
    """
    away = ndimage.distance_transform_edt(~nodule, sampling=box.spacing_mm)
    shell = smooth[(away > RIM_MM[0]) & (away <= RIM_MM[1]) & allowed]
    if shell.size < 30:
        return None
    rim = float(np.median(shell))
    lung = smooth[(away > 3 * RIM_MM[1]) & allowed & (smooth < LUNG_AT_MOST_HU)]
    if not RIM_HU[0] <= rim <= RIM_HU[1] or lung.size < 20:
        return None
    background = float(np.median(lung))
    if rim - background < RIM_CONTRAST_HU:
        return None
    return min(threshold, (rim + background) / 2)


def _is_rim(core: NDArray[np.bool_], whole: NDArray[np.bool_], box: Volume) -> bool:
    """Tell a ground-glass rim from vessels and haze: much larger, and still as round."""
    return bool(
        whole.sum() >= RIM_GROWTH_AT_LEAST * core.sum()
        and _roundness(whole, box) >= _roundness(core, box) - RIM_ROUNDNESS_LOSS
    )


def _roundness(mask: NDArray[np.bool_], box: Volume) -> float:
    """Radius of the largest ball inside over that of the ball of equal volume."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=box.spacing_mm)
    equal_radius = (3 * mask.sum() * box.voxel_volume_mm3 / (4 * np.pi)) ** (1 / 3)
    return float(min(1.0, depth.max() / equal_radius))


def _core(
    dense: NDArray[np.bool_], box: Volume, centre: NDArray[np.float64], diameter_mm: float
) -> NDArray[np.bool_] | None:
    """The thick part of `dense` around the centre, grown back to the border.

    Distances to the border are in mm, so slices thicker than pixels weigh as they should.
    """
    depth = ndimage.distance_transform_edt(np.pad(dense, 1), sampling=box.spacing_mm)
    depth = depth[1:-1, 1:-1, 1:-1]
    near = _distance_from(box, centre) <= max(3.0, 0.4 * diameter_mm)
    if not (dense & near).any():
        return None
    radius = float(depth[near].max())
    limit = max(OPENING_AT_LEAST_MM, OPENING_FRACTION * radius)
    limit = min(limit, radius * 0.999)
    pieces, _ = ndimage.label(depth >= limit, structure=np.ones((3, 3, 3)))
    seed = np.unravel_index(int(np.where(near, depth, -1).argmax()), depth.shape)
    label = int(pieces[seed])
    if label == 0:
        return None
    away = ndimage.distance_transform_edt(pieces != label, sampling=box.spacing_mm)
    grown = dense & (away <= limit + GROWTH_SLACK_MM)
    parts, _ = ndimage.label(grown)
    if parts[seed] == 0:
        return None
    whole = parts == parts[seed]
    return np.asarray(np.stack([ndimage.binary_fill_holes(plane) for plane in whole]))


def describe_outline(
    nodule: NDArray[np.bool_], lung: NDArray[np.bool_], box: Volume, start: NDArray[np.int_]
) -> Segmented:
    """Shape and surroundings of a mask.

    Parameters
    ----------
    nodule : ndarray of shape (D, H, W)
        At least one voxel of a box.
    lung : ndarray of shape (D, H, W)
        What counts as free lung in it.
    box : Volume
        Whose grid both are on.
    start : ndarray of shape (3,)
        The box's first voxel in the whole volume.
    """
    shell = ndimage.binary_dilation(nodule, iterations=1) & ~nodule
    exposed = float(lung[shell].mean()) if shell.any() else 0.0
    equal_mm = float((6 * nodule.sum() * box.voxel_volume_mm3 / np.pi) ** (1 / 3))
    points = np.argwhere(nodule) * box.spacing_mm
    elongation = 1.0
    if len(points) > 3:
        # A voxel has an extent of its own: its variance keeps flat objects finite.
        covariance = np.cov(points.T) + np.diag(box.spacing_mm**2 / 12)
        extents = np.sqrt(np.linalg.eigvalsh(covariance))
        elongation = float(extents[2] / extents[0])
    lower = np.argwhere(nodule).min(axis=0)
    upper = np.argwhere(nodule).max(axis=0) + 1
    tight = nodule[lower[0] : upper[0], lower[1] : upper[1], lower[2] : upper[2]]
    k, j, i = (int(value) for value in start + lower)
    return Segmented(
        voi=VoiMask(origin_kji=(k, j, i), mask=tight.copy()),
        exposed=exposed,
        roundness=_roundness(nodule, box),
        elongation=elongation,
        compactness=min(1.0, equal_mm / _extent_mm(nodule, box)),
    )


def _extent_mm(nodule: NDArray[np.bool_], box: Volume) -> float:
    """About the largest diameter of a mask: between voxel centres, and one pixel."""
    border = nodule & ~ndimage.binary_erosion(np.pad(nodule, 1))[1:-1, 1:-1, 1:-1]
    points = np.argwhere(border) * box.spacing_mm
    pixel_mm = float(box.spacing_mm[1:].mean())
    if len(points) < 2:
        return pixel_mm
    with contextlib.suppress(QhullError):  # a flat mask has no hull: few points anyway
        points = points[ConvexHull(points).vertices]
    return float(pdist(points).max()) + pixel_mm


def share_voxel(first: VoiMask, second: VoiMask) -> bool:
    """Tell whether two masks share a voxel."""
    a, b = np.array(first.origin_kji), np.array(second.origin_kji)
    low = np.maximum(a, b)
    high = np.minimum(a + first.mask.shape, b + second.mask.shape)
    if (high <= low).any():
        return False
    parts = [
        voi.mask[tuple(slice(*pair) for pair in zip(low - origin, high - origin, strict=True))]
        for voi, origin in ((first, a), (second, b))
    ]
    return bool((parts[0] & parts[1]).any())
