"""The model's level of a nodule and what it rests on; plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarCase:
    """A typical case that a grade rests on."""

    case_id: str
    similarity: float
    """0 to 1, as the grader's networks see it on average."""
    level: str
    evidence: Literal["reader-rated", "confirmed"]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalityShare:
    """What a modality did for a grade; `None` where there was only one."""

    present: bool
    """Known of this nodule."""
    attention: float | None = None
    """Its weight in the fusion; the weights of the present ones sum to 1."""
    contribution: float | None = None
    """By how much the suspicion falls when it is taken away."""
    masked: bool = False
    """Known and not used: it may not count here."""
    simulated: bool = False
    """Used, by weights that learned what it means from simulated patients."""


NOT_GRADED = "no grader was at work"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleGrade:
    """The model's level of a nodule, learned from readers' opinion; or why there is none."""

    withheld: str | None = None
    level: Literal["I", "II", "III", "IV"] | None = None
    patent_grade: str | None = None
    probabilities: tuple[float, ...] = ()
    """Of levels I to IV, calibrated."""
    suspicion: float | None = None
    """Probability that the mean rating of readers exceeds 3; no probability of cancer."""
    modalities: Mapping[str, ModalityShare] = field(default_factory=dict)
    similar_cases: tuple[SimilarCase, ...] = ()


UNGRADED = NoduleGrade(withheld=NOT_GRADED)
