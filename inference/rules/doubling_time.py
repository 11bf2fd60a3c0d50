"""Volume doubling time between two examinations.

``VDT = days * ln 2 / ln(V2 / V1)``: exponential growth. A change of the volume under 25 % lies
within the error of volumetry and gives none.

Deliberately absent: which nodule is the prior's; and a doubling time from diameters, whose error
counts three times.

References
----------
Schwartz, Cancer 1961;14:1272 (formula). BTS guideline, Callister et al., Thorax 2015;70 Suppl
2:ii1 (25 %; 400 and 600 days). NELSON, van Klaveren et al., N Engl J Med 2009;361:2221 (25 %;
400 and 600 days). Both paces are for solid nodules; subsolid cancers grow slower.
"""

from __future__ import annotations

import math

from inference.findings import GrowthEstimate, PriorNodule

SIGNIFICANT_CHANGE = 0.25
"""Of the earlier volume, either way."""
FAST_DAYS = 400.0
"""BTS: up to it further work-up; NELSON: below it a positive test."""
SLOW_DAYS = 600.0
"""Beyond it a benign nodule is likelier."""
CHANGE_DECIMALS = 9
"""Of the ratio: 125 / 100 is 25 %, whatever binary fractions make of it."""


def volume_doubling_time(
    *, prior_volume_mm3: float, volume_mm3: float, days: float
) -> GrowthEstimate:
    """What became of a volume, and in how many days it would double.

    Parameters
    ----------
    prior_volume_mm3, volume_mm3 : float
        Of the earlier and the later examination, by the same method; mm3, over 0.
    days : float
        Between them; over 0.

    Raises
    ------
    ValueError
        If a volume or the interval is not over 0.
    """
    for name, value in (
        ("prior volume", prior_volume_mm3),
        ("volume", volume_mm3),
        ("interval", days),
    ):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value:g}, wanted over 0")
    ratio = volume_mm3 / prior_volume_mm3
    change = round(ratio - 1, CHANGE_DECIMALS)
    percent = 100 * (ratio - 1)
    if change <= -SIGNIFICANT_CHANGE:
        return GrowthEstimate(
            volume_change_percent=percent,
            doubling_days=None,
            change="shrinking",
            pace=None,
            why=f"volume {percent:+.0f} % in {days:.0f} days: smaller, no doubling time",
        )
    if change < SIGNIFICANT_CHANGE:
        return GrowthEstimate(
            volume_change_percent=percent,
            doubling_days=None,
            change="stable",
            pace=None,
            why=f"volume {percent:+.0f} % in {days:.0f} days: under 25 %, the error of volumetry",
        )
    doubling_days = days * math.log(2) / math.log(ratio)
    return GrowthEstimate(
        volume_change_percent=percent,
        doubling_days=doubling_days,
        change="growing",
        pace=(
            "fast"
            if doubling_days <= FAST_DAYS
            else "intermediate"
            if doubling_days <= SLOW_DAYS
            else "slow"
        ),
        why=f"volume {percent:+.0f} % in {days:.0f} days: doubles in {doubling_days:.0f} days",
    )


def growth_since(prior: PriorNodule, *, volume_mm3: float) -> GrowthEstimate | None:
    """`volume_doubling_time` since a prior; `None` where its volume is unknown."""
    if prior.volume_mm3 is None:
        return None
    return volume_doubling_time(
        prior_volume_mm3=prior.volume_mm3, volume_mm3=volume_mm3, days=prior.days_before
    )
