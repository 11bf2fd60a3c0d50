"""How well outlines, sizes and types agree with truth, one nodule at a time and in groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.findings import NoduleType, VoiMask
from inference.lungs import LungMask
from inference.measurement import checked_type, classify_type, measure_nodule
from inference.segmentation import Segmented
from inference.volume import Volume

SIZES_MM = (0.0, 6.0, 8.0, 15.0, 30.0, np.inf)
SLICES_MM = (0.0, 1.3, 2.6, np.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineTruth:
    """A nodule whose voxels are known.

    Attributes
    ----------
    mask : ndarray of shape (D, H, W), dtype bool
        On the whole grid of the volume or cube.
    volume_mm3, diameter_mm : float
        True ones; the diameter is that of the ball of equal volume.
    long_axis_mm : float or None
        In the slice of the largest area, where it is known.
    kind : NoduleType or None
        Where it is known.
    slice_mm : float
        Slice spacing of the scan.
    """

    mask: NDArray[np.bool_]
    volume_mm3: float
    diameter_mm: float
    long_axis_mm: float | None
    kind: NoduleType | None
    slice_mm: float
    site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineScore:
    """One nodule against its truth; errors are found minus true, `None` where nothing was found."""

    diameter_mm: float
    slice_mm: float
    site: str
    kind: NoduleType | None
    dice: float
    volume_mm3: float
    found_volume_mm3: float | None
    long_axis_mm: float | None
    found_long_axis_mm: float | None
    found_kind: NoduleType | None


def score_outline(volume: Volume, item: Segmented | None, truth: OutlineTruth) -> OutlineScore:
    """Compare a segmented candidate with the truth, measured as a report would."""
    dice = 0.0
    mm3 = axis_mm = kind = None
    if item is not None:
        dice = dice_of(item.voi, truth.mask)
        kind = (
            classify_type(volume, item.voi)
            if item.type is None
            else checked_type(volume, item.voi, item.type, item.core)
        )
        measured = measure_nodule(volume, item.voi, kind, item.core)
        mm3, axis_mm = measured.volume_mm3, measured.long_axis.length_mm
    return OutlineScore(
        diameter_mm=truth.diameter_mm,
        slice_mm=truth.slice_mm,
        site=truth.site,
        kind=truth.kind,
        dice=dice,
        volume_mm3=truth.volume_mm3,
        found_volume_mm3=mm3,
        long_axis_mm=truth.long_axis_mm,
        found_long_axis_mm=axis_mm,
        found_kind=kind,
    )


def dice_of(voi: VoiMask, truth: NDArray[np.bool_]) -> float:
    """Dice of a mask in its box with one on the whole grid."""
    (k, j, i), (depth, height, width) = voi.origin_kji, voi.mask.shape
    both = (voi.mask & truth[k : k + depth, j : j + height, i : i + width]).sum()
    return float(2 * both / max(1, voi.mask.sum() + truth.sum()))


def all_searched(volume: Volume) -> LungMask:
    """A lung mask that keeps a segmenter from nothing, for cubes without lungs of their own."""
    return LungMask(
        lungs=np.ones(volume.shape, dtype=np.uint8),
        unaerated=np.zeros(volume.shape, dtype=np.uint8),
        search=np.ones(volume.shape, dtype=bool),
        affine=volume.affine,
        right_ml=None,
        left_ml=None,
        total_ml=0.0,
        unaerated_ml=0.0,
        coverage="partial",
    )


def summarise_outlines(scores: Sequence[OutlineScore]) -> dict[str, Any]:
    """Figures of all, and by size, type and slice spacing."""
    return {
        "all": _figures(scores),
        "size_mm": _grouped(scores, lambda s: _bin(s.diameter_mm, SIZES_MM)),
        "type": _grouped(scores, lambda s: s.kind or "unclear"),
        "slice_mm": _grouped(scores, lambda s: _bin(s.slice_mm, SLICES_MM)),
        "site": _grouped(scores, lambda s: s.site),
        "from_8_mm": _figures([s for s in scores if s.diameter_mm >= 8.0]),
        "nodules": [asdict(score) for score in scores],
    }


def area_under_curve(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    """Area under the ROC: how often a positive outranks a negative, ties one half."""
    if not len(positives) or not len(negatives):
        return float("nan")
    below = (positives[:, None] > negatives[None]).mean()
    equal = (positives[:, None] == negatives[None]).mean()
    return float(below + 0.5 * equal)


def _bin(value: float, edges: Sequence[float]) -> str:
    for low, high in pairwise(edges):
        if value < high:
            return f"{low:g} to {high:g}" if np.isfinite(high) else f"from {low:g}"
    raise ValueError(f"{value} is not a size")


def _grouped(
    scores: Iterable[OutlineScore], name: Callable[[OutlineScore], str]
) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[OutlineScore]] = {}
    for score in scores:
        groups.setdefault(name(score), []).append(score)
    return {key: _figures(groups[key]) for key in sorted(groups)}


def _figures(scores: Sequence[OutlineScore]) -> dict[str, Any]:
    """Medians; volume errors in per cent of the truth, diameters in mm."""
    found = [s for s in scores if s.found_volume_mm3 is not None]
    volume = np.array(
        [100 * ((s.found_volume_mm3 or 0) / s.volume_mm3 - 1) for s in found], dtype=float
    )
    axis = np.array(
        [
            s.found_long_axis_mm - s.long_axis_mm
            for s in found
            if s.found_long_axis_mm is not None and s.long_axis_mm is not None
        ],
        dtype=float,
    )
    typed = [s for s in scores if s.kind is not None]
    return {
        "count": len(scores),
        "outlined": len(found),
        "dice_median": _rounded(np.median([s.dice for s in scores]) if scores else None),
        "dice_mean": _rounded(np.mean([s.dice for s in scores]) if scores else None),
        "volume_error_percent_median": _rounded(np.median(np.abs(volume)) if len(volume) else None),
        "volume_bias_percent_median": _rounded(np.median(volume) if len(volume) else None),
        "long_axis_error_mm_median": _rounded(np.median(np.abs(axis)) if len(axis) else None),
        "long_axis_within_1_mm": _rounded(np.mean(np.abs(axis) <= 1.0) if len(axis) else None),
        "long_axis_bias_mm": _rounded(np.mean(axis) if len(axis) else None),
        "long_axis_limits_mm": [
            _rounded(np.mean(axis) + sign * 1.96 * np.std(axis)) for sign in (-1, 1)
        ]
        if len(axis) > 1
        else None,
        "type_right": _rounded(np.mean([s.found_kind == s.kind for s in typed]) if typed else None),
    }


def _rounded(value: float | np.floating[Any] | None) -> float | None:
    return None if value is None else round(float(value), 4)
