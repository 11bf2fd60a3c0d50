"""The weights that are shipped: one nodule, however the series was stored or acquired."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from inference.detection import Detector
from inference.detectors import make_detector
from inference.findings import Candidate
from inference.lungs import segment_lungs
from inference.phantom import PhantomNodule, PhantomSpec, make_phantom
from inference.pipeline import analyse
from inference.volume import Volume
from inference.weights import SHIPPED, load_weights

PLACE = (-75.0, 20.0, 0.0)
SLAB = PhantomSpec(
    slices=36,
    pixels=256,
    slice_spacing_mm=3.0,
    pixel_spacing_mm=1.4,
    nodules=(PhantomNodule(type="solid", diameter_mm=13.0, centre_lps_mm=PLACE),),
)
POSITION_WITHIN_MM = 1.5
PROBABILITY_WITHIN = 0.15


@pytest.fixture(scope="module")
def detector() -> Detector:
    return make_detector("trained")


@pytest.fixture(scope="module")
def slab() -> Volume:
    return make_phantom(SLAB).volume


def nodule_in(volume: Volume, detector: Detector) -> Candidate:
    """The candidate at the known place; it must be there and be listed."""
    candidates = detector.find_candidates(volume, segment_lungs(volume))
    near = [
        item for item in candidates if np.linalg.norm(np.subtract(item.centre_lps_mm, PLACE)) < 6
    ]
    assert near
    assert near[0].probability >= detector.report_from
    return near[0]


@pytest.fixture(scope="module")
def reference(slab: Volume, detector: Detector) -> Candidate:
    return nodule_in(slab, detector)


def assert_same(found: Candidate, reference: Candidate) -> None:
    apart_mm = np.linalg.norm(np.subtract(found.centre_lps_mm, reference.centre_lps_mm))
    assert apart_mm < POSITION_WITHIN_MM
    assert found.probability == pytest.approx(reference.probability, abs=PROBABILITY_WITHIN)


def test_the_place_and_the_size_are_right(reference: Candidate) -> None:
    assert np.linalg.norm(np.subtract(reference.centre_lps_mm, PLACE)) < POSITION_WITHIN_MM
    assert reference.diameter_mm == pytest.approx(13.0, abs=2.5)


def test_the_order_of_the_slices_does_not_matter(
    slab: Volume, reference: Candidate, detector: Detector
) -> None:
    affine = slab.affine.copy()
    affine[:3, 3] = slab.index_to_lps((slab.shape[0] - 1, 0, 0))
    affine[:3, 0] *= -1

    turned = Volume(hu=np.ascontiguousarray(slab.hu[::-1]), affine=affine)

    assert_same(nodule_in(turned, detector), reference)


@pytest.mark.parametrize("shift_hu", [-20, 20])
def test_a_shift_of_twenty_hu_does_not_matter(
    slab: Volume, reference: Candidate, detector: Detector, shift_hu: int
) -> None:
    shifted = replace(slab, hu=(slab.hu + shift_hu).astype(np.int16))

    assert_same(nodule_in(shifted, detector), reference)


def test_the_spacing_does_not_matter(reference: Candidate, detector: Detector) -> None:
    finer = replace(SLAB, slices=44, slice_spacing_mm=2.5, pixels=320, pixel_spacing_mm=1.1)

    assert_same(nodule_in(make_phantom(finer).volume, detector), reference)


def test_the_shipped_weights_are_those_of_the_manifest_and_small(detector: Detector) -> None:
    weights = load_weights("detector")

    assert detector.weights == {"detector": weights.sha256}
    assert detector.version == weights.version
    assert 0.2 < detector.report_from < 0.9
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 20e6


def test_no_excluded_patient_and_only_the_train_part_made_the_weights() -> None:
    facts = load_weights("detector").facts

    assert facts["nodule_shapes"] == 1117, "the train part of test_training_shapes.py"


def test_the_classical_method_can_still_be_chosen() -> None:
    classical = make_detector("classical")

    assert classical.needs_ranking
    assert not classical.weights


def test_the_pipeline_lists_what_the_trained_detector_found(
    slab: Volume, detector: Detector
) -> None:
    findings = analyse(slab, detector=detector)

    nodule = findings.nodules[0]
    assert np.linalg.norm(np.subtract(nodule.centre_lps_mm, PLACE)) < POSITION_WITHIN_MM
    # A pixel of 1.4 mm at each end, half of it uncertain.
    assert nodule.measurements.mean_diameter_mm == pytest.approx(13.0, abs=1.5)
    assert findings.algorithm_name == "pulmonode-trained"
    assert findings.weights == {**detector.weights, "segmenter": load_weights("segmenter").sha256}
    assert any("trained on simulated nodules" in limit for limit in findings.limits)


def test_what_cannot_be_outlined_is_said_and_not_listed(slab: Volume, detector: Detector) -> None:
    class Blind:
        name = "sees no outline"
        kind = "blind"
        weights: ClassVar[dict[str, str]] = {}
        combination = None

        def segment(self, *_: object) -> None:
            return None

    findings = analyse(slab, detector=detector, segmenter=Blind())

    assert findings.nodules == ()
    assert findings.candidates[0].probability >= detector.report_from
    assert any("could not be outlined" in warning for warning in findings.quality.warnings)
