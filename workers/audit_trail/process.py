"""A process whose start and stop are audited, and which sends what waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workers.audit_trail.forward import Forwarder
from workers.audit_trail.trail import tell_activity
from workers.settings import Settings


@contextmanager
def audited(settings: Settings) -> Iterator[None]:
    """Tell that this process starts and stops; send audit messages meanwhile."""
    forwarder = Forwarder(settings)
    tell_activity(settings, starts=True)
    forwarder.start()
    try:
        yield
    finally:
        tell_activity(settings, starts=False)
        forwarder.stop()
