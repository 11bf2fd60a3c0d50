"""What a site may let count for a level, and what is refused at start."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from inference.errors import BankRefused, WeightsRefused
from inference.graders import make_grading
from inference.known import BESIDE_PIXELS
from workers.bank.current import find_shipped_bank
from workers.detector_choice import judge_of
from workers.settings import Settings


def test_only_the_report_counts_unless_the_site_says_otherwise() -> None:
    assert Settings().grade_by == ("ct_report",)
    assert Settings().grade_by_simulated == ()


def test_names_come_with_commas_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULMONODE_GRADE_BY", " pet,clinical , ct_report")
    assert Settings().grade_by == ("ct_report", "clinical", "pet")
    assert Settings().grade_by_simulated == ("clinical", "pet")
    monkeypatch.setenv("PULMONODE_GRADE_BY", "")
    assert Settings().grade_by == ()


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValidationError, match="no modality 'serum'") as refused:
        Settings(grade_by="clinical,serum")  # type: ignore[arg-type]
    assert ", ".join(BESIDE_PIXELS) in str(refused.value)


def test_a_sites_bank_has_no_columns_for_what_was_simulated() -> None:
    shipped = find_shipped_bank(Settings()).path

    with pytest.raises(ValidationError, match="grade_by names serology"):
        Settings(grade_by=("serology",), bank_dir=shipped.parent)
    with pytest.raises(BankRefused, match="has no columns of serology, pet"):
        make_grading(bank=shipped, by=("serology", "pet"))
    assert Settings(grade_by=("ct_report",), bank_dir=shipped.parent).bank_dir == shipped.parent


def test_rows_of_nodules_are_judged_by_the_default_grader_only() -> None:
    with pytest.raises(WeightsRefused, match="rows of nodules hold no clinical"):
        judge_of(Settings(grade_by=("clinical",)))
