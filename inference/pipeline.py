"""The whole way from a volume to its findings, stage by stage."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from inference.detection import BlobDetector, Detector
from inference.findings import (
    Candidate,
    CaseFindings,
    ClinicalContext,
    LungSummary,
    Measurements,
    Nodule,
    NoduleType,
    PointLps,
    Quality,
    VoiMask,
)
from inference.guidelines import assess_exam, assess_nodule, brock
from inference.lungs import LungMask, segment_lungs
from inference.measurement import classify_type, measure_nodule
from inference.ranking import nodule_probability
from inference.segmentation import Segmented, Segmenter, ThresholdSegmenter
from inference.thresholds import REPORT_AT_LEAST_MM, REPORT_AT_MOST_MM, THICK_SLICE_MM
from inference.volume import Volume

ALGORITHM_NAME = "pulmonode-classical"
ALGORITHM_VERSION = "0.1.0"
REPORT_AT_MOST = 10
CLASSICAL_LIMITS = (
    (
        "classical detector, not trained and not validated: nodules are missed, ground-glass "
        "ones most of all, and vessels are taken for nodules"
    ),
    "nodules under 6 mm mean diameter are not reported",
    (
        "masses over about 40 mm, and lesions that merge with the mediastinum or the chest wall, "
        "are missed"
    ),
    "the detection score ranks; it is not a calibrated probability",
    "no malignancy grade is given by this version",
    "lobe, spiculation and growth are not judged by this version",
)


def analyse(
    volume: Volume,
    *,
    context: ClinicalContext | None = None,
    detector: Detector | None = None,
    segmenter: Segmenter | None = None,
    progress: Callable[[str], None] | None = None,
) -> CaseFindings:
    """Find, delineate, measure and judge the nodules of a chest CT.

    Parameters
    ----------
    volume : Volume
        A whole axial series.
    context : ClinicalContext, optional
        What is known of the patient.
    detector, segmenter : optional
        Other methods than the packaged ones.
    progress : callable, optional
        Told the name of each stage as it begins.

    Returns
    -------
    CaseFindings
        Nodules ranked by probability; equal input gives equal findings.

    Raises
    ------
    NotAnalysable
        If there are no lungs in the volume.
    """
    context = context or ClinicalContext()
    detector = detector or BlobDetector()
    segmenter = segmenter or ThresholdSegmenter()
    timings_s: dict[str, float] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        if progress is not None:
            progress(name)
        started = time.perf_counter()
        yield
        timings_s[name] = round(time.perf_counter() - started, 3)

    with stage("lungs"):
        lungs = segment_lungs(volume)
    with stage("candidates"):
        blobs = detector.find_candidates(volume, lungs)
    with stage("nodules"):
        candidates, segmented = _delineate(
            volume, lungs, blobs, segmenter, needs_ranking=detector.needs_ranking
        )
    with stage("measurements"):
        measured = [(candidate, item, *_measure(volume, item.voi)) for candidate, item in segmented]
        reportable = [
            row
            for row in measured
            if row[0].probability >= detector.report_from
            and REPORT_AT_LEAST_MM <= row[3].mean_diameter_mm <= REPORT_AT_MOST_MM
        ]
        shown = reportable[:REPORT_AT_MOST]
        nodules = tuple(
            _to_nodule(volume, lungs, rank, len(shown), *row, context)
            for rank, row in enumerate(shown, start=1)
        )
    return CaseFindings(
        algorithm_name=ALGORITHM_NAME,
        algorithm_version=ALGORITHM_VERSION,
        weights=dict(detector.weights),
        timings_s=timings_s,
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
        quality=_quality(volume, lungs, len(reportable)),
        lungs=LungSummary(left_ml=lungs.left_ml, right_ml=lungs.right_ml, total_ml=lungs.total_ml),
        candidates=candidates,
        nodules=nodules,
        exam_lung_rads=assess_exam(
            [nodule.lung_rads for nodule in nodules], context, coverage=lungs.coverage
        ),
        limits=CLASSICAL_LIMITS,
    )


def _delineate(
    volume: Volume,
    lungs: LungMask,
    blobs: tuple[Candidate, ...],
    segmenter: Segmenter,
    *,
    needs_ranking: bool,
) -> tuple[tuple[Candidate, ...], list[tuple[Candidate, Segmented]]]:
    """Segment every blob, rank anew by what was found if so wanted, and keep one per place.

    Returns
    -------
    candidates : tuple of Candidate
        All of them with their new probability, best first.
    segmented : list of (Candidate, Segmented)
        Those with voxels that no better one has taken, best first.
    """
    rows: list[tuple[Candidate, Segmented | None]] = []
    for blob in blobs:
        item = segmenter.segment(volume, lungs, blob)
        if item is None:
            rows.append((_as_candidate(blob, 0.0) if needs_ranking else blob, None))
            continue
        mm3 = float(item.voi.mask.sum()) * volume.voxel_volume_mm3
        diameter_mm = float((6 * mm3 / np.pi) ** (1 / 3))
        probability = blob.probability
        if needs_ranking:
            probability = nodule_probability(
                blob,
                item,
                equivalent_diameter_mm=diameter_mm,
                slice_spacing_mm=float(volume.spacing_mm[0]),
            )
        centre = _centre(volume, item.voi)
        rows.append(
            (
                Candidate(centre_lps_mm=centre, probability=probability, diameter_mm=diameter_mm),
                item,
            )
        )
    rows.sort(key=lambda row: (-row[0].probability, row[0].centre_lps_mm))
    kept: list[tuple[Candidate, Segmented]] = []
    candidates: list[Candidate] = []
    for candidate, item in rows:
        if item is not None and any(_overlap(item.voi, other.voi) for _, other in kept):
            continue
        candidates.append(candidate)
        if item is not None:
            kept.append((candidate, item))
    return tuple(candidates), kept


def _as_candidate(blob: Candidate, probability: float) -> Candidate:
    return Candidate(
        centre_lps_mm=blob.centre_lps_mm, probability=probability, diameter_mm=blob.diameter_mm
    )


def _centre(volume: Volume, voi: VoiMask) -> PointLps:
    """Centroid of a mask, LPS mm."""
    index = np.argwhere(voi.mask).mean(axis=0) + voi.origin_kji
    x, y, z = volume.index_to_lps(index)
    return float(x), float(y), float(z)


def _overlap(first: VoiMask, second: VoiMask) -> bool:
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


def _measure(volume: Volume, voi: VoiMask) -> tuple[NoduleType, Measurements]:
    nodule_type = classify_type(volume, voi)
    return nodule_type, measure_nodule(volume, voi, nodule_type)


def _to_nodule(
    volume: Volume,
    lungs: LungMask,
    rank: int,
    count: int,
    candidate: Candidate,
    item: Segmented,
    nodule_type: NoduleType,
    measured: Measurements,
    context: ClinicalContext,
) -> Nodule:
    centre = _centre(volume, item.voi)
    return Nodule(
        id=rank,
        centre_lps_mm=centre,
        voi=item.voi,
        detection_probability=candidate.probability,
        measurements=measured,
        type=nodule_type,
        laterality=lungs.side_at(np.array(centre)),
        lobe=None,
        lobe_probability=None,
        lung_rads=assess_nodule(measured, nodule_type, context),
        brock=brock(
            max_diameter_mm=measured.long_axis.length_mm,
            nodule_type=nodule_type,
            nodule_count=count,
            context=context,
            upper_lobe=None,
            spiculation=None,
        ),
    )


def _quality(volume: Volume, lungs: LungMask, reportable: int) -> Quality:
    warnings = []
    spacing_mm = float(volume.spacing_mm[0])
    if spacing_mm > THICK_SLICE_MM:
        warnings.append(
            f"slice spacing {spacing_mm:g} mm, above {THICK_SLICE_MM:g} mm: nodules under "
            f"{2 * spacing_mm:.0f} mm may be missed"
        )
    if lungs.coverage == "partial":
        warnings.append(
            "partial coverage: the lungs reach beyond the first or last slice; what lies there "
            "was not seen"
        )
    if lungs.right_ml is None:
        warnings.append("right and left lung could not be told apart")
    if reportable > REPORT_AT_MOST:
        warnings.append(
            f"{reportable} findings above the threshold, only the {REPORT_AT_MOST} with the "
            "highest score are listed"
        )
    return Quality(slice_spacing_mm=spacing_mm, coverage=lungs.coverage, warnings=tuple(warnings))
