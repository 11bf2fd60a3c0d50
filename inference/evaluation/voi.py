"""The cube network on simulated cubes and on phantoms with known nodules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.backend import Backend
from inference.evaluation.outlines import (
    OutlineScore,
    OutlineTruth,
    all_searched,
    area_under_curve,
    score_outline,
    summarise_outlines,
)
from inference.findings import Candidate, VoiMask
from inference.lungs import segment_lungs
from inference.measurement import measure_nodule
from inference.models.voi_network import VoiNetworkConfig
from inference.phantom import Phantom, PhantomNodule, PhantomSpec, make_phantom
from inference.phantom_anatomy import lung_depth_mm
from inference.segmentation import Segmenter
from inference.training.voi_samples import SampleMaker, VoiSample
from inference.voi import Cube
from inference.voi_segmentation import ask, to_segmented
from inference.volume import Volume

PHANTOM_NODULES: tuple[tuple[PhantomNodule, ...], ...] = (
    (
        PhantomNodule(type="solid", diameter_mm=6.0),
        PhantomNodule(type="solid", diameter_mm=12.0),
        PhantomNodule(type="solid", diameter_mm=20.0, juxtapleural=True),
        PhantomNodule(type="calcified", diameter_mm=8.0),
        PhantomNodule(type="ground-glass", diameter_mm=10.0),
        PhantomNodule(type="part-solid", diameter_mm=24.0),
    ),
    (
        PhantomNodule(type="solid", diameter_mm=8.0),
        PhantomNodule(type="solid", diameter_mm=28.0),
        PhantomNodule(type="calcified", diameter_mm=12.0),
        PhantomNodule(type="ground-glass", diameter_mm=16.0),
        PhantomNodule(type="part-solid", diameter_mm=12.0),
        PhantomNodule(type="solid", diameter_mm=12.0, juxtapleural=True),
    ),
    (
        PhantomNodule(type="solid", diameter_mm=10.0),
        PhantomNodule(type="solid", diameter_mm=16.0),
        PhantomNodule(type="calcified", diameter_mm=18.0),
        PhantomNodule(type="ground-glass", diameter_mm=8.0),
        PhantomNodule(type="ground-glass", diameter_mm=22.0),
        PhantomNodule(type="part-solid", diameter_mm=16.0),
    ),
)
PHANTOM_HEIGHT_MM = 170.0
CANDIDATE_OFF_MM, CANDIDATE_FACTORS = 2.0, (0.75, 1.3)
"""How far a phantom's candidates are put off, as a detector errs."""
BALL_POINTS = 61


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCube:
    """What a network said of a sample."""

    nodule: bool
    site: str
    probability: float


def score_cubes(
    maker: SampleMaker,
    backend: Backend,
    config: VoiNetworkConfig,
    other: Segmenter | None,
    *,
    count: int,
) -> dict[str, Any]:
    """One look of the network at each of `count` samples; another segmenter on the same cubes.

    Returns
    -------
    dict
        ``network`` and perhaps ``other`` (see `summarise_outlines`), ``auc`` of nodule or not,
        over all and by what the candidate is instead.
    """
    judged: list[JudgedCube] = []
    scores: dict[str, list[OutlineScore]] = {"network": [], "other": []}
    for number in range(count):
        sample = maker.make(number)
        cube = Cube(
            hu=sample.hu,
            spacing_mm=sample.spacing_mm,
            corner_kji=np.zeros(3),
            step_kji=np.ones(3),
        )
        answer = ask(backend, config, cube, sample.slice_spacing_mm)
        judged.append(JudgedCube(nodule=sample.nodule, site=sample.site, probability=answer.nodule))
        if not sample.nodule:
            continue
        volume, candidate = _as_volume(sample)
        truth = _truth_of(sample, volume)
        segmented = to_segmented(volume, candidate, answer)
        scores["network"].append(score_outline(volume, segmented, truth))
        if other is not None:
            found = other.segment(volume, all_searched(volume), candidate)
            scores["other"].append(score_outline(volume, found, truth))
    positives = np.array([item.probability for item in judged if item.nodule])
    result: dict[str, Any] = {
        name: summarise_outlines(rows) for name, rows in scores.items() if rows
    }
    wrong = [item for item in judged if not item.nodule]
    result["auc"] = {
        "all": area_under_curve(positives, np.array([item.probability for item in wrong])),
        "nodules": len(positives),
        **{
            site: {
                "auc": area_under_curve(
                    positives, np.array([i.probability for i in wrong if i.site == site])
                ),
                "count": sum(item.site == site for item in wrong),
            }
            for site in sorted({item.site for item in wrong})
        },
    }
    return result


def _as_volume(sample: VoiSample) -> tuple[Volume, Candidate]:
    pixels = np.clip(np.rint(sample.hu), -1024, 3071).astype(np.int16)
    volume = Volume(hu=pixels, affine=np.diag([sample.spacing_mm] * 3 + [1.0]))
    x, y, z = (float(v) for v in volume.index_to_lps((np.array(pixels.shape) - 1) / 2))
    return volume, Candidate(
        centre_lps_mm=(x, y, z), probability=1.0, diameter_mm=sample.candidate_mm
    )


def _truth_of(sample: VoiSample, volume: Volume) -> OutlineTruth:
    mask = sample.mask >= 0.5
    measured = measure_nodule(volume, VoiMask(origin_kji=(0, 0, 0), mask=mask), "solid")
    return OutlineTruth(
        mask=mask,
        volume_mm3=measured.volume_mm3,
        diameter_mm=sample.diameter_mm,
        long_axis_mm=measured.long_axis.length_mm,
        kind=sample.kind,
        slice_mm=sample.slice_spacing_mm,
        site=sample.site,
    )


