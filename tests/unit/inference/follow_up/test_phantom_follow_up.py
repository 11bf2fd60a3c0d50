"""Two CTs of one simulated patient with known growth, lying otherwise, in other grids."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.findings import CaseFindings, ClinicalContext, Nodule
from inference.follow_up.exam import PriorExam
from inference.phantom import PhantomNodule, PhantomSpec, make_phantom
from inference.pipeline import analyse
from tests.unit.inference.follow_up.exams import exam_of
from tests.unit.inference.moved import lying_otherwise, moved

GROWING, STEADY = (-57.955, 18.479, 88.233), (69.653, 54.072, 61.185)
GONE, ARISEN = (-103.673, -36.739, -42.619), (96.385, -21.519, -1.535)
DAYS = 200.0
THEN = {GROWING: 10.0, STEADY: 12.0, GONE: 11.0}
NOW = {GROWING: 13.0, STEADY: 12.5, ARISEN: 10.0}


@dataclass(frozen=True)
class FollowedUp:
    then: CaseFindings
    exam: PriorExam
    now: CaseFindings
    motion: NDArray[np.float64]

    def nodule_at(self, place: tuple[float, float, float]) -> Nodule:
        wanted = moved(self.motion, list(place))
        return min(self.now.nodules, key=lambda item: math.dist(item.centre_lps_mm, wanted))


def nodules(sizes: dict[Any, float]) -> tuple[PhantomNodule, ...]:
    return tuple(PhantomNodule(diameter_mm=mm, centre_lps_mm=at) for at, mm in sizes.items())


@pytest.fixture(scope="module")
def followed() -> FollowedUp:
    before = make_phantom(
        PhantomSpec(
            pixels=256,
            pixel_spacing_mm=1.3,
            slices=104,
            slice_spacing_mm=2.5,
            nodules=nodules(THEN),
        )
    )
    after, motion = lying_otherwise(
        PhantomSpec(
            pixels=288,
            pixel_spacing_mm=1.15,
            slices=130,
            slice_spacing_mm=2.0,
            nodules=nodules(NOW),
        ),
        turned_deg=(4.0, -6.0, 10.0),
        shift_mm=(25.0, -15.0, 400.0),
    )
    then = analyse(before.volume)
    exam = exam_of(then, before.volume, days=DAYS)
    now = analyse(after.volume, prior=exam, context=ClinicalContext(screening_exam=True))
    return FollowedUp(then=then, exam=exam, now=now, motion=motion)


def test_both_examinations_list_what_is_there(followed: FollowedUp) -> None:
    assert len(followed.then.nodules) == len(THEN)
    assert len(followed.now.nodules) == len(NOW)
    assert followed.now.follow_up is not None
    assert followed.now.follow_up.compared


@pytest.mark.parametrize("place", [GROWING, STEADY])
def test_every_nodule_that_is_in_both_is_matched_and_its_change_is_right(
    followed: FollowedUp, place: tuple[float, float, float]
) -> None:
    change = followed.nodule_at(place).change
    truth = (NOW[place] / THEN[place]) ** 3

    assert change is not None
    assert change.matched_by == "place"
    listed = next(item for item in followed.exam.findings if item.key == change.prior_key)
    assert listed.centre_lps_mm is not None
    assert math.dist(listed.centre_lps_mm, place) < 2.0
    assert change.growth is not None
    assert 1 + change.growth.volume_change_percent / 100 == pytest.approx(truth, rel=0.1)


def test_the_doubling_time_is_right_and_withheld_under_25_percent(followed: FollowedUp) -> None:
    growing = followed.nodule_at(GROWING).change
    steady = followed.nodule_at(STEADY).change

    assert growing is not None
    assert growing.growth is not None
    assert growing.status == "grown"
    truth_days = DAYS * math.log(2) / math.log((13.0 / 10.0) ** 3)
    # 10 % of the volume ratio are 13 % of its logarithm here.
    assert growing.growth.doubling_days == pytest.approx(truth_days, rel=0.13)
    assert steady is not None
    assert steady.growth is not None
    assert steady.status == "stable"
    assert steady.growth.doubling_days is None


def test_new_and_resolved_are_told_apart(followed: FollowedUp) -> None:
    arisen = followed.nodule_at(ARISEN)

    assert arisen.change is not None
    assert arisen.change.status == "new"
    assert followed.now.follow_up is not None
    gone = followed.now.follow_up.unlisted
    assert [item.status for item in gone] == ["resolved"]
    assert gone[0].place_lps_mm is not None
    assert math.dist(gone[0].place_lps_mm, moved(followed.motion, list(GONE))) < 8.0


def test_lung_rads_goes_by_its_follow_up_rows(followed: FollowedUp) -> None:
    assert "growing solid nodule" in followed.nodule_at(GROWING).lung_rads.why
    assert followed.nodule_at(GROWING).lung_rads.category == "4B"
    assert "stable" in followed.nodule_at(STEADY).lung_rads.why
    assert "new" in followed.nodule_at(ARISEN).lung_rads.why
    assert "as at baseline" not in followed.now.exam_lung_rads.why
    assert any("never on patients' real follow-ups" in text for text in followed.now.limits)
