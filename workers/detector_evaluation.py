"""Measures trained detectors: leave-one-scan-out on real CT, and on simulated volumes.

A model is run on exactly those real scans that its own manifest says it was trained without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from inference.backend import Backend
from inference.centre_detection import CentreHeatmapDetector, find_peaks
from inference.detection import BlobDetector, Detector
from inference.detectors import EXAMPLE_SHAPE
from inference.engines import make_backend
from inference.evaluation.detector import (
    RealResult,
    judge_real,
    score_candidates,
    score_peaks,
    summarise,
)
from inference.evaluation.froc import ScoredScan, Truth, threshold_at
from inference.evaluation.pictures import Place, draw_places
from inference.evaluation.volumes import simulate_volume
from inference.findings import Candidate
from inference.models.centre_detector import CentreDetector, CentreDetectorConfig
from inference.pipeline import analyse, report_threshold
from inference.segmentation import Segmenter, ThresholdSegmenter
from inference.training.backgrounds import Background
from inference.training.patches import PatchMaker
from inference.training.shapes import Part, load_shapes
from inference.volume import Volume
from inference.weights import Weights, load_weights
from workers.second_look import SecondLook
from workers.training_data import LesionEntry, prepare_backgrounds, read_scan, scan_names

UNSEEN_THORAX = 100
"""Seed of the first simulated thorax that no training uses."""
ALONE, SECOND_LOOK, CLASSICAL = "", ", second look", ", classical"
"""Methods, as they end the names in the tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """What to measure.

    Attributes
    ----------
    data, cache : Path
        Training data; prepared backgrounds.
    models : sequence of Path
        Folders with weights; each tells by its manifest what it was trained without.
    lesions : mapping
        Known lesions by scan.
    volumes, tuning_volumes : int
        Simulated volumes per background, for testing and for tuning.
    thoraces : int
        Simulated thoraces that no training used, as backgrounds beside the left-out series.
    false_positives : float
        Per simulated tuning volume: sets the one threshold.
    threshold : float, optional
        A threshold fixed earlier, instead.
    segmenter : Path, optional
        Folder with a cube network: figures with its second look beside those without, on what
        it was trained without.
    pictures : Path, optional
        Folder for a sheet of pictures per real scan: each lesion and each false positive.
    """

    data: Path
    cache: Path
    models: Sequence[Path]
    lesions: Mapping[str, Sequence[LesionEntry]]
    volumes: int = 4
    tuning_volumes: int = 4
    thoraces: int = 1
    seed: int = 0
    false_positives: float = 1.0
    threshold: float | None = None
    flips: bool = True
    classical: bool = True
    segmenter: Path | None = None
    pictures: Path | None = None


def evaluate_detectors(plan: EvaluationPlan, told: Callable[[str], None]) -> dict[str, Any]:
    """Measure the models of a plan; the result is what ``--json`` writes.

    Raises
    ------
    inference.errors.WeightsRefused
        If a folder's weights do not match its manifest.
    """
    models = [load_weights("detector", folder) for folder in plan.models]
    second = None if plan.segmenter is None else SecondLook.load(plan.segmenter)
    tuning: list[ScoredScan] = []
    if plan.threshold is None:
        for model in models:
            for background in _trained_on(plan, model, told):
                tuning += _simulated(plan, model, "tune", background, told)[ALONE]
        threshold = threshold_at(tuning, plan.false_positives)
    else:
        threshold = plan.threshold
    thresholds: dict[str, float] = {}
    testing: dict[str, list[ScoredScan]] = {}
    for model in models:
        for background in _left_out(plan, model, told):
            kind = "real background" if background.real else "simulated thorax"
            for method, scored in _simulated(plan, model, "test", background, told, second).items():
                testing.setdefault(kind + method, []).extend(scored)
                if method == CLASSICAL:
                    thresholds[kind + method] = BlobDetector.report_from
                elif method == SECOND_LOOK and second is not None:
                    thresholds[kind + method] = second.threshold(model, threshold)
    real = _real(plan, models, threshold, told, second)
    return {
        "protocol": {
            "threshold": threshold,
            "threshold_from": f"{plan.false_positives:g} false positives per simulated volume of "
            f"tuning patients ({len(tuning)} volumes)"
            if plan.threshold is None
            else "given",
            "flips": plan.flips,
            "seed": plan.seed,
            "volumes_per_background": plan.volumes,
            "second_look": None if second is None else second.segmenter.weights,
            "models": [
                {"version": m.version, "sha256": m.sha256, "facts": m.facts} for m in models
            ],
        },
        "real": real,
        "tuning": summarise(tuning, threshold) if tuning else None,
        "simulated": {
            kind: summarise(scans, thresholds.get(kind, threshold))
            for kind, scans in testing.items()
        },
    }


