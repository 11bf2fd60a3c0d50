"""One phantom for all tests that need a whole chest."""

from __future__ import annotations

import pytest

from inference.findings import CaseFindings
from inference.phantom import Phantom, PhantomNodule, PhantomSpec, make_phantom
from inference.pipeline import analyse

SMALL = PhantomSpec(
    slices=88,
    pixels=256,
    slice_spacing_mm=3.0,
    pixel_spacing_mm=1.4,
    nodules=(
        PhantomNodule(type="solid", diameter_mm=14.0),
        PhantomNodule(type="solid", diameter_mm=20.0, juxtapleural=True),
    ),
)


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    return make_phantom(SMALL)


@pytest.fixture(scope="session")
def findings(phantom: Phantom) -> CaseFindings:
    return analyse(phantom.volume)
