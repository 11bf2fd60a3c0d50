"""The whole way from a volume to its findings, stage by stage."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

import numpy as np

from inference.detection import Detector
from inference.detectors import make_detector
from inference.findings import (
    Candidate,
    CaseFindings,
    ClinicalContext,
    LungSummary,
    Measurements,
    Nodule,
    NoduleType,
    Quality,
)
from inference.follow_up.compare import NEVER_VALIDATED, NO_PRIOR_LIMIT, compare
from inference.follow_up.exam import PriorExam
from inference.lobes import LobeMap, find_lobes
from inference.lungs import LungMask, segment_lungs
from inference.measurement import centre_of, measure_segmented
from inference.pet.uptake import PET_LIMIT, SuvVolume, with_uptake
from inference.ranking import nodule_probability
from inference.rules import fleischner, lung_rads
from inference.rules.brock import brock
from inference.rules.mayo import mayo
from inference.segmentation import Combination, Segmented, Segmenter, share_voxel
from inference.segmenters import make_segmenter
from inference.thresholds import REPORT_AT_LEAST_MM, REPORT_AT_MOST_MM, THICK_SLICE_MM
from inference.volume import Volume

ALGORITHM_NAME = "pulmonode"
"""Followed by the kind of detector, which decides the most."""
ALGORITHM_VERSION = "0.1.0"
REPORT_AT_MOST = 10
JUDGED_AT_MOST = 24
"""Candidates that a second look is taken at; a thirtieth of a second each, or so."""
LIMITS = (
    "nodules under 6 mm mean diameter are not reported",
    "the detection score ranks; it is not a calibrated probability",
    (
        "lobes are estimated, from fissures where these show and else from position; what is less "
        "than 70 % likely is not named"
    ),
)
NOT_GRADED_LIMIT = "no malignancy grade is given: no grader is chosen"


class Grading(Protocol):
    """Describes and grades nodules that were found."""

    @property
    def weights(self) -> Mapping[str, str]:
        """Name to sha256 of its weights."""
        ...

    @property
    def bank_version(self) -> str:
        """Of its typical cases."""
        ...

    @property
    def limits(self) -> tuple[str, ...]:
        """What its answers cannot tell, said in every report."""
        ...

    def grade(
        self, volume: Volume, nodules: Sequence[Nodule], context: ClinicalContext
    ) -> tuple[Nodule, ...]:
        """The same nodules in the same order, with attributes and grade."""
        ...


def analyse(
    volume: Volume,
    *,
    context: ClinicalContext | None = None,
    detector: Detector | None = None,
    segmenter: Segmenter | None = None,
    grading: Grading | None = None,
    prior: PriorExam | None = None,
    pet: SuvVolume | None = None,
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
        Other methods than the default ones.
    grading : Grading, optional
        Without it no nodule is graded.
    prior : PriorExam, optional
        An earlier chest CT of the same patient, to compare with.
    pet : SuvVolume, optional
        A PET in the same frame of reference, to measure nodules in.
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
    detector = detector or make_detector()
    segmenter = segmenter or make_segmenter()
    combination = segmenter.combination and segmenter.combination.for_detector(detector.weights)
    if combination is not None and not combination.asks_segmenter:
        combination = None
    report_from = report_threshold(detector, segmenter)
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
        found = detector.find_candidates(volume, lungs)
    with stage("nodules"):
        candidates, segmented = _delineate(volume, lungs, found, segmenter, detector, combination)
    with stage("measurements"):
        measured = [
            (candidate, item, *measure_segmented(volume, item))
            for candidate, item in segmented
            if candidate.probability >= report_from
        ]
        reportable = [
            row
            for row in measured
            if REPORT_AT_LEAST_MM <= row[3].mean_diameter_mm <= REPORT_AT_MOST_MM
        ]
        shown = reportable[:REPORT_AT_MOST]
        outlined = {
            row[0].centre_lps_mm for row in measured if row[3].mean_diameter_mm <= REPORT_AT_MOST_MM
        }
        unlisted = [
            item
            for item in candidates
            if item.probability >= report_from
            and item.diameter_mm >= REPORT_AT_LEAST_MM
            and item.centre_lps_mm not in outlined
        ]
    with stage("lobes"):
        lobes = find_lobes(volume, lungs) if shown else None
        sizes = [_sized(nodule_type, measured) for _, _, nodule_type, measured in shown]
        nodules = tuple(
            _to_nodule(volume, lungs, lobes, rank, sizes, *row, context)
            for rank, row in enumerate(shown, start=1)
        )
    if grading is not None:
        with stage("grading"):
            nodules = grading.grade(volume, nodules, context)
    follow_up = None
    if prior is not None:
        with stage("follow-up"):
            nodules, follow_up = compare(
                prior, nodules, volume=volume, lungs=lungs, segmenter=segmenter, context=context
            )
    if pet is not None:
        with stage("pet"):
            nodules = with_uptake(volume, nodules, pet)
    compared = follow_up is not None and follow_up.compared
    return CaseFindings(
        bank_version=grading.bank_version if grading else None,
        algorithm_name=f"{ALGORITHM_NAME}-{detector.kind}",
        algorithm_version=ALGORITHM_VERSION,
        device=detector.device,
        engine=detector.engine,
        weights={
            **detector.weights,
            **segmenter.weights,
            **(grading.weights if grading else {}),
        },
        timings_s=timings_s,
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
        quality=_quality(volume, lungs, len(reportable), unlisted),
        lungs=LungSummary(
            left_ml=lungs.left_ml,
            right_ml=lungs.right_ml,
            total_ml=lungs.total_ml,
            sides=lungs.sides,
            beyond=lungs.beyond,
        ),
        candidates=candidates,
        nodules=nodules,
        exam_lung_rads=lung_rads.assess_exam(
            [nodule.lung_rads for nodule in nodules],
            context,
            coverage=lungs.coverage,
            unseen=bool(lungs.warnings),
            baseline=not compared,
            new_count=sum(
                item.change is not None and item.change.status == "new" for item in nodules
            ),
        ),
        exam_fleischner=fleischner.assess_exam(sizes, context),
        limits=(
            *detector.limits,
            *LIMITS,
            NEVER_VALIDATED if compared else NO_PRIOR_LIMIT,
            *((PET_LIMIT,) if pet else ()),
            *(grading.limits if grading else (NOT_GRADED_LIMIT,)),
        ),
        follow_up=follow_up,
        pet=pet.used if pet else None,
    )


def report_threshold(detector: Detector, segmenter: Segmenter | None = None) -> float:
    """Probability from which a nodule is listed: of both looks together where that was fitted."""
    if segmenter is not None and segmenter.combination is not None:
        fitted = segmenter.combination.for_detector(detector.weights).report_from
        if fitted is not None:
            return fitted
    return detector.report_from


def _delineate(
    volume: Volume,
    lungs: LungMask,
    found: tuple[Candidate, ...],
    segmenter: Segmenter,
    detector: Detector,
    combination: Combination | None,
) -> tuple[tuple[Candidate, ...], list[tuple[Candidate, Segmented]]]:
    """Segment the candidates that may be listed, and keep one per place.

    Where the detector's scores need it, every candidate is segmented and ranked anew by what
    was found. A segmenter that judges looks at the best `JUDGED_AT_MOST` of the detector; its
    probability and theirs become one (`Combination`), and what it did not see comes after.

    Returns
    -------
    candidates : tuple of Candidate
        All of them with their final probability, best first.
    segmented : list of (Candidate, Segmented)
        Those with voxels that no better one has taken, best first.
    """
    rows: list[tuple[Candidate, Segmented | None]] = []
    unseen = 1.0 if combination is None else combination.combine(0.0, 0.0)
    for rank, candidate in enumerate(found):
        likely = candidate.probability >= detector.report_from
        if combination is not None and not detector.needs_ranking:
            likely = likely or rank < JUDGED_AT_MOST
        if detector.needs_ranking or likely:
            item = segmenter.segment(volume, lungs, candidate)
            scored = candidate
            if detector.needs_ranking:
                scored = _ranked_by_shape(volume, candidate, item)
            if combination is not None:
                scored = _judged(scored, item, combination)
            rows.append((scored, item))
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


def _sized(nodule_type: NoduleType, measured: Measurements) -> fleischner.SizedNodule:
    """What the Fleischner guideline asks of a measured nodule."""
    return fleischner.SizedNodule(
        nodule_type=nodule_type,
        mean_diameter_mm=measured.mean_diameter_mm,
        solid_mean_diameter_mm=measured.solid_mean_diameter_mm,
        volume_mm3=measured.volume_mm3,
    )


def _to_nodule(
    volume: Volume,
    lungs: LungMask,
    lobes: LobeMap | None,
    rank: int,
    sizes: Sequence[fleischner.SizedNodule],
    candidate: Candidate,
    item: Segmented,
    nodule_type: NoduleType,
    measured: Measurements,
    context: ClinicalContext,
) -> Nodule:
    centre = centre_of(volume, item.voi)
    place = np.array(centre)
    side = lungs.side_at(place)
    lobe = lobes.lobe_at(place, side) if lobes else None
    upper_lobe = lobes.upper_at(place, side) if lobes else None
    return Nodule(
        id=rank,
        centre_lps_mm=centre,
        voi=item.voi,
        detection_probability=candidate.probability,
        measurements=measured,
        type=nodule_type,
        laterality=side,
        lobe=lobe[0] if lobe else None,
        lobe_probability=lobe[1] if lobe else None,
        lung_rads=lung_rads.assess_nodule(measured, nodule_type, context),
        fleischner=fleischner.assess_nodule(
            sizes[rank - 1], context, others=[*sizes[: rank - 1], *sizes[rank:]]
        ),
        brock=brock(
            max_diameter_mm=measured.long_axis.length_mm,
            nodule_type=nodule_type,
            nodule_count=len(sizes),
            context=context,
            upper_lobe=upper_lobe,
            spiculation=None,
        ),
        mayo=mayo(
            diameter_mm=measured.long_axis.length_mm,
            nodule_type=nodule_type,
            context=context,
            upper_lobe=upper_lobe,
            spiculation=None,
        ),
    )


def _quality(
    volume: Volume, lungs: LungMask, reportable: int, unlisted: Sequence[Candidate]
) -> Quality:
    warnings = []
    spacing_mm = float(volume.spacing_mm[0])
    if spacing_mm > THICK_SLICE_MM:
        warnings.append(
            f"slice spacing {spacing_mm:g} mm, above {THICK_SLICE_MM:g} mm: nodules under "
            f"{2 * spacing_mm:.0f} mm may be missed"
        )
    warnings += lungs.warnings
    warnings += [
        "something like a nodule at LPS "
        + ", ".join(f"{value:.0f}" for value in item.centre_lps_mm)
        + f" mm (about {item.diameter_mm:.0f} mm) could not be outlined and is not listed"
        for item in unlisted[:REPORT_AT_MOST]
    ]
    if reportable > REPORT_AT_MOST:
        warnings.append(
            f"{reportable} findings above the threshold, only the {REPORT_AT_MOST} with the "
            "highest score are listed"
        )
    return Quality(
        slice_spacing_mm=spacing_mm,
        coverage=lungs.coverage,
        warnings=tuple(warnings),
        air_hu=lungs.air_hu,
        blood_hu=lungs.blood_hu,
    )
