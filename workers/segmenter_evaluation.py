"""Measures trained cube networks: simulated cubes, phantoms, readers' outlines on real CT.

A model is run on exactly those real scans that its own manifest says it was trained without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.backend import TorchBackend
from inference.centre_detection import find_peaks
from inference.delineation import JUDGED_AT_MOST
from inference.evaluation.combination import fit_combination, labels_of, rejudge
from inference.evaluation.outlines import OutlineScore, score_outline, summarise_outlines
from inference.evaluation.voi import readers_truth, score_cubes, score_phantoms
from inference.evaluation.volumes import simulate_volume
from inference.lungs import segment_lungs
from inference.models.centre_detector import CentreDetector, CentreDetectorConfig
from inference.models.voi_network import VoiNetwork, VoiNetworkConfig
from inference.segmentation import Segmenter, ThresholdSegmenter
from inference.segmenters import to_segmenter
from inference.training.patches import PatchMaker
from inference.training.shapes import load_shapes
from inference.training.voi_samples import SampleMaker
from inference.weights import Weights, load_weights
from workers.nifti import read_labels
from workers.training_data import LesionEntry, prepare_backgrounds, read_scan, scan_names
from workers.voi_training_data import prepare_voi_backgrounds

UNSEEN_THORAX = 100
"""Seed of the first simulated thorax that no training uses."""
CONSENSUS = "nodules_consensus50.nii.gz"
"""Beside a scan's ``dicom``: voxels that at least half of a nodule's readers outlined."""
PHANTOM_SLICES_MM = (1.0, 2.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterPlan:
    """What to measure.

    Attributes
    ----------
    data, cache, model : Path
        Training data; prepared backgrounds; folder with the weights.
    detector : Path
        Folder with the detector whose mistakes are judged.
    lesions : mapping
        Known lesions by scan.
    samples : int
        Simulated cubes.
    thoraces : int
        Simulated thoraces that no training used, as backgrounds beside the left-out series.
    phantoms : bool
        Measure on phantoms as well.
    classical : bool
        The classical method beside it.
    """

    data: Path
    cache: Path
    model: Path
    detector: Path
    lesions: Mapping[str, Sequence[LesionEntry]]
    samples: int = 400
    thoraces: int = 1
    seed: int = 0
    phantoms: bool = True
    classical: bool = True


def evaluate_segmenter(plan: SegmenterPlan, told: Callable[[str], None]) -> dict[str, Any]:
    """Measure the model of a plan; the result is what ``--json`` writes.

    Raises
    ------
    inference.errors.WeightsRefused
        If a folder's weights do not match its manifest.
    FileNotFoundError
        If there is nothing that the model was trained without.
    """
    weights = load_weights("segmenter", plan.model)
    trained = to_segmenter(weights)
    segmenters: list[Segmenter] = [trained]
    if plan.classical:
        segmenters.append(ThresholdSegmenter())
    return {
        "protocol": {
            "seed": plan.seed,
            "samples": plan.samples,
            "model": {
                "version": weights.version,
                "sha256": weights.sha256,
                "facts": weights.facts,
            },
        },
        "simulated": _simulated(plan, weights, told),
        "phantoms": _phantoms(plan, segmenters, told) if plan.phantoms else {},
        "real": _real(plan, weights, segmenters, told),
    }


def _left_out(plan: SegmenterPlan, weights: Weights) -> list[str]:
    return [name for name in scan_names(plan.data) if name in weights.facts["left_out"]]


def _simulated(
    plan: SegmenterPlan, weights: Weights, told: Callable[[str], None]
) -> dict[str, Any]:
    """Nodules of test patients in lungs that training did not see."""
    names = _left_out(plan, weights)
    backgrounds = prepare_voi_backgrounds(
        plan.data,
        names,
        plan.lesions,
        simulated=range(UNSEEN_THORAX, UNSEEN_THORAX + plan.thoraces),
        cache=plan.cache,
        detector=load_weights("detector", plan.detector),
        told=told,
    )
    if not backgrounds:
        raise FileNotFoundError(
            "nothing to measure on: the model left no series out and --thoraces is 0"
        )
    config = VoiNetworkConfig.from_dict(weights.config)
    network = VoiNetwork(config)
    network.load_state_dict(weights.tensors)
    maker = SampleMaker(
        shapes=load_shapes(plan.data / "lidc", parts=("test",)),
        backgrounds=backgrounds,
        config=config,
        seed=1_000_000 + plan.seed,
    )
    told(f"{plan.samples} simulated cubes")
    result = score_cubes(
        maker,
        TorchBackend(network),
        config,
        ThresholdSegmenter() if plan.classical else None,
        count=plan.samples,
    )
    return {"backgrounds": [item.coarse.name for item in backgrounds], **result}


def _phantoms(
    plan: SegmenterPlan, segmenters: Sequence[Segmenter], told: Callable[[str], None]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for slice_mm in PHANTOM_SLICES_MM:
        scores = score_phantoms(segmenters, slice_spacing_mm=slice_mm, seed=plan.seed, told=told)
        found[f"{slice_mm:g} mm"] = {
            kind: summarise_outlines(rows) for kind, rows in scores.items()
        }
    return found


def _real(
    plan: SegmenterPlan,
    weights: Weights,
    segmenters: Sequence[Segmenter],
    told: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Readers' consensus on left-out scans, from candidates at its middle."""
    rows: list[dict[str, Any]] = []
    for name in _left_out(plan, weights):
        outline = plan.data / "ct" / name / CONSENSUS
        if not outline.exists():
            continue
        told(f"real: {name}")
        labels = read_labels(outline)
        volume = read_scan(plan.data, name, ()).volume
        lungs = segment_lungs(volume)
        for label in range(1, int(labels.max()) + 1):
            truth, candidate = readers_truth(labels == label, volume)
            for segmenter in segmenters:
                found = segmenter.segment(volume, lungs, candidate)
                score: OutlineScore = score_outline(volume, found, truth)
                probability = None if found is None else found.probability
                rows.append(
                    {
                        "scan": name,
                        "nodule": label,
                        "method": segmenter.kind,
                        "probability": probability,
                        **asdict(score),
                    }
                )
    return rows