def trained_detector(
    weights: Weights, *, report_from: float, flips: bool = True
) -> CentreHeatmapDetector:
    """A detector from checked weights, on the CPU."""
    backend, config = _network(weights)
    return CentreHeatmapDetector(
        backend,
        config,
        version=weights.version,
        weights={weights.name: weights.sha256},
        report_from=report_from,
        flips=flips,
    )


def _network(weights: Weights) -> tuple[Backend, CentreDetectorConfig]:
    config = CentreDetectorConfig.from_dict(weights.config)
    network = CentreDetector(config)
    network.load_state_dict(weights.tensors)
    return make_backend(network, EXAMPLE_SHAPE), config


def _trained_on(
    plan: EvaluationPlan, model: Weights, told: Callable[[str], None]
) -> list[Background]:
    used = model.facts["backgrounds"]
    names = [name for name in scan_names(plan.data) if name in used]
    return _backgrounds(plan, model, names, len(used) - len(names), told)


def _left_out(
    plan: EvaluationPlan, model: Weights, told: Callable[[str], None]
) -> list[Background]:
    """Real scans that the model was trained without, and unseen simulated thoraces."""
    names = _first_left_out(plan, model)
    found = _backgrounds(plan, model, names, 0, told)
    return found + _backgrounds(plan, model, [], plan.thoraces, told, first_seed=UNSEEN_THORAX)


def _backgrounds(
    plan: EvaluationPlan,
    model: Weights,
    names: Sequence[str],
    simulated: int,
    told: Callable[[str], None],
    first_seed: int = 0,
) -> list[Background]:
    return prepare_backgrounds(
        plan.data,
        names,
        plan.lesions,
        spacing_mm=CentreDetectorConfig.from_dict(model.config).spacing_mm,
        simulated=range(first_seed, first_seed + simulated),
        cache=plan.cache,
        told=told,
    )


def _first_left_out(plan: EvaluationPlan, model: Weights) -> list[str]:
    """Scans that this model is the first of the plan to leave out."""
    earlier: set[str] = set()
    for folder in plan.models:
        other = load_weights("detector", folder)
        if other.sha256 == model.sha256:
            break
        earlier.update(other.facts["left_out"])
    wanted = set(model.facts["left_out"]) - earlier
    return [name for name in scan_names(plan.data) if name in wanted]


def _simulated(
    plan: EvaluationPlan,
    model: Weights,
    part: Part,
    background: Background,
    told: Callable[[str], None],
    second: SecondLook | None = None,
) -> dict[str, list[ScoredScan]]:
    """Scores on simulated volumes of a part, by method: all of them see the same volumes."""
    backend, config = _network(model)
    maker = PatchMaker(
        shapes=load_shapes(plan.data / "lidc", parts=(part,)),
        backgrounds=[background],
        spacing_mm=config.spacing_mm,
        seed=plan.seed,
    )
    if second is not None and not second.never_saw(background):
        second = None
    tuning = part == "tune"
    count = plan.tuning_volumes if tuning else plan.volumes
    told(f"{part}: {count} volumes in {background.name}")
    scored: dict[str, list[ScoredScan]] = {}
    for number in range(count):
        seed = plan.seed * 1000 + number + (500 if tuning else 0)
        volume = simulate_volume(maker, background, seed=seed)
        name = f"{background.name} {number}"
        peaks = find_peaks(backend, config, volume.hu, background.search, flips=plan.flips)
        scored.setdefault(ALONE, []).append(score_peaks(volume, peaks, name=name))
        if second is not None:
            judged = second.score(volume, peaks, model, name)
            scored.setdefault(SECOND_LOOK, []).append(judged)
        if plan.classical and background.real and not tuning:
            pixels = np.clip(np.rint(volume.hu), -1024, 3071).astype(np.int16)
            candidates = _ranked(replace(background.volume, hu=pixels), BlobDetector())
            scored.setdefault(CLASSICAL, []).append(score_candidates(volume, candidates, name=name))
    return scored


