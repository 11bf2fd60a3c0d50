"""What became of one nodule, from its sizes then and now."""

from __future__ import annotations

from typing import Literal

from inference.findings import GrowthEstimate, Measurements, Nodule, NoduleChange, PriorNodule
from inference.follow_up.exam import PriorExam, PriorFinding
from inference.follow_up.look import Seen
from inference.rules.doubling_time import growth_since
from inference.rules.lung_rads_growth import GROWTH_MM

BY_CHANGE: dict[str, Literal["grown", "stable", "shrunk"]] = {
    "growing": "grown",
    "stable": "stable",
    "shrinking": "shrunk",
}
HOW = {
    "place": "at the same place",
    "search": "not listed then, but seen in that CT at the same place",
    "size": "same side, type and size, without that CT: less certain",
}


def as_listed(finding: PriorFinding, exam: PriorExam) -> PriorNodule:
    """A nodule as the earlier result gives it."""
    return PriorNodule(
        mean_diameter_mm=finding.mean_diameter_mm,
        nodule_type=finding.type,
        days_before=exam.days_before,
        solid_mean_diameter_mm=finding.solid_mean_diameter_mm,
        volume_mm3=finding.volume_mm3,
        category=finding.category,
    )


def as_seen(seen: Seen, exam: PriorExam, category: str | None = None) -> PriorNodule:
    """A nodule as it is measured now in the earlier CT."""
    return PriorNodule(
        mean_diameter_mm=seen.measurements.mean_diameter_mm,
        nodule_type=seen.type,
        days_before=exam.days_before,
        solid_mean_diameter_mm=seen.measurements.solid_mean_diameter_mm,
        volume_mm3=seen.measurements.volume_mm3,
        category=category,
    )


def change_since(
    nodule: Nodule,
    prior: PriorNodule,
    *,
    matched_by: Literal["place", "search", "size"],
    key: str | None,
    distance_mm: float | None,
) -> NoduleChange:
    """The change of a matched nodule: by its volume, else by its mean diameter."""
    measured = nodule.measurements
    growth = growth_since(prior, volume_mm3=measured.volume_mm3)
    difference_mm = measured.mean_diameter_mm - prior.mean_diameter_mm
    status = BY_CHANGE[growth.change] if growth else _by_diameter(difference_mm)
    return NoduleChange(
        status=status,
        why=_why(measured, prior, growth, difference_mm, HOW[matched_by]),
        prior=prior,
        prior_key=key,
        matched_by=matched_by,
        growth=growth,
        diameter_change_mm=difference_mm,
        distance_mm=distance_mm,
    )


def _by_diameter(difference_mm: float) -> Literal["grown", "stable", "shrunk"]:
    """Lung-RADS's 1.5 mm either way, where no volume is known."""
    if difference_mm > GROWTH_MM:
        return "grown"
    return "shrunk" if difference_mm < -GROWTH_MM else "stable"


def _why(
    measured: Measurements,
    prior: PriorNodule,
    growth: GrowthEstimate | None,
    difference_mm: float,
    how: str,
) -> str:
    by_volume = growth.why if growth else f"in {prior.days_before:.0f} days, no volume then"
    return (
        f"mean diameter {prior.mean_diameter_mm:.1f} mm then, {measured.mean_diameter_mm:.1f} mm "
        f"now ({difference_mm:+.1f} mm); {by_volume}; {how}"
    )
