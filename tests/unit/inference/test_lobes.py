"""Lobes of simulated thoraces with known fissures, and what is not claimed without them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.lobes import NAMED_FROM, LobeMap, find_lobes
from inference.lungs import LungMask, segment_lungs
from inference.volume import Volume
from tests.unit.inference.hard_thorax import ThoraxSpec, lobe_at, make_thorax

SEEN = ThoraxSpec(
    slices=128,
    pixels=192,
    slice_spacing_mm=2.5,
    pixel_spacing_mm=2.0,
    fissures=True,
    vessels=12,
    noise_hu=20.0,
)
SPECS = {
    "seen": SEEN,
    "steeper, other vessels": replace(SEEN, fissure_tilt=0.15, seed=2),
    "turned round": replace(SEEN, flip=(0, 1, 2)),
    "without fissures": replace(SEEN, fissures=False),
    "without fissures, steeper": replace(SEEN, fissures=False, fissure_tilt=0.15, seed=2),
    "thick slices": replace(SEEN, slices=64, slice_spacing_mm=5.0),
}


STEEPER = pytest.param("without fissures, steeper", marks=pytest.mark.long)
"""Seen once already, with fissures."""


@dataclass(frozen=True, kw_only=True)
class Known:
    volume: Volume
    lungs: LungMask
    lobes: LobeMap
    table: NDArray[np.float64]
    """Of 1500 places in the lungs: probability of the most probable lobe; 1 where it is right."""


class KnownByName(dict[str, "Known"]):
    """Each made when it is first asked for."""

    def __missing__(self, name: str) -> Known:
        self[name] = know(SPECS[name])
        return self[name]


@pytest.fixture(scope="module")
def known() -> dict[str, Known]:
    return KnownByName()


def know(spec: ThoraxSpec) -> Known:
    thorax = make_thorax(spec)
    lungs = segment_lungs(thorax.volume)
    lobes = find_lobes(thorax.volume, lungs)
    index = np.argwhere(thorax.aerated)
    index = index[np.random.default_rng(0).choice(len(index), 1500, replace=False)]
    rows = []
    for point in thorax.volume.index_to_lps(index):
        table = lobes.probabilities(point, "right" if point[0] < 0 else "left")
        name = max(table, key=lambda lobe: table[lobe])
        truth = lobe_at((point[0], point[1], point[2]), spec)
        rows.append((table[name], name == truth))
    return Known(volume=thorax.volume, lungs=lungs, lobes=lobes, table=np.array(rows))


@pytest.mark.parametrize("name", ["seen", "steeper, other vessels", "turned round"])
def test_fissures_that_show_are_found_and_part_the_lobes(
    known: dict[str, Known], name: str
) -> None:
    lobes, table = known[name].lobes, known[name].table

    assert lobes.oblique["right"].surface.seen
    assert lobes.oblique["left"].surface.seen
    assert lobes.horizontal is not None
    assert lobes.horizontal.surface.seen
    assert lobes.remarks == ()
    # Of the places 2 mm or less from a fissure half may be wrong: about 3 % of all.
    assert table[:, 1].mean() > 0.97
    assert (table[:, 0] >= NAMED_FROM).mean() > 0.93


@pytest.mark.parametrize("name", ["without fissures", STEEPER, "thick slices"])
def test_without_visible_fissures_only_what_is_clear_is_named(
    known: dict[str, Known], name: str
) -> None:
    lobes, table = known[name].lobes, known[name].table

    assert not any(fissure.surface.seen for fissure in lobes.oblique.values())
    assert len(lobes.remarks) == 2
    named = table[:, 0] >= NAMED_FROM
    assert 0.1 < 1 - named.mean() < 0.6
    assert table[named, 1].mean() > 0.9
    assert table[:, 0].max() <= 0.95


@pytest.mark.parametrize("name", [*(name for name in SPECS if "fissures, " not in name), STEEPER])
def test_probabilities_do_not_promise_too_much(known: dict[str, Known], name: str) -> None:
    table = known[name].table

    for low, high in ((0.5, 0.7), (0.7, 0.85), (0.85, 0.95), (0.95, 1.01)):
        chosen = table[(table[:, 0] >= low) & (table[:, 0] < high)]
        if len(chosen) < 20:
            continue
        # Two standard errors of a share of so many places.
        slack = 2 * np.sqrt(0.25 / len(chosen))
        assert chosen[:, 1].mean() >= chosen[:, 0].mean() - slack, (low, high)


def test_apex_and_base_are_clear_by_position(known: dict[str, Known]) -> None:
    lobes = known["thick slices"].lobes

    assert lobes.upper_at(np.array([60.0, -10.0, 110.0]), "left") is True
    assert lobes.upper_at(np.array([80.0, 60.0, -90.0]), "left") is False
    assert lobes.upper_at(np.array([80.0, 10.0, -5.0]), "left") is None


def test_a_lung_that_is_cut_or_partly_without_air_has_no_known_lobes() -> None:
    for spec in (
        replace(SEEN, slices=60, centre_z_mm=60.0, vessels=0),
        replace(SEEN, solid_lobes=("right lower lobe",), vessels=0),
    ):
        thorax = make_thorax(spec)
        lobes = find_lobes(thorax.volume, segment_lungs(thorax.volume))

        assert lobes.probabilities(np.array([-80.0, 0.0, 60.0]), "right") == {}
        assert lobes.lobe_at(np.array([-80.0, 0.0, 60.0]), "right") is None
        assert lobes.upper_at(np.array([-80.0, 0.0, 60.0]), "right") is None
        assert "lobes of the right lung unknown" in "; ".join(lobes.remarks)