def _real(
    plan: EvaluationPlan,
    models: Sequence[Weights],
    threshold: float,
    told: Callable[[str], None],
    second: SecondLook | None,
) -> list[dict[str, Any]]:
    rows = []
    for model in models:
        for name in _first_left_out(plan, model):
            told(f"real: {name} by {model.version}")
            detector = trained_detector(model, report_from=threshold, flips=plan.flips)
            rows.append(_judge(plan, name, detector))
            if second is not None and name in second.left_out:
                told(f"real: {name} with a second look")
                rows.append(_judge(plan, name, detector, second.segmenter))
            if plan.classical:
                told(f"real: {name} by the classical method")
                rows.append(_judge(plan, name, BlobDetector()))
    return rows


def _judge(
    plan: EvaluationPlan, name: str, detector: Detector, segmenter: Segmenter | None = None
) -> dict[str, Any]:
    """What a report would list, against the known lesions."""
    threshold = report_threshold(detector, segmenter)
    entries = plan.lesions.get(name, ())
    scan = read_scan(plan.data, name, entries)
    candidates = _ranked(scan.volume, detector, segmenter)
    result = judge_real(
        name,
        candidates,
        [
            Truth(centre_mm=entry.centre_lps_mm, diameter_mm=entry.diameter_mm)
            for entry in entries
            if entry.evaluate
        ],
        threshold=threshold,
        ignored=[
            (entry.centre_lps_mm, entry.radius_mm)
            for entry in entries
            if not (entry.evaluate or entry.unsure)
        ],
    )
    if plan.pictures is not None:
        looked = "classical" if detector.needs_ranking else "alone" if segmenter is None else "both"
        _draw(plan.pictures / f"{name}-{looked}.png", scan.volume, entries, result)
    return {
        "method": detector.name if segmenter is None else f"{detector.name}, second look",
        "model": detector.version,
        "threshold": threshold,
        **_as_json(result),
    }


def _draw(path: Path, volume: Volume, entries: Sequence[LesionEntry], result: RealResult) -> None:
    """A sheet with every known lesion and every false positive, best first."""
    known = [entry for entry in entries if entry.evaluate]
    places = [
        Place(
            centre_lps_mm=entry.centre_lps_mm,
            caption=f"known, {entry.diameter_mm:.0f} mm, score {lesion.probability:.2f}, "
            + ("listed" if lesion.found else "not listed"),
        )
        for entry, lesion in zip(known, result.lesions, strict=True)
    ]
    places += [
        Place(
            centre_lps_mm=item.centre_lps_mm,
            caption=f"other, {item.diameter_mm:.0f} mm, score {item.probability:.2f}, LPS "
            + " ".join(f"{value:.0f}" for value in item.centre_lps_mm),
        )
        for item in result.false_positives
    ]
    if places:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw_places(volume, places))


def _ranked(
    volume: Volume, detector: Detector, segmenter: Segmenter | None = None
) -> tuple[Candidate, ...]:
    """Candidates as the pipeline ranks them, without those that it would not list.

    Above the threshold those are the ones under 6 mm, over 60 mm, or without an outline. Without
    a second look the classical method outlines.
    """
    findings = analyse(volume, detector=detector, segmenter=segmenter or ThresholdSegmenter())
    threshold = report_threshold(detector, segmenter)
    listed = {nodule.detection_probability for nodule in findings.nodules}
    return tuple(
        item
        for item in findings.candidates
        if item.probability < threshold or item.probability in listed
    )


def _as_json(result: RealResult) -> dict[str, Any]:
    return {
        "scan": result.scan,
        "lesions": [asdict(item) for item in result.lesions],
        "false_positives": [asdict(item) for item in result.false_positives],
    }
