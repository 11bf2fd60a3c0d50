"""The segmenter around a network, with networks whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from inference.delineation import JUDGED_AT_MOST
from inference.detection import BlobDetector
from inference.evaluation.outlines import all_searched
from inference.findings import Candidate
from inference.measurement import checked_type, measure_nodule
from inference.models.voi_network import TYPES, VoiNetworkConfig
from inference.phantom import Phantom
from inference.pipeline import analyse, report_threshold
from inference.segmentation import Combination, Segmented
from inference.voi_segmentation import NetworkSegmenter
from inference.volume import Volume
from tests.unit.inference.balls import ball

CONFIG = VoiNetworkConfig(side=32)
SURE = 8.0


class ThresholdNetwork:
    """Calls dense what is denser than -400 HU, core what is denser than -135 HU."""

    device, engine, spare = "cpu", "none", None

    def __init__(self, nodule: float = 3.0, kind: str = "solid") -> None:
        self.seen: list[NDArray[np.float32]] = []
        self._nodule, self._kind = nodule, kind

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.run_all(images)[0]

    def run_all(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        self.seen.append(images)
        low, high = CONFIG.lung_window_hu
        hu = (images[:, 0] + 1) / 2 * (high - low) + low
        logits = [np.clip((hu - at) / 25, -SURE, SURE) for at in (-400, -135)]
        judged = np.full((len(images), 5), -SURE, dtype=np.float32)
        judged[:, 0] = self._nodule
        judged[:, 1 + TYPES.index(self._kind)] = SURE
        return np.stack(logits, axis=1).astype(np.float32), judged


def segmenter(
    network: ThresholdNetwork, combination: Combination | None = None
) -> NetworkSegmenter:
    return NetworkSegmenter(
        network, CONFIG, version="test", weights={"segmenter": "abc"}, combination=combination
    )


def candidate(
    volume: Volume, off_mm: tuple[float, float, float] = (0, 0, 0), diameter_mm: float = 10.0
) -> Candidate:
    middle = volume.index_to_lps((np.array(volume.shape) - 1) / 2) + off_mm
    x, y, z = (float(value) for value in middle)
    return Candidate(centre_lps_mm=(x, y, z), probability=0.8, diameter_mm=diameter_mm)


def found_by(network: ThresholdNetwork, volume: Volume, wanted: Candidate) -> Segmented:
    item = segmenter(network).segment(volume, all_searched(volume), wanted)
    assert item is not None
    return item


@pytest.mark.parametrize("spacing_mm", [(1.0, 0.7, 0.7), (2.5, 0.7, 0.7), (0.6, 0.9, 0.9)])
def test_a_ball_comes_back_on_the_volumes_own_grid(
    spacing_mm: tuple[float, float, float],
) -> None:
    volume, truth = ball(14.0, spacing_mm)

    item = found_by(ThresholdNetwork(), volume, candidate(volume, diameter_mm=14.0))

    whole = np.zeros(volume.shape, dtype=bool)
    (k, j, i), (d, h, w) = item.voi.origin_kji, item.voi.mask.shape
    whole[k : k + d, j : j + h, i : i + w] = item.voi.mask
    dice = 2 * (whole & truth.mask).sum() / (whole.sum() + truth.mask.sum())
    # Interpolating to the cube and back moves the border by less than half a voxel.
    assert dice > 0.94
    assert item.probability == pytest.approx(1 / (1 + np.exp(-3.0)), abs=1e-6)
    assert item.type == "solid"
    assert item.core is None


def test_what_blooms_is_cut_at_half_its_height() -> None:
    """Blurred calcium: at -400 HU, where the network cuts, it is too large all round."""
    volume, truth = ball(12.0, (0.8, 0.8, 0.8), hu=700)
    blurred = ndimage.gaussian_filter(volume.hu.astype(np.float32), 1.0)
    volume = replace(volume, hu=np.rint(blurred).astype(np.int16))

    wide = found_by(ThresholdNetwork(kind="ground-glass"), volume, candidate(volume))
    cut = found_by(ThresholdNetwork(kind="calcified"), volume, candidate(volume))

    assert wide.voi.mask.sum() > 1.15 * truth.mask.sum()
    assert cut.voi.mask.sum() == pytest.approx(truth.mask.sum(), rel=0.06)


def test_a_second_look_is_taken_where_place_and_size_were_wrong() -> None:
    volume, truth = ball(30.0, (1.0, 0.8, 0.8))
    network = ThresholdNetwork()

    item = found_by(network, volume, candidate(volume, (5.0, 4.0, -3.0), diameter_mm=12.0))

    assert len(network.seen) >= 2
    assert item.voi.mask.sum() == pytest.approx(truth.mask.sum(), rel=0.08)
    assert len(network.seen[0]) == 1
    assert len(network.seen[-1]) == 2  # with the mirrored view


def test_what_is_no_nodule_is_looked_at_once() -> None:
    volume, _ = ball(12.0)
    network = ThresholdNetwork(nodule=-5.0)

    item = found_by(network, volume, candidate(volume, (3.0, 0, 0)))

    assert len(network.seen) == 1
    assert item.probability is not None
    assert item.probability < 0.01


def test_where_nothing_is_dense_there_is_no_outline() -> None:
    volume, _ = ball(12.0, hu=-850)

    assert (
        segmenter(ThresholdNetwork()).segment(volume, all_searched(volume), candidate(volume))
        is None
    )
    assert segmenter(ThresholdNetwork()).judge(volume, candidate(volume)) == 0.0


def test_only_the_part_at_the_candidate_is_taken() -> None:
    volume, truth = ball(10.0, (1.0, 1.0, 1.0))
    hu = volume.hu.copy()
    hu[1:3, 1:3, 1:3] = 30

    item = found_by(ThresholdNetwork(), replace(volume, hu=hu), candidate(volume))

    assert item.voi.mask.sum() == pytest.approx(truth.mask.sum(), rel=0.15)


def test_an_outline_far_from_the_candidate_is_of_something_else() -> None:
    volume, _ = ball(6.0, (1.0, 1.0, 1.0))
    hu = np.full((40, 40, 40), -850, dtype=np.int16)
    hu[30:34, 30:34, 30:34] = 30
    far = Volume(hu=hu, affine=volume.affine)

    found = segmenter(ThresholdNetwork(nodule=-5.0)).segment(
        far, all_searched(far), candidate(far, diameter_mm=5.0)
    )

    assert found is None


def test_the_core_of_a_part_solid_nodule_is_measured() -> None:
    volume, truth = ball(20.0, (1.0, 0.8, 0.8), hu=-300)
    inner, core = ball(10.0, (1.0, 0.8, 0.8), hu=30)
    hu = volume.hu.copy()
    start = [(a - b) // 2 for a, b in zip(volume.shape, inner.shape, strict=True)]
    window = tuple(slice(s, s + n) for s, n in zip(start, inner.shape, strict=True))
    hu[window][core.mask] = 30
    whole = replace(volume, hu=hu)

    item = found_by(ThresholdNetwork(kind="part-solid"), whole, candidate(whole, diameter_mm=20))
    measured = measure_nodule(whole, item.voi, "part-solid", item.core)

    assert item.type == "part-solid"
    assert item.core is not None
    assert item.core.mask.shape == item.voi.mask.shape
    assert not (item.core.mask & ~item.voi.mask).any()
    assert measured.solid_volume_mm3 == pytest.approx(np.pi / 6 * 10**3, rel=0.2)
    assert measured.solid_mean_diameter_mm == pytest.approx(10.0, abs=1.2)
    assert measured.volume_mm3 == pytest.approx(float(truth.mask.sum()) * 0.64, rel=0.15)


def test_ground_glass_with_a_dense_core_is_part_solid() -> None:
    volume, _ = ball(20.0, (1.0, 0.8, 0.8), hu=-350)
    hu = volume.hu.copy()
    inner, core = ball(10.0, (1.0, 0.8, 0.8), hu=30)
    start = [(a - b) // 2 for a, b in zip(volume.shape, inner.shape, strict=True)]
    hu[tuple(slice(s, s + n) for s, n in zip(start, inner.shape, strict=True))][core.mask] = 30
    whole = replace(volume, hu=hu)

    item = found_by(ThresholdNetwork(kind="ground-glass"), whole, candidate(whole, diameter_mm=20))

    assert item.type == "ground-glass"
    assert checked_type(whole, item.voi, item.type, item.core) == "part-solid"
    assert checked_type(volume, item.voi, item.type, None) == "ground-glass"


def test_part_solid_without_a_core_is_ground_glass() -> None:
    volume, _ = ball(14.0, hu=-350)

    item = found_by(ThresholdNetwork(kind="part-solid"), volume, candidate(volume))

    assert item.type == "ground-glass"
    assert item.core is None


def test_a_type_that_the_densities_contradict_is_not_believed() -> None:
    solid, mask = ball(14.0, hu=30)
    dense, dense_mask = ball(14.0, hu=700)
    faint, faint_mask = ball(14.0, hu=-600)

    assert checked_type(solid, mask, "calcified", None) == "solid"
    assert checked_type(solid, mask, "ground-glass", None) == "solid"
    assert checked_type(dense, dense_mask, "calcified", None) == "calcified"
    assert checked_type(faint, faint_mask, "ground-glass", None) == "ground-glass"
    assert checked_type(faint, faint_mask, "part-solid", None) == "ground-glass"


def test_halves_are_the_mean_of_the_logits() -> None:
    mean = Combination(detector=0.5, segmenter=0.5)

    assert mean.combine(0.5, 0.5) == pytest.approx(0.5)
    assert mean.combine(0.9, 0.1) == pytest.approx(0.5)
    assert mean.combine(0.9, 0.9) == pytest.approx(0.9)
    assert 0 < mean.combine(0.0, 0.0) < 0.001
    assert mean.combine(1.0, 1.0) < 1


def test_a_fitted_combination_holds_for_its_detector_only() -> None:
    fitted = Combination(bias=1.0, detector=0.2, segmenter=0.9, report_from=0.4, fitted_with="a1")

    assert fitted.for_detector({"detector": "a1"}) is fitted
    for others in ({"detector": "b2"}, MappingProxyType({})):
        alone = fitted.for_detector(others)
        assert not alone.asks_segmenter
        assert alone.combine(0.7, 0.001) == pytest.approx(0.7)
        assert alone.report_from is None


class OneBlob(BlobDetector):
    """A detector that ranks by itself and finds the phantom's nodules and an empty place."""

    kind = "trained"
    needs_ranking = False

    def __init__(self, found: tuple[Candidate, ...]) -> None:
        self.weights = {"detector": "a1"}
        self._found = found

    def find_candidates(self, volume: Volume, lungs: object) -> tuple[Candidate, ...]:
        del volume, lungs
        return self._found


