from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.workers.outbound.ris import Ris, listening_ris


@pytest.fixture
def ris() -> Iterator[Ris]:
    with listening_ris() as listening:
        yield listening
