"""Which association may begin: how many, from whom, how often, how much it proposes."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dicom_node.receive.limits import ReceiveLimits

MINUTE_S = 60.0
LIMIT_EXCEEDED = (0x02, 0x03, 0x02)
"""Rejected transient, service provider (presentation): local limit exceeded (PS3.8 9.3.4)."""
CONGESTION = (0x02, 0x03, 0x01)
"""Rejected transient, service provider (presentation): temporary congestion."""
NO_REASON = (0x01, 0x01, 0x01)
"""Rejected permanent, service user: no reason given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why an association may not begin.

    Attributes
    ----------
    code : str
        As counted.
    reason : str
        For the log.
    answer : tuple of int
        Result, source and diagnostic of the A-ASSOCIATE-RJ.
    """

    code: str
    reason: str
    answer: tuple[int, int, int]


class Admission:
    """Counts those who were let in; an association that ended counts no more by itself.

    Parameters
    ----------
    limits : ReceiveLimits
        What is allowed.
    clock : callable
        Seconds that only rise.
    """

    def __init__(self, limits: ReceiveLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._inside: list[Any] = []
        self._begun: dict[str, deque[float]] = defaultdict(deque)

    def admit(self, assoc: Any, host: str, contexts: int) -> Refusal | None:
        """Let a pynetdicom association in, or say why not."""
        limits = self._limits
        if contexts > limits.maximum_contexts:
            return Refusal(
                code="refused_contexts",
                reason=f"{contexts} presentation contexts, limit {limits.maximum_contexts}",
                answer=NO_REASON,
            )
        with self._lock:
            if self._is_too_often(host):
                return Refusal(
                    code="refused_rate",
                    reason=f"{limits.associations_per_minute} associations within a minute",
                    answer=CONGESTION,
                )
            self._inside = [item for item in self._inside if _is_open(item)]
            theirs = sum(item.requestor.address == host for item in self._inside)
            if len(self._inside) >= limits.maximum_associations:
                return Refusal(
                    code="refused_busy",
                    reason=f"{len(self._inside)} associations are open",
                    answer=LIMIT_EXCEEDED,
                )
            if theirs >= limits.maximum_associations_per_peer:
                return Refusal(
                    code="refused_busy_peer",
                    reason=f"{theirs} associations of this peer are open",
                    answer=LIMIT_EXCEEDED,
                )
            self._inside.append(assoc)
        return None

    def _is_too_often(self, host: str) -> bool:
        limit = self._limits.associations_per_minute
        if not limit:
            return False
        now = self._clock()
        for known in list(self._begun):
            times = self._begun[known]
            while times and times[0] <= now - MINUTE_S:
                times.popleft()
            if not times:
                del self._begun[known]
        if len(self._begun[host]) >= limit:
            return True
        self._begun[host].append(now)
        return False


def _is_open(assoc: Any) -> bool:
    ended = assoc.is_rejected or assoc.is_aborted or assoc.is_released
    return bool(assoc.is_alive() and not ended)
