"""The whole way from a volume to its findings, stage by stage."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from inference.assessment import assess_nodules, sizes_of
from inference.delineation import delineate
from inference.detection import Detector
from inference.detectors import make_detector
from inference.findings import (
    Candidate,
    CaseFindings,
    ClinicalContext,
    LungSummary,
    Nodule,
    Quality,
)
from inference.follow_up.compare import NEVER_VALIDATED, NO_PRIOR_LIMIT, compare
from inference.follow_up.exam import PriorExam
from inference.known import PET, KnownContext
from inference.lobes import find_lobes
from inference.lungs import LungMask, segment_lungs
from inference.measurement import measure_segmented
from inference.pet.beside import CARRIED_LIMIT, PET_GRADED_LIMIT, PET_LIMIT, measure_beside
from inference.pet.uptake import SuvVolume
from inference.pet_values import PetUsed
from inference.report_text.exam import ReportedExam
from inference.report_values import ReportComparison
from inference.reported import REPORT_LIMIT, SearchedCt, not_found_warnings, with_reported
from inference.rules import fleischner, lung_rads
from inference.segmentation import Segmenter
from inference.segmenters import make_segmenter
from inference.thresholds import REPORT_AT_LEAST_MM, REPORT_AT_MOST_MM, THICK_SLICE_MM
from inference.volume import Volume

ALGORITHM_NAME = "pulmonode"
"""Followed by the kind of detector, which decides the most."""
ALGORITHM_VERSION = "0.1.0"
REPORT_AT_MOST = 10
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

    @property
    def by(self) -> tuple[str, ...]:
        """Modalities beside the pixels that may count."""
        ...

    def grade(
        self,
        volume: Volume,
        nodules: Sequence[Nodule],
        context: ClinicalContext,
        known: KnownContext | None,
    ) -> tuple[Nodule, ...]:
        """The same nodules in the same order, with attributes and grade."""
        ...


def analyse(
    volume: Volume,
    *,
    context: ClinicalContext | None = None,
    known: KnownContext | None = None,
    detector: Detector | None = None,
    segmenter: Segmenter | None = None,
    grading: Grading | None = None,
    prior: PriorExam | None = None,
    pet: SuvVolume | None = None,
    report: ReportedExam | None = None,
    progress: Callable[[str], None] | None = None,
) -> CaseFindings:
    """Find, delineate, measure and judge the nodules of a chest CT.

    Parameters
    ----------
    volume : Volume
        A whole axial series.
    context : ClinicalContext, optional
        What is known of the patient.
    known : KnownContext, optional
        The same and more, value by value.
    detector, segmenter : optional
        Other methods than the default ones.
    grading : Grading, optional
        Without it no nodule is graded.
    prior : PriorExam, optional
        An earlier chest CT of the same patient, to compare with.
    pet : SuvVolume, optional
        A PET to measure nodules in; with a CT of its own where it has another frame of reference.
    report : ReportedExam, optional
        What radiologists' reports of this examination say of its nodules.
    progress : callable, optional
        Told the name of each stage as it begins.

    Returns
    -------
    CaseFindings
        Nodules ranked by probability, after them those that only `report` led to; equal input
        gives equal findings.

    Raises
    ------
    NotAnalysable
        If there are no lungs in the volume.
    """
    context = context or ClinicalContext()
    detector = detector or make_detector()
    segmenter = segmenter or make_segmenter()
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
        candidates, segmented = delineate(volume, lungs, found, segmenter, detector)
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
        lobes = find_lobes(volume, lungs) if shown or report else None
        nodules = assess_nodules(volume, lungs, lobes, shown, context)
    reported: ReportComparison | None = None
    if report is not None:
        with stage("report"):
            searched = SearchedCt(
                volume=volume,
                lungs=lungs,
                lobes=lobes,
                found=found,
                segmenter=segmenter,
                detector=detector,
                report_from=report_from,
            )
            shown, nodules, reported = with_reported(report, shown, nodules, searched, context)
    measured_in: PetUsed | None = None
    pet_warnings: tuple[str, ...] = ()
    if pet is not None:
        with stage("pet"):
            beside = measure_beside(volume, lungs, nodules, pet)
            nodules, measured_in, pet_warnings = beside.nodules, beside.used, beside.warnings
    if grading is not None:
        with stage("grading"):
            nodules = grading.grade(volume, nodules, context, known)
    follow_up = None
    if prior is not None:
        with stage("follow-up"):
            nodules, follow_up = compare(
                prior, nodules, volume=volume, lungs=lungs, segmenter=segmenter, context=context
            )
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
        quality=_quality(volume, lungs, len(reportable), unlisted, reported, pet_warnings),
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
        exam_fleischner=fleischner.assess_exam(sizes_of(shown), context),
        limits=(
            *detector.limits,
            *LIMITS,
            NEVER_VALIDATED if compared else NO_PRIOR_LIMIT,
            *(_pet_limits(measured_in, grading) if measured_in else ()),
            *((REPORT_LIMIT,) if report else ()),
            *(grading.limits if grading else (NOT_GRADED_LIMIT,)),
        ),
        follow_up=follow_up,
        pet=measured_in,
        reported=reported,
    )


def _pet_limits(pet: PetUsed, grading: Grading | None) -> tuple[str, ...]:
    graded = grading is not None and PET in grading.by
    limit = PET_GRADED_LIMIT if graded else PET_LIMIT
    return (limit,) if pet.registration is None else (limit, CARRIED_LIMIT)


def report_threshold(detector: Detector, segmenter: Segmenter | None = None) -> float:
    """Probability from which a nodule is listed: of both looks together where that was fitted."""
    if segmenter is not None and segmenter.combination is not None:
        fitted = segmenter.combination.for_detector(detector.weights).report_from
        if fitted is not None:
            return fitted
    return detector.report_from


def _quality(
    volume: Volume,
    lungs: LungMask,
    reportable: int,
    unlisted: Sequence[Candidate],
    reported: ReportComparison | None,
    pet_warnings: Sequence[str],
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
    warnings += not_found_warnings(reported)
    warnings += pet_warnings
    return Quality(
        slice_spacing_mm=spacing_mm,
        coverage=lungs.coverage,
        warnings=tuple(warnings),
        air_hu=lungs.air_hu,
        blood_hu=lungs.blood_hu,
    )
