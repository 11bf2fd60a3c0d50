from __future__ import annotations

from tests.integration.conftest import make_recorder, make_service, small_phantom

__all__ = ["make_recorder", "make_service", "small_phantom"]
