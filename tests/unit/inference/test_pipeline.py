"""The whole way on a phantom: what is there is found, and nothing depends on the order."""

from __future__ import annotations

import numpy as np
import pytest

from inference.findings import CaseFindings, Nodule
from inference.phantom import Phantom, make_phantom
from inference.pipeline import REPORT_AT_MOST, analyse
from inference.volume import Volume
from tests.unit.inference.conftest import SMALL


def nearest(findings: CaseFindings, place: list[float]) -> tuple[Nodule, float]:
    rows = [
        (float(np.linalg.norm(np.subtract(nodule.centre_lps_mm, place))), nodule.id, nodule)
        for nodule in findings.nodules
    ]
    distance_mm, _, nodule = min(rows)
    return nodule, distance_mm


def test_solid_nodules_are_found_and_measured(phantom: Phantom, findings: CaseFindings) -> None:
    for truth in phantom.truth["nodules"]:
        nodule, distance_mm = nearest(findings, truth["centre_lps_mm"])

        assert distance_mm < 3.0
        assert nodule.type == "solid"
        assert nodule.laterality == truth["laterality"]
        assert nodule.measurements.volume_mm3 == pytest.approx(truth["volume_mm3"], rel=0.25)
        # A pixel of 1.4 mm at each end, half of it uncertain.
        assert nodule.measurements.mean_diameter_mm == pytest.approx(truth["diameter_mm"], abs=1.5)


def test_at_most_two_false_positives(phantom: Phantom, findings: CaseFindings) -> None:
    assert len(findings.nodules) <= len(phantom.truth["nodules"]) + 2


def test_ids_are_ranks_from_one(findings: CaseFindings) -> None:
    probabilities = [nodule.detection_probability for nodule in findings.nodules]

    assert [nodule.id for nodule in findings.nodules] == list(range(1, len(probabilities) + 1))
    assert probabilities == sorted(probabilities, reverse=True)
    assert len(probabilities) <= REPORT_AT_MOST
    assert all(0 <= candidate.probability <= 1 for candidate in findings.candidates)


def test_nodules_share_no_voxel(phantom: Phantom, findings: CaseFindings) -> None:
    count = np.zeros(phantom.volume.shape, dtype=np.uint8)
    for nodule in findings.nodules:
        (k, j, i), (depth, height, width) = nodule.voi.origin_kji, nodule.voi.mask.shape
        count[k : k + depth, j : j + height, i : i + width] += nodule.voi.mask

    assert count.max() == 1


def test_limits_and_timings_are_said(findings: CaseFindings) -> None:
    assert any("not validated" in limit for limit in findings.limits)
    assert any("no malignancy grade is given" in limit for limit in findings.limits)
    assert set(findings.timings_s) >= {"lungs", "candidates", "nodules", "measurements"}
    assert findings.peak_rss_mb > 0
    assert any("lobes are estimated" in limit for limit in findings.limits)


def test_a_lobe_is_named_with_its_probability_or_not_at_all(findings: CaseFindings) -> None:
    for nodule in findings.nodules:
        if nodule.lobe is None:
            assert nodule.lobe_probability is None
        else:
            assert nodule.laterality is not None
            assert nodule.lobe.startswith(nodule.laterality)
            assert nodule.lobe_probability is not None
            assert 0.7 <= nodule.lobe_probability <= 1.0


def test_the_same_volume_gives_the_same_findings(phantom: Phantom, findings: CaseFindings) -> None:
    stages: list[str] = []

    again = analyse(phantom.volume, progress=stages.append)

    assert stages[0] == "lungs"
    assert again.candidates == findings.candidates
    for first, second in zip(findings.nodules, again.nodules, strict=True):
        assert first.centre_lps_mm == second.centre_lps_mm
        assert np.array_equal(first.voi.mask, second.voi.mask)


@pytest.mark.parametrize("axes", [(0,), (1, 2)])
def test_slice_order_and_row_direction_do_not_matter(
    phantom: Phantom, axes: tuple[int, ...]
) -> None:
    affine = phantom.volume.affine.copy()
    for axis in axes:
        affine[:3, 3] += affine[:3, axis] * (phantom.volume.shape[axis] - 1)
        affine[:3, axis] *= -1
    flipped = Volume(hu=np.flip(phantom.volume.hu, axes), affine=affine)

    found = analyse(flipped)

    for truth in phantom.truth["nodules"]:
        nodule, distance_mm = nearest(found, truth["centre_lps_mm"])
        assert distance_mm < 3.0
        assert nodule.laterality == truth["laterality"]
        assert nodule.measurements.volume_mm3 == pytest.approx(truth["volume_mm3"], rel=0.25)


def test_the_phantom_is_the_same_for_the_same_seed(phantom: Phantom) -> None:
    again = make_phantom(SMALL)

    assert np.array_equal(again.volume.hu, phantom.volume.hu)
    assert again.truth == phantom.truth
