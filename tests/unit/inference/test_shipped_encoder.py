"""The weights that are shipped: phantoms of every type are told from each other."""

from __future__ import annotations

import numpy as np
import pytest

from inference.deep_features import NoduleDescription, describe, make_encoder
from inference.findings import NoduleType
from inference.phantom import make_phantom
from inference.radiomics.table import TABLE_VERSION
from inference.segmenters import make_segmenter
from inference.weights import SHIPPED, load_weights
from tests.unit.inference.test_shipped_segmenter import NODULES, SLAB, outlined


@pytest.fixture(scope="module")
def described() -> dict[NoduleType, NoduleDescription]:
    volume = make_phantom(SLAB).volume
    segmenter, encoder = make_segmenter("trained"), make_encoder()
    return {
        kind: describe(volume, outlined(segmenter, volume, place, diameter_mm).voi, encoder)
        for kind, diameter_mm, place in NODULES
    }


def test_ground_glass_and_solid_are_told_apart(
    described: dict[NoduleType, NoduleDescription],
) -> None:
    glass, part, solid = (
        described[kind].attributes["texture"] for kind in ("ground-glass", "part-solid", "solid")
    )

    assert glass < 2.5
    # The phantom's core is an eighth of its volume: readers would hardly call that 3.
    assert part < 3.0
    assert solid > 4.0


def test_calcium_is_seen_where_it_is_and_nowhere_else(
    described: dict[NoduleType, NoduleDescription],
) -> None:
    assert described["calcified"].calcified > 0.5
    assert all(item.calcified < 0.5 for kind, item in described.items() if kind != "calcified")


def test_a_description_is_within_its_scales(
    described: dict[NoduleType, NoduleDescription],
) -> None:
    for item in described.values():
        assert np.abs(item.features).max() <= 1
        assert 1 <= item.rating <= 5
        assert item.grades.sum() == pytest.approx(1.0)
        assert item.beyond_training == ()


def test_the_manifest_says_what_the_encoder_learned_from() -> None:
    weights = load_weights("encoder", SHIPPED)

    assert weights.facts["unseen"] == ["lidc_idri_0001"]
    assert "lidc_idri_0001" not in weights.facts["backgrounds"]
    assert weights.facts["radiomics_table"] == TABLE_VERSION
    assert (SHIPPED / "encoder.safetensors").stat().st_size < 8e6