def score_phantoms(
    segmenters: Sequence[Segmenter],
    *,
    slice_spacing_mm: float,
    seed: int,
    told: Callable[[str], None],
    sets: Sequence[Sequence[PhantomNodule]] = PHANTOM_NODULES,
    pixels: int = 512,
) -> dict[str, list[OutlineScore]]:
    """Segmenters on phantoms, from candidates that are off in place and size; by their kind."""
    random = np.random.default_rng((seed, 13))
    scores: dict[str, list[OutlineScore]] = {item.kind: [] for item in segmenters}
    for number, nodules in enumerate(sets):
        spec = PhantomSpec(
            seed=7000 + 10 * seed + number,
            slices=int(PHANTOM_HEIGHT_MM / slice_spacing_mm),
            pixels=pixels,
            slice_spacing_mm=slice_spacing_mm,
            pixel_spacing_mm=0.7 * 512 / pixels,
            nodules=tuple(nodules),
        )
        told(f"phantom {number + 1} of {len(sets)}, slices of {slice_spacing_mm:g} mm")
        phantom = make_phantom(spec)
        lungs = segment_lungs(phantom.volume)
        for truth, candidate in _phantom_truths(phantom, random):
            for segmenter in segmenters:
                found = segmenter.segment(phantom.volume, lungs, candidate)
                scores[segmenter.kind].append(score_outline(phantom.volume, found, truth))
    return scores


def _phantom_truths(
    phantom: Phantom, random: np.random.Generator
) -> list[tuple[OutlineTruth, Candidate]]:
    """What of each ball lies in the lung, and a candidate near it."""
    rows = []
    for entry in phantom.truth["nodules"]:
        centre = np.array(entry["centre_lps_mm"])
        diameter_mm = float(entry["diameter_mm"])
        mask, inside = _ball_in_lung(phantom.volume, centre, diameter_mm / 2)
        volume_mm3 = float(entry["volume_mm3"]) * inside
        truth = OutlineTruth(
            mask=mask,
            volume_mm3=volume_mm3,
            diameter_mm=float((6 * volume_mm3 / np.pi) ** (1 / 3)),
            # The cut at the chest wall has no analytic long axis.
            long_axis_mm=None if entry["juxtapleural"] else diameter_mm,
            kind=entry["type"],
            slice_mm=float(phantom.volume.spacing_mm[0]),
            site="juxtapleural" if entry["juxtapleural"] else "isolated",
        )
        off = random.normal(size=3)
        off *= random.uniform(0, min(CANDIDATE_OFF_MM, 0.25 * diameter_mm)) / np.linalg.norm(off)
        x, y, z = (float(value) for value in centre + off)
        factor = float(random.uniform(*CANDIDATE_FACTORS))
        rows.append(
            (
                truth,
                Candidate(
                    centre_lps_mm=(x, y, z), probability=1.0, diameter_mm=diameter_mm * factor
                ),
            )
        )
    return rows


def _ball_in_lung(
    volume: Volume, centre_lps_mm: NDArray[np.float64], radius_mm: float
) -> tuple[NDArray[np.bool_], float]:
    """Voxels whose centres lie in the ball and in the lung; the ball's share inside the lung."""
    mask = np.zeros(volume.shape, dtype=bool)
    at = volume.lps_to_index(centre_lps_mm)
    reach = radius_mm / volume.spacing_mm
    low = np.maximum(np.floor(at - reach).astype(int), 0)
    high = np.minimum(np.ceil(at + reach).astype(int) + 1, volume.shape)
    index = np.stack(
        np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"),
        axis=-1,
    )
    points = volume.index_to_lps(index)
    inside = np.linalg.norm(points - centre_lps_mm, axis=-1) <= radius_mm
    inside &= lung_depth_mm(points[..., 0], points[..., 1], points[..., 2]) > 0
    mask[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))] = inside
    fine = np.linspace(-radius_mm, radius_mm, BALL_POINTS)
    x, y, z = np.meshgrid(fine, fine, fine, indexing="ij", sparse=True)
    ball = x**2 + y**2 + z**2 <= radius_mm**2
    cx, cy, cz = centre_lps_mm
    lung = lung_depth_mm(cx + x, cy + y, cz + z) > 0
    return mask, float((ball & lung).sum() / ball.sum())


def readers_truth(mask: NDArray[np.bool_], volume: Volume) -> tuple[OutlineTruth, Candidate]:
    """Readers' mask on a whole volume, and a candidate at its middle."""
    index = np.argwhere(mask)
    low, high = index.min(axis=0), index.max(axis=0) + 1
    k, j, i = (int(value) for value in low)
    voi = VoiMask(
        origin_kji=(k, j, i),
        mask=mask[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))],
    )
    measured = measure_nodule(volume, voi, "solid")
    diameter_mm = float((6 * measured.volume_mm3 / np.pi) ** (1 / 3))
    x, y, z = (float(value) for value in volume.index_to_lps(index.mean(axis=0)))
    truth = OutlineTruth(
        mask=mask,
        volume_mm3=measured.volume_mm3,
        diameter_mm=diameter_mm,
        long_axis_mm=measured.long_axis.length_mm,
        kind=None,
        slice_mm=float(volume.spacing_mm[0]),
        site="readers",
    )
    return truth, Candidate(centre_lps_mm=(x, y, z), probability=1.0, diameter_mm=diameter_mm)
