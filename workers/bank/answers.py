"""What a candidate's answer rests on: an opinion, histology, or two years without growth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal

from workers.errors import BankChangeRefused

if TYPE_CHECKING:  # torch comes with it, and the node has none
    from inference.grading.bank import Evidence

Outcome = Literal["benign", "malignant"]
Basis = Literal["rating", "histology", "stable-2-years"]

RATINGS = (1.0, 5.0)
"""Readers' scale (LIDC-IDRI): 1 highly unlikely, 5 highly suspicious of cancer."""
RATING_OF: dict[str, float] = {"benign": 1.0, "malignant": 5.0}
STABLE_YEARS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to a candidate, and who gave it.

    Attributes
    ----------
    rating : float
        1 to 5.
    evidence : str
        ``confirmed`` only by histology or two years without growth.
    basis : str
    year : int or None
        Of the evidence; no day is kept.
    by, at : str
    """

    rating: float
    evidence: Evidence
    basis: Basis
    year: int | None
    by: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What somebody said of a candidate, not yet looked at.

    Attributes
    ----------
    rating : float, optional
    outcome, evidence : str, optional
    on : date, optional
        Of the histology, or of the last CT of the stable nodule.
    since : date, optional
        Of the first CT of the stable nodule.
    """

    rating: float | None = None
    outcome: str | None = None
    evidence: str | None = None
    on: date | None = None
    since: date | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing was said."""
        return self == Told()


def make_answer(told: Told, *, by: str, at: str, today: date) -> Answer:
    """An answer, when what was said holds together.

    Raises
    ------
    BankChangeRefused
        Saying what is missing or does not fit.
    """
    if (told.rating is None) == (told.outcome is None):
        raise BankChangeRefused(
            "answer", "one of --rating and --outcome is needed, not both", "give one of them"
        )
    if told.rating is not None:
        return _opinion(told, told.rating, by=by, at=at)
    if told.outcome not in RATING_OF:
        raise BankChangeRefused(
            "--outcome", f"{told.outcome} is neither", "say benign or malignant"
        )
    if told.evidence not in ("histology", "stable-2-years"):
        raise BankChangeRefused(
            "--outcome",
            "benign or malignant needs histology or two years without growth",
            "say --evidence histology or stable-2-years, or give an opinion as --rating 1 to 5",
        )
    if told.on is None:
        raise BankChangeRefused("--date", "is missing", f"say when: the day of the {told.evidence}")
    if told.on > today:
        raise BankChangeRefused("--date", f"{told.on} is in the future", "correct it")
    basis: Basis = "histology"
    if told.evidence == "stable-2-years":
        _check_stable(told, told.on)
        basis = "stable-2-years"
    return Answer(
        rating=RATING_OF[told.outcome],
        evidence="confirmed",
        basis=basis,
        year=told.on.year,
        by=by,
        at=at,
    )


def _opinion(told: Told, rating: float, *, by: str, at: str) -> Answer:
    low, high = RATINGS
    if not low <= rating <= high:
        raise BankChangeRefused(
            "--rating", f"{rating:g} is not in {low:g} to {high:g}", "correct it"
        )
    if told.evidence not in (None, "reader-rated"):
        raise BankChangeRefused(
            "--evidence",
            f"{told.evidence} goes with --outcome, a rating is reader-rated",
            "give --outcome benign or malignant",
        )
    if told.on or told.since:
        raise BankChangeRefused("--date", "goes with --outcome", "leave it out")
    return Answer(rating=rating, evidence="reader-rated", basis="rating", year=None, by=by, at=at)


def _check_stable(told: Told, on: date) -> None:
    if told.outcome != "benign":
        raise BankChangeRefused(
            "--outcome", "what is stable for two years is no proof of cancer", "correct it"
        )
    if told.since is None:
        raise BankChangeRefused("--since", "is missing", "give the day of the first CT")
    first = (told.since.year, told.since.month, told.since.day)
    if (on.year - STABLE_YEARS, on.month, on.day) < first:
        raise BankChangeRefused(
            "--since",
            f"{told.since} to {on} is less than {STABLE_YEARS} years",
            "give it as an opinion (--rating) until then",
        )