def fit_on_tuning(
    plan: SegmenterPlan,
    *,
    volumes: int,
    false_positives: float,
    told: Callable[[str], None],
) -> dict[str, Any]:
    """Weights by which detector and cube network are combined, and the threshold that follows.

    On simulated volumes of the tuning patients, in lungs that both were trained on.

    Returns
    -------
    dict
        Fields of `inference.segmentation.Combination`.
    """
    detector = load_weights("detector", plan.detector)
    segmenter = to_segmenter(load_weights("segmenter", plan.model), mirror=False)
    config = CentreDetectorConfig.from_dict(detector.config)
    network = CentreDetector(config)
    network.load_state_dict(detector.tensors)
    backend = TorchBackend(network)
    left_out = load_weights("segmenter", plan.model).facts["left_out"]
    used = [name for name in detector.facts["backgrounds"] if name not in left_out]
    names = [name for name in scan_names(plan.data) if name in used]
    backgrounds = prepare_backgrounds(
        plan.data,
        names,
        plan.lesions,
        spacing_mm=config.spacing_mm,
        simulated=range(len(used) - len(names)),
        cache=plan.cache,
        told=told,
    )
    maker = PatchMaker(
        shapes=load_shapes(plan.data / "lidc", parts=("tune",)),
        backgrounds=backgrounds,
        spacing_mm=config.spacing_mm,
        seed=plan.seed,
    )
    rows: list[tuple[int, float, float, float]] = []
    for order, background in enumerate(backgrounds):
        told(f"tuning: {volumes} volumes in {background.name}")
        for number in range(volumes):
            volume = simulate_volume(maker, background, seed=plan.seed * 1000 + number + 500)
            peaks = find_peaks(backend, config, volume.hu, background.search, flips=True)
            peaks = peaks[:JUDGED_AT_MOST]
            second = rejudge(volume, peaks, segmenter, at_most=JUDGED_AT_MOST)
            scan = order * volumes + number
            rows += [
                (scan, float(p), float(q), float(label))
                for p, q, label in zip(peaks[:, 4], second, labels_of(volume, peaks), strict=True)
            ]
    first, again, labels = np.array(rows, dtype=np.float64).reshape(-1, 4).T[1:]
    fitted = fit_combination(first, again, labels)
    wrong = labels == 0
    combined = np.array([fitted.combine(p, q) for p, q in zip(first, again, strict=True)])
    allowed = int(false_positives * len(backgrounds) * volumes)
    highest = np.sort(combined[wrong])[::-1]
    threshold = float(np.nextafter(highest[allowed], 1.0)) if len(highest) > allowed else 0.0
    return {
        "bias": round(fitted.bias, 4),
        "detector": round(fitted.detector, 4),
        "segmenter": round(fitted.segmenter, 4),
        "report_from": round(threshold, 3),
        "fitted_with": detector.sha256,
    }
