from __future__ import annotations

import pytest

from tests.conformance.every_profile import Study, make_study
from tests.once import once


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The objects of all profiles; nobody changes them."""
    return once(tmp_path_factory, "every profile", make_study)
