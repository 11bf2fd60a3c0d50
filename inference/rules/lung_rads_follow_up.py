"""Lung-RADS v2022: the rows of a nodule that an earlier examination showed.

Growth and a new solid part first, then slow growth, then a size threshold that was crossed, and at
last, for what is stable or smaller, the step down from category 3 or 4A.
"""

from __future__ import annotations

from collections.abc import Sequence

from inference.findings import PriorNodule
from inference.rules.lung_rads_growth import grows, grows_slowly
from inference.rules.lung_rads_table import (
    CHANGED_SOLID_PART_LIMITS_MM,
    GROUND_GLASS_LIMIT_MM,
    GROWING_SOLID_LIMITS_MM,
    Ruling,
    SizedNodule,
    below,
    rank,
    rule_first_seen,
    size_before,
)

STEP_DOWN = {"3": ("2", 150.0, "6-month"), "4A": ("3", 75.0, "3-month")}
"""Category then -> now if stable or smaller, days from which on, and the guideline's follow-up.
It names the appointment and no tolerance; ours is a sixth of the interval."""
SMALLER_MM = 1.5
"""As much as growth, the other way."""


def rule_seen_before(
    now: SizedNodule,
    priors: Sequence[PriorNodule],
    *,
    juxtapleural: bool = False,
    proven_benign: bool = False,
) -> Ruling:
    """The row of a nodule with one or more earlier examinations.

    Parameters
    ----------
    now : SizedNodule
        As it is.
    priors : sequence of PriorNodule
        As it was, in any order; not empty.
    juxtapleural : bool
        As for `rule_first_seen`.
    proven_benign : bool
        By an appropriate work-up.
    """
    if now.nodule_type == "calcified":
        return rule_first_seen(now)
    ordered = sorted(priors, key=lambda prior: prior.days_before)
    latest = ordered[0]
    earlier = [(size_before(prior), prior.days_before) for prior in ordered]
    before = earlier[0][0]
    sizes = [(size.mean_mm, days) for size, days in earlier]
    larger = grows(now.mean_mm, sizes)
    held = "4B" if latest.category == "4X" else latest.category
    changed = _rule_changed(now, earlier, larger=larger)
    if changed is not None:
        return Ruling(category=_higher(changed.category, held), why=changed.why)
    kind = f"{now.nodule_type} nodule {now.mean_mm:.1f} mm, was {before.mean_mm:.1f} mm"
    if now.nodule_type != "ground-glass" and grows_slowly(now.mean_mm, sizes):
        return Ruling(category="4B", why=f"{kind}: grows slowly over {len(sizes) + 1} examinations")
    if proven_benign and not larger:
        return Ruling(category="2", why=f"{kind}: proven benign by work-up")
    if now.nodule_type == before.nodule_type == "ground-glass":
        return _rule_ground_glass(now, before, kind, larger=larger)
    by_size = rule_first_seen(now, juxtapleural=juxtapleural)
    if before.solid_mm is None:
        return Ruling(
            category=_higher(by_size.category, held),
            why=f"{kind}: no step down, as the solid part was not measured before",
        )
    size_then = rule_first_seen(before, juxtapleural=juxtapleural).category
    if larger or rank(by_size.category) > rank(size_then):
        why = f"{kind}: larger" if larger else f"{kind}: crossed a size threshold"
        return Ruling(category=_higher(by_size.category, held), why=why)
    if held == "4B":
        return Ruling(
            category="4B",
            why=f"{kind}: 4B before, and not proven benign",
            offered=_smaller(now, before, by_size),
        )
    if rank(held) < rank("2"):
        return Ruling(
            category=by_size.category,
            why=f"{kind}: stable or smaller; by size, as no category to step down from is known",
        )
    return _step_down(kind, str(held), latest.days_before)


def _rule_changed(
    now: SizedNodule, earlier: Sequence[tuple[SizedNodule, float]], *, larger: bool
) -> Ruling | None:
    """A growing solid nodule; a solid part that is new or grew."""
    before = earlier[0][0]
    if now.nodule_type == "ground-glass" or now.solid_mm is None:
        return None
    solid_before = before.nodule_type in ("solid", "calcified") or before.solid_mm is None
    if now.nodule_type == "solid" and solid_before:
        if not larger:
            return None
        return Ruling(
            category=below(now.mean_mm, GROWING_SOLID_LIMITS_MM),
            why=f"growing solid nodule {now.mean_mm:.1f} mm, was {before.mean_mm:.1f} mm",
        )
    category = below(now.solid_mm, CHANGED_SOLID_PART_LIMITS_MM)
    if before.solid_mm == 0.0 and now.solid_mm > 0.0:
        why = f"ground glass {before.mean_mm:.1f} mm with a new solid part {now.solid_mm:.1f} mm"
        return Ruling(category=category, why=why)
    parts = [(size.solid_mm, days) for size, days in earlier if size.solid_mm is not None]
    if before.solid_mm is None or not grows(now.solid_mm, parts):
        return None
    return Ruling(
        category=category,
        why=f"growing solid part {now.solid_mm:.1f} mm, was {before.solid_mm:.1f} mm",
    )


def _rule_ground_glass(now: SizedNodule, before: SizedNodule, kind: str, *, larger: bool) -> Ruling:
    if now.mean_mm < GROUND_GLASS_LIMIT_MM:
        return Ruling(category="2", why=f"{kind}: below 30 mm")
    if before.mean_mm < GROUND_GLASS_LIMIT_MM:
        return Ruling(category="3", why=f"{kind}: crossed a size threshold")
    if larger:
        return Ruling(category="3", why=f"{kind}: growing, 30 mm or more")
    return Ruling(category="2", why=f"{kind}: 30 mm or more, stable or slowly growing")


def _step_down(kind: str, held: str, days: float) -> Ruling:
    if held not in STEP_DOWN:
        return Ruling(category=held, why=f"{kind}: stable or smaller, {held} before")
    lower, from_days, appointment = STEP_DOWN[held]
    if days < from_days:
        return Ruling(
            category=held,
            why=f"{kind}: stable or smaller after {days:.0f} days, too early to step down",
        )
    return Ruling(
        category=lower,
        why=f"{kind}: category {held} stable or smaller at {appointment} follow-up",
    )


def _smaller(now: SizedNodule, before: SizedNodule, by_size: Ruling) -> tuple[str, ...]:
    if round(before.mean_mm - now.mean_mm, 1) <= SMALLER_MM or rank(by_size.category) >= rank("4B"):
        return ()
    return (f"{by_size.category}: clearly smaller, {by_size.why}",)


def _higher(first: str | None, second: str | None) -> str | None:
    return max((first, second), key=rank)
