"""Figures of outlines and the fit of two probabilities, on made-up truth."""

from __future__ import annotations

import numpy as np
import pytest

from inference.evaluation.combination import fit_combination
from inference.evaluation.outlines import (
    OutlineTruth,
    all_searched,
    area_under_curve,
    score_outline,
    summarise_outlines,
)
from inference.evaluation.voi import readers_truth, score_phantoms
from inference.phantom import PhantomNodule
from inference.segmentation import ThresholdSegmenter, describe_outline
from tests.unit.inference.balls import ball


def truth_of(diameter_mm: float, kind: str = "solid") -> tuple[object, OutlineTruth]:
    volume, voi = ball(diameter_mm)
    volume_mm3 = float(voi.mask.sum()) * volume.voxel_volume_mm3
    return volume, OutlineTruth(
        mask=voi.mask,
        volume_mm3=volume_mm3,
        diameter_mm=diameter_mm,
        long_axis_mm=diameter_mm,
        kind=kind,  # type: ignore[arg-type]
        slice_mm=1.0,
        site="isolated",
    )


def test_a_perfect_outline_has_no_error() -> None:
    volume, truth = truth_of(14.0)
    item = describe_outline(truth.mask, ~truth.mask, volume, np.zeros(3, dtype=int))  # type: ignore[arg-type]

    score = score_outline(volume, item, truth)  # type: ignore[arg-type]
    figures = summarise_outlines([score])["all"]

    assert score.dice == 1.0
    assert figures["volume_error_percent_median"] == 0.0
    assert abs(figures["long_axis_error_mm_median"]) < 0.8  # a pixel of 0.7 mm
    assert figures["type_right"] == 1.0


def test_what_was_not_outlined_counts_as_wrong() -> None:
    volume, truth = truth_of(14.0)

    figures = summarise_outlines([score_outline(volume, None, truth)])["all"]  # type: ignore[arg-type]

    assert figures["outlined"] == 0
    assert figures["dice_median"] == 0.0
    assert figures["type_right"] == 0.0
    assert figures["volume_error_percent_median"] is None


def test_figures_are_told_by_size_and_slice() -> None:
    rows = []
    for diameter_mm in (5.0, 7.0, 12.0):
        volume, truth = truth_of(diameter_mm)
        rows.append(score_outline(volume, None, truth))  # type: ignore[arg-type]

    summary = summarise_outlines(rows)

    assert set(summary["size_mm"]) == {"0 to 6", "6 to 8", "8 to 15"}
    assert set(summary["slice_mm"]) == {"0 to 1.3"}
    assert summary["from_8_mm"]["count"] == 1
    assert len(summary["nodules"]) == 3


def test_the_area_under_the_curve_counts_pairs() -> None:
    assert area_under_curve(np.array([0.9, 0.8]), np.array([0.1, 0.85])) == pytest.approx(0.75)
    assert area_under_curve(np.array([0.5]), np.array([0.5])) == 0.5
    assert np.isnan(area_under_curve(np.array([]), np.array([0.5])))


def test_a_reader_truth_gives_a_candidate_at_its_middle() -> None:
    volume, voi = ball(16.0)

    truth, candidate = readers_truth(voi.mask, volume)

    assert np.linalg.norm(candidate.centre_lps_mm) < 0.5
    assert candidate.diameter_mm == pytest.approx(16.0, abs=0.4)
    assert truth.long_axis_mm == pytest.approx(16.0, abs=0.8)


def test_a_mask_that_holds_nothing_back_is_whole() -> None:
    volume, _ = ball(10.0)

    assert all_searched(volume).search.all()


def test_phantoms_are_scored_against_what_lies_in_the_lung() -> None:
    nodules = (
        PhantomNodule(type="solid", diameter_mm=16.0),
        PhantomNodule(type="solid", diameter_mm=20.0, juxtapleural=True),
    )

    scores = score_phantoms(
        [ThresholdSegmenter()],
        slice_spacing_mm=4.0,
        seed=1,
        told=lambda _: None,
        sets=[nodules],
        pixels=160,
    )["classical"]

    by_site = {score.site: score for score in scores}
    assert by_site["isolated"].volume_mm3 == pytest.approx(np.pi / 6 * 16**3)
    assert by_site["isolated"].long_axis_mm == 16.0
    assert by_site["juxtapleural"].volume_mm3 < np.pi / 6 * 20**3
    assert by_site["juxtapleural"].long_axis_mm is None
    assert by_site["isolated"].dice > 0.6


def test_the_better_of_two_probabilities_gets_the_larger_weight() -> None:
    random = np.random.default_rng(0)
    labels = (random.random(400) < 0.4).astype(float)
    good = 1 / (1 + np.exp(-(4 * labels - 2 + random.normal(0, 1, 400))))
    poor = 1 / (1 + np.exp(-(0.5 * labels - 0.25 + random.normal(0, 1, 400))))
    unsure = labels.copy()
    unsure[:10] = np.nan

    fitted = fit_combination(poor, good, unsure)

    assert fitted.segmenter > 3 * abs(fitted.detector)
    combined = np.array([fitted.combine(p, q) for p, q in zip(poor, good, strict=True)])
    assert area_under_curve(combined[labels == 1], combined[labels == 0]) > 0.97


def test_a_fit_needs_both_kinds() -> None:
    with pytest.raises(ValueError, match="candidates on nodules and candidates on none"):
        fit_combination([0.5, 0.6], [0.5, 0.4], [1.0, np.nan])
