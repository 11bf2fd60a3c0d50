from __future__ import annotations

from tests.integration.conftest import make_recorder, redis_url, small_phantom

__all__ = ["make_recorder", "redis_url", "small_phantom"]
