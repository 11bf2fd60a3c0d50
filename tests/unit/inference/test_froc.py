from __future__ import annotations

import numpy as np
import pytest

from inference.evaluation.detector import judge_real, summarise
from inference.evaluation.froc import (
    OPERATING_POINTS,
    ScoredScan,
    Truth,
    bootstrap,
    cpm,
    froc,
    score_scan,
    sensitivity_at,
    sensitivity_by,
    size_name,
    threshold_at,
)
from inference.findings import Candidate


def scan(hits: list[float], wrong: list[float]) -> ScoredScan:
    truths = tuple(
        Truth(centre_mm=(0, 0, 100.0 * index), diameter_mm=7.0, kind="solid")
        for index in range(len(hits))
    )
    return ScoredScan(name="a", truths=truths, hits=np.array(hits), false_positives=np.array(wrong))


def test_a_candidate_within_the_radius_is_a_hit_and_a_second_one_counts_neither_way() -> None:
    centres = np.array([[0, 0, 9.0], [0, 0, 2.0], [0, 0, 11.0]])

    scored = score_scan(
        "a", centres, np.array([0.4, 0.9, 0.3]), [Truth(centre_mm=(0, 0, 0), diameter_mm=20)]
    )

    assert scored.hits.tolist() == [0.9]
    assert scored.false_positives.tolist() == [0.3]


def test_candidates_in_ignored_regions_count_neither_way() -> None:
    scored = score_scan(
        "a",
        np.array([[0.0, 0, 0], [50, 0, 0]]),
        np.array([0.9, 0.8]),
        [],
        ignored=[(np.array([48.0, 0, 0]), 5.0)],
    )

    assert scored.false_positives.tolist() == [0.9]


def test_sensitivity_is_read_at_the_allowed_false_positives() -> None:
    scans = [scan([0.9, 0.5], [0.6]), scan([0.3], [0.4])]

    # Two scans: at 0.5 per scan one false positive (0.6) may pass, so the threshold lies just
    # above 0.4; at 1 both pass and everything counts.
    assert 0.4 < threshold_at(scans, 0.5) < 0.41
    assert sensitivity_at(scans, threshold_at(scans, 0.5)) == pytest.approx(2 / 3)
    assert threshold_at(scans, 1.0) == 0.0
    assert froc(scans)[1.0] == 1.0
    assert froc(scans)[0.125] == pytest.approx(1 / 3)


def test_a_perfect_detector_has_a_cpm_of_one_and_a_blind_one_of_zero() -> None:
    assert cpm([scan([0.9, 0.8], [0.1])]) == 1.0
    assert cpm([scan([0.0, 0.0], [0.1])]) == 0.0


def test_the_interval_holds_the_estimate_and_narrows_with_more_scans() -> None:
    random = np.random.default_rng(1)
    scans = [
        scan(random.uniform(size=3).tolist(), random.uniform(size=4).tolist()) for _ in range(60)
    ]

    few, many = bootstrap(scans[:6], seed=0)["cpm"], bootstrap(scans, seed=0)["cpm"]

    assert many[0] <= cpm(scans) <= many[1]
    assert many[1] - many[0] < few[1] - few[0]
    assert set(bootstrap(scans)) == {"cpm", *(str(point) for point in OPERATING_POINTS)}


def test_sizes_and_types_are_counted_apart() -> None:
    rows = sensitivity_by([scan([0.9, 0.2], [])], 0.5)

    assert rows == {"size_mm": {"06-08": (1, 2)}, "type": {"solid": (1, 2)}}
    assert [size_name(value) for value in (5.9, 6, 8, 15, 30)] == [
        "00-06",
        "06-08",
        "08-15",
        "15-30",
        "30-",
    ]


def test_a_summary_tells_what_happens_at_the_threshold() -> None:
    summary = summarise([scan([0.9, 0.2], [0.7, 0.1])], 0.5)

    assert summary["at_threshold"]["false_positives_per_scan"] == 1.0
    assert summary["at_threshold"]["type"] == {"solid": {"found": 1, "all": 2}}


def test_a_known_lesion_gets_its_rank_and_others_are_false_positives() -> None:
    def candidate(x: float, probability: float) -> Candidate:
        return Candidate(centre_lps_mm=(x, 0, 0), probability=probability, diameter_mm=8)

    result = judge_real(
        "ct",
        [candidate(80, 0.9), candidate(1, 0.7), candidate(200, 0.65), candidate(40, 0.2)],
        [Truth(centre_mm=(0, 0, 0), diameter_mm=20), Truth(centre_mm=(0, 90, 0), diameter_mm=9)],
        threshold=0.6,
        ignored=[((200, 0, 0), 10)],
    )

    assert result.lesions[0].rank == 2
    assert result.lesions[0].found
    assert result.lesions[0].distance_mm == pytest.approx(1.0)
    assert result.lesions[1].rank is None
    assert not result.lesions[1].found
    assert [item.centre_lps_mm[0] for item in result.false_positives] == [80]


def test_a_scan_without_candidates_misses_everything() -> None:
    result = judge_real(
        "ct", [], [Truth(centre_mm=(0, 0, 0), diameter_mm=20)], threshold=0.5, ignored=[]
    )

    assert [lesion.found for lesion in result.lesions] == [False]
    assert result.false_positives == ()


def test_luna16s_own_rule_takes_the_radius_however_small() -> None:
    centres = np.array([[0.0, 0, 2.4], [0, 0, 2.6]])
    truth = [Truth(centre_mm=(0, 0, 0), diameter_mm=5.0)]

    scored = score_scan("a", centres, np.array([0.4, 0.9]), truth, hit_at_least_mm=0.0)

    assert scored.hits.tolist() == [0.4]
    assert scored.false_positives.tolist() == [0.9]


def test_resampling_patients_takes_all_scans_of_each() -> None:
    """Two patients, one always found and one never: nothing lies between, and no mixture can."""
    scans = [scan([0.9], [])] * 5 + [scan([0.0], [])] * 5

    by_scan = bootstrap(scans, seed=1)["cpm"]
    by_patient = bootstrap(scans, seed=1, patients=["A"] * 5 + ["B"] * 5)["cpm"]

    assert by_patient == (0.0, 1.0)
    assert 0.0 < by_scan[0] < by_scan[1] < 1.0