def test_the_second_look_decides_with_the_detector_what_is_listed(phantom: Phantom) -> None:
    places = [entry["centre_lps_mm"] for entry in phantom.truth["nodules"]]
    found = tuple(
        Candidate(centre_lps_mm=tuple(place), probability=0.3, diameter_mm=12.0) for place in places
    )
    detector = OneBlob(found)
    fitted = Combination(bias=0.0, detector=0.5, segmenter=0.5, report_from=0.6, fitted_with="a1")
    yes = segmenter(ThresholdNetwork(nodule=4.0), fitted)
    no = segmenter(ThresholdNetwork(nodule=-4.0), fitted)

    listed = analyse(phantom.volume, detector=detector, segmenter=yes)
    dropped = analyse(phantom.volume, detector=detector, segmenter=no)

    assert report_threshold(detector, yes) == 0.6
    assert report_threshold(detector) == detector.report_from
    assert len(listed.nodules) == len(places)
    both = fitted.combine(0.3, 0.982)
    assert listed.nodules[0].detection_probability == pytest.approx(both, abs=0.01)
    assert dropped.nodules == ()
    assert listed.weights == {"detector": "a1", "segmenter": "abc"}


def test_where_the_detector_decides_alone_only_what_it_would_list_is_outlined(
    phantom: Phantom,
) -> None:
    first, second, *_ = (entry["centre_lps_mm"] for entry in phantom.truth["nodules"])
    likely, unlikely = (
        Candidate(centre_lps_mm=tuple(place), probability=probability, diameter_mm=12.0)
        for place, probability in ((first, 0.9), (second, 0.1))
    )
    detector = OneBlob((likely, unlikely))
    alone = Combination(fitted_with="a1")
    no = segmenter(ThresholdNetwork(nodule=-4.0), alone)

    findings = analyse(phantom.volume, detector=detector, segmenter=no)

    assert [nodule.detection_probability for nodule in findings.nodules] == [0.9]
    assert [item.probability for item in findings.candidates] == [0.9, 0.1]


def test_candidates_beyond_the_best_are_not_looked_at_and_come_last(phantom: Phantom) -> None:
    place = phantom.truth["nodules"][0]["centre_lps_mm"]
    found = tuple(
        Candidate(
            centre_lps_mm=(place[0] + 0.01 * rank, place[1], place[2]),
            probability=0.4 - 0.001 * rank,
            diameter_mm=12.0,
        )
        for rank in range(JUDGED_AT_MOST + 3)
    )
    network = ThresholdNetwork(nodule=-4.0)
    both = Combination(detector=0.5, segmenter=0.5, fitted_with="a1")

    findings = analyse(phantom.volume, detector=OneBlob(found), segmenter=segmenter(network, both))

    assert len(network.seen) == JUDGED_AT_MOST
    last = [item.probability for item in findings.candidates[-3:]]
    assert last == sorted(last, reverse=True)
    assert len(set(last)) == 3, "the detector's order stays"
    assert max(last) < min(item.probability for item in findings.candidates[:-3])
