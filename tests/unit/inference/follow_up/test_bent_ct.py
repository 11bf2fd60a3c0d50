"""A real CT against a bent copy of itself: every nodule matched, none invented."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inference.pipeline import analyse
from tests.conftest import need_ct
from tests.unit.inference.follow_up.exams import exam_of
from tests.unit.inference.moved import bent, bent_back, halved
from tests.unit.inference.test_real_ct import read


@pytest.mark.real_ct
def test_every_nodule_of_lidc_0001_is_matched_with_its_bent_self_and_none_is_new() -> None:
    before = halved(read(need_ct("lidc_idri_0001")))
    then = analyse(before)
    now_ct = bent(before)

    now = analyse(now_ct, prior=exam_of(then, before, days=365))

    assert now.follow_up is not None
    assert now.follow_up.compared
    assert now.nodules
    middle = now_ct.index_to_lps((np.array(now_ct.shape) - 1) / 2)
    by_key = {f"1.2.3.{nodule.id}": nodule for nodule in then.nodules}
    for nodule in now.nodules:
        assert nodule.change is not None
        # What only one of the two lists is still found in the other by looking there.
        assert nodule.change.matched_by in ("place", "search")
        if nodule.change.prior_key is not None:
            source = bent_back(np.array([nodule.centre_lps_mm]), middle)[0]
            assert math.dist(source, by_key[nodule.change.prior_key].centre_lps_mm) < 3.0
    assert any(item.change and item.change.matched_by == "place" for item in now.nodules)
    assert all(item.status != "resolved" for item in now.follow_up.unlisted)
