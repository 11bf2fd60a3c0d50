"""One day of a large hospital's chest CTs: when each comes, from which scanner, and how.

Made up from a seed. The curve of a day with a morning peak, bursts of several scanners at once,
and what goes wrong are assumptions, written down here; no hospital's record stands behind them.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator
from dataclasses import dataclass

DAY_S = 86_400.0
PER_HOUR = (1, 1, 1, 1, 1, 2, 4, 8, 12, 13, 12, 10, 8, 9, 10, 9, 7, 5, 4, 3, 3, 2, 2, 1)
"""Weight of each hour: few at night, most between 8 and 11, an afternoon below the morning."""
IN_BURSTS = 0.2
"""Share of the studies that come at the same moment as others."""
SCANNERS = ("CT_ER", "CT_ER2", "CT_WARD", "CT_WARD2", "CT_ONCO", "CT_OUT", "CT_OUT2", "CT_CARDIO")
BAD = 0.02
STRANGERS = 0.01
"""Studies more, from an AE title that may not call."""


class Kind(enum.StrEnum):
    """How a study is sent, and what is wrong with it."""

    PLAIN = "plain"
    """One series over one association."""
    TWO_ASSOCIATIONS = "two associations"
    """Its series in two halves, one after the other."""
    LATE_MIDDLE = "late slices"
    """Some slices from the middle come late; the series waits for them."""
    LATE_END = "late end"
    """The last slices come so late that there may be a result without them: a new revision."""
    RESENT = "sent twice"
    """The whole series comes again later."""
    TRUNCATED = "a file cut short"
    MISSING = "slices missing"
    NOT_CT = "not a CT"
    FOREIGN = "a slice of another patient"
    STRANGER = "unknown caller"
    """An AE title that is not let in."""


GOOD = {
    Kind.PLAIN: 68,
    Kind.TWO_ASSOCIATIONS: 14,
    Kind.LATE_MIDDLE: 6,
    Kind.LATE_END: 4,
    Kind.RESENT: 8,
}
"""Weights among those that are to be analysed."""
BAD_KINDS = (Kind.TRUNCATED, Kind.MISSING, Kind.NOT_CT, Kind.FOREIGN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One study with one series; `at_s` is when its first image leaves, seconds of the day."""

    number: int
    at_s: float
    scanner: str
    kind: Kind

    @property
    def is_good(self) -> bool:
        """Whether a result must come of it."""
        return self.kind in GOOD


def plan_day(studies: int, *, burst: int = 6, seed: int = 0) -> tuple[Study, ...]:
    """The studies of a day, in the order in which they come.

    Parameters
    ----------
    studies : int
        Those from known callers; every kind of `BAD_KINDS` comes at least once, and one stranger.
    burst : int
        How many scanners send at once in a burst.
    """
    chance = random.Random(seed)  # noqa: S311 - a made-up day guards nothing
    kinds = list(_kinds(chance, studies))
    chance.shuffle(kinds)
    moments = _moments(chance, len(kinds), burst)
    free = list(SCANNERS)
    planned = []
    for number, (at_s, kind) in enumerate(zip(moments, kinds, strict=True)):
        if number % len(free) == 0:
            chance.shuffle(free)
        scanner = "STRANGER" if kind is Kind.STRANGER else free[number % len(free)]
        planned.append(Study(number=number, at_s=at_s, scanner=scanner, kind=kind))
    return tuple(planned)


def _kinds(chance: random.Random, studies: int) -> Iterator[Kind]:
    bad = max(len(BAD_KINDS), round(BAD * studies))
    for number in range(bad):
        yield BAD_KINDS[number % len(BAD_KINDS)]
    for number in range(studies - bad):
        # each kind of good ones comes in a small day as well
        yield (
            list(GOOD)[number]
            if number < len(GOOD)
            else chance.choices(list(GOOD), list(GOOD.values()))[0]
        )
    for _ in range(max(1, round(STRANGERS * studies))):
        yield Kind.STRANGER


def _moments(chance: random.Random, count: int, burst: int) -> list[float]:
    """When they come, in order; those of a burst at the same second."""
    moments: list[float] = []
    while len(moments) < count:
        hour = chance.choices(range(24), PER_HOUR)[0]
        at_s = min(DAY_S - 1.0, (hour + chance.random()) * 3600.0)
        # a draw makes `burst` studies or one: so many draws are bursts that the share comes out
        share = IN_BURSTS / (IN_BURSTS + burst * (1 - IN_BURSTS))
        moments += [at_s] * (burst if chance.random() < share else 1)
    return sorted(moments[:count])
