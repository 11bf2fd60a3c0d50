"""Lung-RADS v2022: the rows of airway nodules and cysts."""

from __future__ import annotations

from typing import Any

import pytest

from inference.findings import ClinicalContext
from inference.rules.lung_rads_airway_cyst import (
    AirwayPlace,
    Change,
    Cyst,
    assess_airway_nodule,
    assess_cyst,
)
from tests.unit.inference.rules.examples import SCREENING


@pytest.mark.parametrize(
    ("place", "change", "category"),
    [
        ("subsegmental", "baseline", "2"),
        ("subsegmental", "new", "2"),
        ("subsegmental", "stable", "2"),
        ("subsegmental", "growing", None),
        ("segmental or more proximal", "baseline", "4A"),
        ("segmental or more proximal", "new", "4A"),
        ("segmental or more proximal", "stable", "4B"),
        ("segmental or more proximal", "growing", "4B"),
    ],
)
def test_airway_nodules(place: AirwayPlace, change: Change, category: str | None) -> None:
    found = assess_airway_nodule(place, change, SCREENING)

    assert found.category == category
    assert (found.management is None) == (category is None)


@pytest.mark.parametrize(
    ("thick", "multilocular", "change", "category"),
    [
        (False, False, {}, None),
        (False, False, {"cavity_grew": True}, None),
        (True, False, {}, "4A"),
        (True, False, {"cavity_grew": True}, "3"),
        (True, False, {"wall_grew": True}, "4B"),
        (True, False, {"wall_grew": True, "cavity_grew": True}, "4B"),
        (False, True, {}, "4A"),
        (False, False, {"became_multilocular": True}, "4A"),
        (True, False, {"became_multilocular": True}, "4A"),
        (False, True, {"cavity_grew": True}, "4B"),
        (True, True, {"cavity_grew": True}, "4B"),
        (False, True, {"denser": True}, "4B"),
        (False, True, {"stable_days": 90.0}, "3"),
        (True, False, {"stable_days": 90.0}, "3"),
        (True, False, {"stable_days": 60.0}, "4A"),
    ],
)
def test_cysts(
    thick: bool, multilocular: bool, change: dict[str, Any], category: str | None
) -> None:
    found = assess_cyst(Cyst(thick_walled=thick, multilocular=multilocular, **change), SCREENING)

    assert found.category == category


def test_outside_screening_neither_has_a_category() -> None:
    context = ClinicalContext(screening_exam=False)

    airway = assess_airway_nodule("segmental or more proximal", "growing", context)
    cyst = assess_cyst(Cyst(thick_walled=True, multilocular=True), context)

    assert (airway.applicable, airway.category) == ("no", None)
    assert (cyst.applicable, cyst.category) == ("no", None)
