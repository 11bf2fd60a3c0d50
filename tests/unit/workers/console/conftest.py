from __future__ import annotations

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from workers.usecases import passwords


@pytest.fixture(autouse=True, scope="session")
def _quick_passwords() -> Iterator[None]:
    """Digests of the same kind that take no time; one test looks at the real ones."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", quick)
        patch.setattr(passwords, "NOBODYS", quick.hash("nobody's"))
        yield
