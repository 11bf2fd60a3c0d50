"""Volume doubling time: worked examples, what is withheld."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.rules.doubling_time import growth_since, volume_doubling_time
from tests.unit.inference.rules.examples import prior


@pytest.mark.parametrize(
    ("before_mm3", "now_mm3", "days", "doubling_days", "pace"),
    [
        (100.0, 200.0, 90.0, 90.0, "fast"),  # doubled: the interval itself
        (100.0, 400.0, 90.0, 45.0, "fast"),  # doubled twice
        # spheres of 6 and 8 mm: ratio (8/6)^3 = 2.37037, ln 0.863046; 180 * 0.693147 / 0.863046
        (113.0973, 268.0826, 180.0, 144.565, "fast"),
        # ratio 1.25, ln 0.223144; 180 * 0.693147 / 0.223144
        (100.0, 125.0, 180.0, 559.13, "intermediate"),
        # 250 * 0.693147 / 0.223144
        (100.0, 125.0, 250.0, 776.57, "slow"),
        (100.0, 200.0, 400.0, 400.0, "fast"),
        (100.0, 200.0, 400.1, 400.1, "intermediate"),
        (100.0, 200.0, 600.0, 600.0, "intermediate"),
        (100.0, 200.0, 600.1, 600.1, "slow"),
    ],
)
def test_doubling_time(
    before_mm3: float, now_mm3: float, days: float, doubling_days: float, pace: str
) -> None:
    found = volume_doubling_time(prior_volume_mm3=before_mm3, volume_mm3=now_mm3, days=days)

    assert found.doubling_days == pytest.approx(doubling_days, rel=1e-4)
    assert (found.change, found.pace) == ("growing", pace)


@pytest.mark.parametrize(
    ("now_mm3", "percent", "change"),
    [
        (124.9, 24.9, "stable"),
        (100.0, 0.0, "stable"),
        (75.1, -24.9, "stable"),
        (75.0, -25.0, "shrinking"),
        (10.0, -90.0, "shrinking"),
    ],
)
def test_it_is_withheld_under_25_percent_and_for_what_became_smaller(
    now_mm3: float, percent: float, change: str
) -> None:
    found = volume_doubling_time(prior_volume_mm3=100.0, volume_mm3=now_mm3, days=100.0)

    assert found.volume_change_percent == pytest.approx(percent)
    assert (found.change, found.doubling_days, found.pace) == (change, None, None)


@given(volume_mm3=st.floats(1, 1e5))
def test_a_quarter_more_is_growth_at_every_size(volume_mm3: float) -> None:
    found = volume_doubling_time(
        prior_volume_mm3=volume_mm3, volume_mm3=1.25 * volume_mm3, days=90.0
    )

    assert found.change == "growing"


@given(ratios=st.tuples(st.floats(1.26, 50), st.floats(1.26, 50)), days=st.floats(1, 4000))
def test_the_more_a_nodule_grew_the_sooner_it_doubles(
    ratios: tuple[float, float], days: float
) -> None:
    less, more = (
        volume_doubling_time(prior_volume_mm3=100.0, volume_mm3=100.0 * ratio, days=days)
        for ratio in sorted(ratios)
    )

    assert less.doubling_days is not None
    assert more.doubling_days is not None
    assert more.doubling_days <= less.doubling_days


@pytest.mark.parametrize(
    ("before_mm3", "now_mm3", "days", "name"),
    [
        (0.0, 1.0, 1.0, "prior volume"),
        (1.0, 0.0, 1.0, "volume"),
        (1.0, 1.0, -1.0, "interval"),
        (1.0, float("nan"), 1.0, "volume"),
    ],
)
def test_what_is_not_over_0_is_refused(
    before_mm3: float, now_mm3: float, days: float, name: str
) -> None:
    with pytest.raises(ValueError, match=f"^{name} is"):
        volume_doubling_time(prior_volume_mm3=before_mm3, volume_mm3=now_mm3, days=days)


def test_growth_since_a_prior_needs_its_volume() -> None:
    known = growth_since(prior(6.0, days=90, mm3=100.0), volume_mm3=200.0)

    assert known is not None
    assert known.doubling_days == pytest.approx(90.0)
    assert growth_since(prior(6.0, days=90), volume_mm3=200.0) is None
