from __future__ import annotations

from datetime import date

import pytest

from workers.bank.answers import Told, make_answer
from workers.errors import BankChangeRefused

TODAY = date(2026, 3, 1)


def answer(told: Told) -> tuple[float, str, str]:
    made = make_answer(told, by="Dr. One", at="now", today=TODAY)
    return made.rating, made.evidence, made.basis


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (Told(rating=2.5), (2.5, "reader-rated", "rating")),
        (Told(rating=1, evidence="reader-rated"), (1.0, "reader-rated", "rating")),
        (
            Told(outcome="benign", evidence="histology", on=date(2026, 3, 1)),
            (1.0, "confirmed", "histology"),
        ),
        (
            Told(outcome="malignant", evidence="histology", on=date(2025, 1, 1)),
            (5.0, "confirmed", "histology"),
        ),
        (
            Told(
                outcome="benign",
                evidence="stable-2-years",
                since=date(2024, 2, 29),
                on=date(2026, 3, 1),
            ),
            (1.0, "confirmed", "stable-2-years"),
        ),
    ],
)
def test_an_answer_is_confirmed_only_by_histology_or_two_years(
    told: Told, wanted: tuple[float, str, str]
) -> None:
    assert answer(told) == wanted


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (Told(), "one of --rating and --outcome"),
        (Told(rating=3, outcome="benign"), "one of --rating and --outcome"),
        (Told(rating=6), "6 is not in 1 to 5"),
        (Told(rating=float("nan")), "not in 1 to 5"),
        (Told(rating=3, evidence="histology"), "a rating is reader-rated"),
        (Told(rating=3, on=TODAY), "--date: goes with --outcome"),
        (Told(outcome="unclear", evidence="histology", on=TODAY), "unclear is neither"),
        (Told(outcome="benign"), "needs histology or two years"),
        (Told(outcome="benign", evidence="reader-rated"), "needs histology or two years"),
        (Told(outcome="benign", evidence="histology"), "--date: is missing"),
        (Told(outcome="benign", evidence="histology", on=date(2026, 3, 2)), "in the future"),
        (
            Told(outcome="malignant", evidence="stable-2-years", on=TODAY, since=date(2020, 1, 1)),
            "no proof of cancer",
        ),
        (Told(outcome="benign", evidence="stable-2-years", on=TODAY), "--since: is missing"),
        (
            Told(outcome="benign", evidence="stable-2-years", on=TODAY, since=date(2024, 3, 2)),
            "less than 2 years",
        ),
    ],
)
def test_an_answer_that_does_not_hold_together_is_refused(told: Told, message: str) -> None:
    with pytest.raises(BankChangeRefused, match=message):
        answer(told)
