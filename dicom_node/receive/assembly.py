"""When is a series complete? Decided from times and geometry alone, without I/O.

DICOM has no end-of-series message, so a series is taken as complete when nothing came for
the quiet time and its geometry has no hole. A hole may still be filled: such a series waits
up to a limit and is then analysed with a warning, or refused, as configured.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Assembly(enum.Enum):
    """What to do with a series now."""

    WAIT = "wait"
    COMPLETE = "complete"
    COMPLETE_WITH_WARNING = "complete_with_warning"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssemblyPolicy:
    """How long to wait, and what then."""

    quiet_time_s: float
    incomplete_wait_s: float
    """Counted from the last instance; at least the quiet time."""
    analyse_incomplete: bool
    """Analyse with a warning after the wait, rather than refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssemblyDecision:
    """The verdict and, unless complete, why."""

    verdict: Assembly
    reason: str = ""


def judge_assembly(
    *,
    now: float,
    last_instance_at: float,
    holes: tuple[str, ...],
    policy: AssemblyPolicy,
    forced: bool = False,
) -> AssemblyDecision:
    """Decide whether a series is complete.

    Parameters
    ----------
    now, last_instance_at : float
        Seconds since the epoch.
    holes : tuple of str
        Geometry problems that late instances could still mend, in words.
    policy : AssemblyPolicy
        The waiting times.
    forced : bool
        An administrator wants it analysed as it is.
    """
    if forced:
        verdict = Assembly.COMPLETE_WITH_WARNING if holes else Assembly.COMPLETE
        return AssemblyDecision(verdict=verdict, reason="; ".join(holes))
    idle_s = now - last_instance_at
    if idle_s < policy.quiet_time_s:
        return AssemblyDecision(
            verdict=Assembly.WAIT,
            reason=f"{idle_s:.0f} s since the last instance, quiet time {policy.quiet_time_s:g} s",
        )
    if not holes:
        return AssemblyDecision(verdict=Assembly.COMPLETE)
    why = "; ".join(holes)
    if idle_s < max(policy.incomplete_wait_s, policy.quiet_time_s):
        return AssemblyDecision(
            verdict=Assembly.WAIT,
            reason=f"{why}: waiting for late instances, limit {policy.incomplete_wait_s:g} s",
        )
    if policy.analyse_incomplete:
        return AssemblyDecision(verdict=Assembly.COMPLETE_WITH_WARNING, reason=why)
    return AssemblyDecision(verdict=Assembly.REFUSE, reason=why)
