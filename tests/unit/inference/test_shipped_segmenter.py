"""The weights that are shipped: outline, size and type of known nodules, whatever the grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.evaluation.outlines import all_searched
from inference.findings import Candidate, NoduleType
from inference.measurement import checked_type, measure_nodule
from inference.phantom import Phantom, PhantomNodule, PhantomSpec, make_phantom
from inference.segmentation import Segmented, Segmenter
from inference.segmenters import make_segmenter
from inference.volume import Volume
from inference.weights import SHIPPED, load_weights

NODULES: tuple[tuple[NoduleType, float, tuple[float, float, float]], ...] = (
    ("solid", 14.0, (-75.0, 20.0, 0.0)),
    ("calcified", 10.0, (75.0, -30.0, 10.0)),
    ("ground-glass", 16.0, (80.0, 30.0, -10.0)),
    ("part-solid", 20.0, (-75.0, -35.0, 5.0)),
)
SLAB = PhantomSpec(
    slices=60,
    pixels=360,
    slice_spacing_mm=1.5,
    pixel_spacing_mm=1.0,
    vessels=False,
    nodules=tuple(
        PhantomNodule(type=kind, diameter_mm=diameter_mm, centre_lps_mm=place)
        for kind, diameter_mm, place in NODULES
    ),
)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return make_segmenter("trained")


@pytest.fixture(scope="module")
def slab() -> Phantom:
    return make_phantom(SLAB)


def outlined(
    segmenter: Segmenter, volume: Volume, place: tuple[float, float, float], diameter_mm: float
) -> Segmented:
    """From a candidate that is a little off, as a detector's are."""
    x, y, z = place
    candidate = Candidate(
        centre_lps_mm=(x + 1.5, y - 1.0, z + 1.0), probability=0.8, diameter_mm=0.85 * diameter_mm
    )
    item = segmenter.segment(volume, all_searched(volume), candidate)
    assert item is not None
    return item


@pytest.mark.parametrize(("kind", "diameter_mm", "place"), NODULES)
def test_a_known_nodule_is_measured_and_typed(
    segmenter: Segmenter,
    slab: Phantom,
    kind: NoduleType,
    diameter_mm: float,
    place: tuple[float, float, float],
) -> None:
    item = outlined(segmenter, slab.volume, place, diameter_mm)

    assert item.type is not None
    found = checked_type(slab.volume, item.voi, item.type, item.core)
    measured = measure_nodule(slab.volume, item.voi, found, item.core)
    assert found == kind
    assert measured.volume_mm3 == pytest.approx(np.pi / 6 * diameter_mm**3, rel=0.1)
    assert item.probability is not None
    assert item.probability > 0.5


def a_hair_too_long(kind: NoduleType) -> list[pytest.MarkDecorator]:
    """What the card says of this one: its long axis misses the bound of 1 mm."""
    if kind != "part-solid":
        return []
    return [pytest.mark.xfail(reason="1.06 mm too long: docs/models/segmenter.md", strict=True)]


@pytest.mark.parametrize(
    ("kind", "diameter_mm", "place"),
    [pytest.param(*nodule, marks=a_hair_too_long(nodule[0])) for nodule in NODULES],
)
def test_the_long_axis_is_right_within_a_millimetre(
    segmenter: Segmenter,
    slab: Phantom,
    kind: NoduleType,
    diameter_mm: float,
    place: tuple[float, float, float],
) -> None:
    item = outlined(segmenter, slab.volume, place, diameter_mm)
    measured = measure_nodule(slab.volume, item.voi, kind, item.core)

    assert measured.long_axis.length_mm == pytest.approx(diameter_mm, abs=1.0)


def test_the_answer_does_not_depend_on_how_slices_are_stored(
    segmenter: Segmenter, slab: Phantom
) -> None:
    volume = slab.volume
    affine = volume.affine.copy()
    affine[:3, 3] = volume.index_to_lps([volume.shape[0] - 1, 0, 0])
    affine[:3, 0] *= -1
    turned = Volume(hu=np.ascontiguousarray(volume.hu[::-1]), affine=affine)
    _, diameter_mm, place = NODULES[0]

    first = outlined(segmenter, volume, place, diameter_mm)
    second = outlined(segmenter, turned, place, diameter_mm)

    assert second.voi.mask.sum() == pytest.approx(first.voi.mask.sum(), rel=0.05)
    assert second.probability == pytest.approx(first.probability, abs=0.15)
    assert second.type == first.type


@pytest.mark.parametrize("shift_hu", [-20, 20])
def test_a_shift_of_all_densities_changes_little(
    segmenter: Segmenter, slab: Phantom, shift_hu: int
) -> None:
    shifted = replace(slab.volume, hu=(slab.volume.hu + shift_hu).astype(np.int16))
    _, diameter_mm, place = NODULES[0]

    first = outlined(segmenter, slab.volume, place, diameter_mm)
    second = outlined(segmenter, shifted, place, diameter_mm)

    assert second.voi.mask.sum() == pytest.approx(first.voi.mask.sum(), rel=0.08)
    assert second.probability == pytest.approx(first.probability, abs=0.15)


def test_the_manifest_tells_how_it_was_made() -> None:
    facts = load_weights("segmenter", SHIPPED).facts

    assert facts["left_out"] == ["lidc_idri_0001", "cmb_crc_MSB-01068", "cptac_lscc_C3N-00247"]
    assert not set(facts["left_out"]) & set(facts["backgrounds"])
    assert facts["steps"] > 0
    assert "combination" not in facts, "the detector decides alone: docs/models/detector.md"
