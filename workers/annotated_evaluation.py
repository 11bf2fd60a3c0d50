"""Measures detectors on annotated real CT: FROC as in LUNA16, patient by patient.

A hit lies within the nodule's radius; nodules marked by too few readers, under 3 mm, or left aside
by the data set count neither way. Patients that a model was trained on are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inference.detection import BlobDetector, Detector
from inference.evaluation.detector import summarise
from inference.evaluation.froc import ScoredScan, Truth, score_scan
from inference.findings import Candidate
from inference.lungs import segment_lungs
from inference.pipeline import analyse
from inference.segmentation import ThresholdSegmenter
from inference.volume import Volume
from inference.weights import load_weights
from workers.datasets.backgrounds import AT_LEAST_MM, patient_digest
from workers.datasets.scan import AnnotatedScan
from workers.datasets.source import DatasetSource, iterate
from workers.detector_evaluation import trained_detector
from workers.errors import DatasetRefused

DEFAULT_THRESHOLD = 0.5
"""Of a model whose manifest has none yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedPlan:
    """What to measure on which annotated scans.

    Attributes
    ----------
    sources : sequence of DatasetSource
        The scans.
    models : sequence of Path
        Folders with weights.
    readers : int
        Nodules marked by fewer count neither way.
    threshold : float, optional
        For the figures at one threshold; each model's own if absent.
    bundle : Path, optional
        A MONAI bundle to measure beside them.
    """

    sources: Sequence[DatasetSource]
    models: Sequence[Path] = ()
    readers: int = 3
    threshold: float | None = None
    flips: bool = True
    classical: bool = True
    bundle: Path | None = None
    seed: int = 0


@dataclass(slots=True)
class _Method:
    detector: Detector
    trained_on: frozenset[str] = frozenset()
    scans: list[ScoredScan] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)
    left_out: int = 0


def evaluate_annotated(plan: AnnotatedPlan, told: Callable[[str], None]) -> dict[str, Any]:
    """Measure every method of a plan on every scan that it was not trained on.

    Returns
    -------
    dict
        What ``--json`` writes: ``protocol``, and by method the figures of `summarise`.

    Raises
    ------
    DatasetRefused
        If no scan can be used, or a method is left without scans or without nodules.
    inference.errors.WeightsRefused
        If a model's weights do not match its manifest.
    """
    methods = _methods(plan, told)
    if not methods:
        raise DatasetRefused(
            ", ".join(map(str, plan.sources)),
            "nothing is to be measured on it",
            "give --model, --monai-bundle or --classical",
        )

    def use(scan: AnnotatedScan) -> None:
        volume = scan.read_volume()
        digest = patient_digest(scan.patient_id)
        wanted = [item for item in methods.values() if digest not in item.trained_on]
        scored = [_score(scan, volume, item.detector, plan.readers) for item in wanted]
        for item in methods.values():
            item.left_out += digest in item.trained_on
        # Only now, so that a scan that fails under one method counts under none.
        for item, result in zip(wanted, scored, strict=True):
            item.scans.append(result)
            item.patients.append(scan.patient_id)
        told(f"measured {scan.identifier}")

    tally = iterate(plan.sources, use, told=told)
    for line in tally.lines():
        told(line)
    for name, item in methods.items():
        _check(plan, name, item)
    return {
        "protocol": {
            "datasets": [str(source) for source in plan.sources],
            "readers": plan.readers,
            "hit": "within the nodule's radius (LUNA16)",
            "flips": plan.flips,
            "seed": plan.seed,
            "scans_used": tally.used,
            "scans_skipped": [{"scan": item.source, "why": item.why} for item in tally.broken],
        },
        "annotated": {name: _figures(plan, item) for name, item in methods.items()},
    }


def _methods(plan: AnnotatedPlan, told: Callable[[str], None]) -> dict[str, _Method]:
    methods: dict[str, _Method] = {}
    for folder in plan.models:
        weights = load_weights("detector", folder)
        if "patients" not in weights.facts:
            told(
                f"{folder}: its manifest does not say which patients it was trained on, so none "
                "is left out"
            )
        threshold = float(weights.facts.get("threshold", DEFAULT_THRESHOLD))
        methods[f"{folder.name} ({weights.version})"] = _Method(
            trained_detector(weights, report_from=threshold, flips=plan.flips),
            frozenset(weights.facts.get("patients", ())),
        )
    if plan.bundle is not None:
        from workers.monai_bundle import load_bundle_detector

        methods["monai bundle"] = _Method(load_bundle_detector(plan.bundle))
    if plan.classical:
        methods["classical"] = _Method(BlobDetector())
    return methods


def _score(scan: AnnotatedScan, volume: Volume, detector: Detector, readers: int) -> ScoredScan:
    candidates = _candidates(volume, detector)
    counted, uncertain = scan.split_by_readers(readers)
    ignored = [
        (np.array(item.centre_lps_mm), item.diameter_mm / 2)
        for item in (*uncertain, *(item for item in counted if item.diameter_mm < AT_LEAST_MM))
    ]
    ignored += [(np.array(mark.centre_lps_mm), mark.radius_mm) for mark in scan.other_marks]
    return score_scan(
        scan.identifier,
        np.array([item.centre_lps_mm for item in candidates]).reshape(-1, 3),
        np.array([item.probability for item in candidates]),
        [
            Truth(centre_mm=item.centre_lps_mm, diameter_mm=item.diameter_mm, kind=item.kind)
            for item in counted
            if item.diameter_mm >= AT_LEAST_MM
        ],
        ignored=ignored,
        hit_at_least_mm=0.0,
    )


def _candidates(volume: Volume, detector: Detector) -> tuple[Candidate, ...]:
    """All candidates; where the score is made from the outline, as the pipeline makes it."""
    if detector.needs_ranking:
        return analyse(volume, detector=detector, segmenter=ThresholdSegmenter()).candidates
    return detector.find_candidates(volume, segment_lungs(volume))


def _check(plan: AnnotatedPlan, name: str, item: _Method) -> None:
    where = ", ".join(map(str, plan.sources))
    if not item.scans:
        raise DatasetRefused(
            where, f"{name} was trained on every patient of it", "measure it on other patients"
        )
    if not any(scan.truths for scan in item.scans):
        raise DatasetRefused(
            where,
            f"no nodule of {AT_LEAST_MM:g} mm or more was marked by {plan.readers} readers",
            "lower --readers or take more scans",
        )


def _figures(plan: AnnotatedPlan, item: _Method) -> dict[str, Any]:
    threshold = item.detector.report_from if plan.threshold is None else plan.threshold
    return {
        "method": item.detector.name,
        "version": item.detector.version,
        "weights": dict(item.detector.weights),
        "threshold": threshold,
        "patients": len(set(item.patients)),
        "left_out_as_trained_on": item.left_out,
        **summarise(item.scans, threshold, seed=plan.seed, patients=item.patients),
    }
