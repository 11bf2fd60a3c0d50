"""A site's own test of a grader that is ready: figures on its nodules, and whether they suffice.

Nothing is fitted but a temperature that is told and not used. Two kinds of truth stand apart:
ratings (opinion, four levels) and outcomes (benign or malignant).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inference.attributes import SUBSOLID_AT_MOST
from inference.evaluation.grading.metrics import (
    BINS,
    Grades,
    Probabilities,
    area_under_curve,
    calibration_error,
    error_by_chance,
    grade_areas,
    macro_area,
    reliability,
    to_binary,
    weighted_kappa,
)
from inference.grading.calibration import fit_calibrator
from inference.grading.table import LEVELS, to_grades

Truth = Literal["ratings", "outcomes"]
ROUNDS = 1000
ROWS_PER_BIN, LEAST_BINS = 20, 5
"""With few rows fewer bins: chance alone would fill fifteen with error."""
SUSPICIOUS = 2
"""Levels from III on count as suspicious: the readers' mean rating would exceed 3."""
SMALL_MM, LARGE_MM = 8.0, 15.0
"""Limits of the groups of size, mean diameter (Lung-RADS v2022: solid 4A from 8, 4B from 15)."""
Figure = Callable[[NDArray[np.int64]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteAnswers:
    """N nodules that were graded.

    Attributes
    ----------
    probabilities : ndarray of shape (N, 4)
        Of the levels, as reports show them.
    level : ndarray of shape (N,), dtype int64
        0 to 3, as reports show it: which level the probabilities make is the grader's business.
    patients : ndarray of shape (N,), dtype str
    rating : ndarray of shape (N,)
        1 to 5; NaN is unknown.
    malignant : ndarray of shape (N,)
        0 or 1; NaN is unknown.
    diameter_mm, texture : ndarray of shape (N,)
        Mean diameter, and texture as readers would rate it (1 ground glass, 5 solid); NaN is
        unknown.
    """

    probabilities: Probabilities
    level: Grades
    patients: NDArray[np.str_]
    rating: NDArray[np.float64]
    malignant: NDArray[np.float64]
    diameter_mm: NDArray[np.float64]
    texture: NDArray[np.float64]

    def __len__(self) -> int:
        """N."""
        return len(self.patients)

    def rows(self, kept: NDArray[np.bool_]) -> SiteAnswers:
        """Some of the rows."""
        return SiteAnswers(
            probabilities=self.probabilities[kept],
            level=self.level[kept],
            patients=self.patients[kept],
            rating=self.rating[kept],
            malignant=self.malignant[kept],
            diameter_mm=self.diameter_mm[kept],
            texture=self.texture[kept],
        )

    def known(self, truth: Truth) -> SiteAnswers:
        """Rows whose rating or outcome is known."""
        return self.rows(np.isfinite(self.rating if truth == "ratings" else self.malignant))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a grader must reach at a site.

    Attributes
    ----------
    least_auc : float
        Macro area of the levels where ratings are known, area of the suspicion for outcomes.
    most_ece : float
        Expected calibration error.
    least_rows : int
        Graded rows of a kind of truth; with fewer it decides nothing.
    """

    least_auc: float = 0.75
    most_ece: float = 0.15
    least_rows: int = 50


def measure(
    answers: SiteAnswers, *, seed: int = 0, rounds: int = ROUNDS
) -> dict[Truth, dict[str, Any]]:
    """Figures for each kind of truth that any row has; what cannot be told is `None`."""
    kinds: tuple[Truth, ...] = ("ratings", "outcomes")
    found: dict[Truth, dict[str, Any]] = {}
    for truth in kinds:
        known = answers.known(truth)
        if len(known):
            found[truth] = _measure(known, truth, seed=seed, rounds=rounds)
    return found


def decide(figures: Mapping[Truth, Mapping[str, Any]], limits: Limits) -> dict[str, Any]:
    """Whether a grader may be used: every kind of truth with enough rows must hold.

    Returns
    -------
    dict
        ``passes``, ``checks`` (each `what`, `value`, `limit`, `passes`), ``not_counted`` (kinds
        of truth with too few rows).
    """
    checks: list[dict[str, Any]] = []
    few = {name: one["rows"] for name, one in figures.items() if one["rows"] < limits.least_rows}
    for name, one in figures.items():
        if name in few:
            continue
        auc, ece = one["auc"]["value"], one["calibration"]["ece"]
        checks += [
            {"what": f"{name}: AUC", "value": auc, "limit": f"at least {limits.least_auc:g}",
             "passes": auc is not None and auc >= limits.least_auc},
            {"what": f"{name}: ECE", "value": ece, "limit": f"at most {limits.most_ece:g}",
             "passes": ece <= limits.most_ece},
        ]  # fmt: skip
    most = max((one["rows"] for one in figures.values()), default=0)
    enough = {"what": "graded rows", "value": most, "limit": f"at least {limits.least_rows}",
              "passes": most >= limits.least_rows}  # fmt: skip
    checks.insert(0, enough)
    return {
        "passes": all(check["passes"] for check in checks),
        "checks": checks,
        "not_counted": few,
    }


def _measure(known: SiteAnswers, truth: Truth, *, seed: int, rounds: int) -> dict[str, Any]:
    draws = _draw_patients(known.patients, seed=seed, rounds=rounds)
    if truth == "ratings":
        grades, probabilities = to_grades(known.rating), known.probabilities
        given = known.level
        figures = {
            "auc": _interval(lambda at: macro_area(probabilities[at], grades[at]), draws),
            "auc_suspicion": _suspicion_area(known, grades >= SUSPICIOUS, draws),
            "qwk": _interval(
                lambda at: weighted_kappa(grades[at], given[at], len(LEVELS)), draws
            ),
        }  # fmt: skip
        areas = zip(LEVELS, grade_areas(probabilities, grades), strict=True)
        extra: dict[str, Any] = {
            "levels": dict(zip(LEVELS, np.bincount(grades, minlength=4).tolist(), strict=True)),
            "auc_by_level": {level: _told(area) for level, area in areas},
        }
    else:
        grades, probabilities = known.malignant.astype(np.int64), to_binary(known.probabilities)
        figures = {
            "auc": _suspicion_area(known, grades == 1, draws),
            **_at_level_three(known, grades == 1, draws),
        }
        extra = {"malignant": int(grades.sum()), "benign": int((grades == 0).sum())}
    return {
        "rows": len(known),
        "patients": len(np.unique(known.patients)),
        **extra,
        **figures,
        "calibration": _calibration(probabilities, grades),
        "subgroups": {
            name: _subgroup(known.rows(kept), truth) for name, kept in subgroups(known).items()
        },
    }


def subgroups(answers: SiteAnswers) -> dict[str, NDArray[np.bool_]]:
    """Which rows belong to each group of size and texture."""
    size, texture = answers.diameter_mm, answers.texture
    return {
        f"under {SMALL_MM:g} mm": size < SMALL_MM,
        f"{SMALL_MM:g} to {LARGE_MM:g} mm": (size >= SMALL_MM) & (size <= LARGE_MM),
        f"over {LARGE_MM:g} mm": size > LARGE_MM,
        "solid": texture > SUBSOLID_AT_MOST,
        "subsolid": texture <= SUBSOLID_AT_MOST,
    }


def _subgroup(rows: SiteAnswers, truth: Truth) -> dict[str, Any]:
    """Area of the suspicion, sensitivity and specificity; no intervals, groups are small."""
    bad = _bad(rows, truth)
    flagged = rows.level >= SUSPICIOUS
    return {
        "rows": len(rows),
        "suspicious_truth": int(bad.sum()),
        "auc_suspicion": _told(area_under_curve(_suspicion(rows), bad)),
        "sensitivity": _told(_share(flagged[bad])),
        "specificity": _told(_share(~flagged[~bad])),
    }


def _bad(rows: SiteAnswers, truth: Truth) -> NDArray[np.bool_]:
    if truth == "ratings":
        return np.asarray(to_grades(rows.rating) >= SUSPICIOUS)
    return np.asarray(rows.malignant == 1)


def _at_level_three(
    known: SiteAnswers, malignant: NDArray[np.bool_], draws: list[NDArray[np.int64]]
) -> dict[str, Any]:
    flagged = known.level >= SUSPICIOUS

    def sensitivity(at: NDArray[np.int64]) -> float:
        return _share(flagged[at][malignant[at]])

    def specificity(at: NDArray[np.int64]) -> float:
        return _share(~flagged[at][~malignant[at]])

    return {
        "sensitivity_from_III": _interval(sensitivity, draws),
        "specificity_from_III": _interval(specificity, draws),
    }


def _suspicion_area(
    known: SiteAnswers, positive: NDArray[np.bool_], draws: list[NDArray[np.int64]]
) -> dict[str, float | None]:
    score = _suspicion(known)
    return _interval(lambda at: area_under_curve(score[at], positive[at]), draws)


def _suspicion(rows: SiteAnswers) -> NDArray[np.float64]:
    return np.asarray(rows.probabilities[:, SUSPICIOUS:].sum(axis=1))


def _calibration(probabilities: Probabilities, grades: Grades) -> dict[str, Any]:
    """Error, bins, and by what the temperature in use would have to be multiplied here.

    The suggestion is told with its error on the rows that it was fitted on, which flatters it.
    """
    bins = int(np.clip(len(grades) // ROWS_PER_BIN, LEAST_BINS, BINS))
    again = fit_calibrator(probabilities, grades)
    return {
        "ece": calibration_error(probabilities, grades, bins),
        "ece_by_chance": error_by_chance(probabilities, bins),
        "bins": [
            {"confidence": float(confidence), "right": float(right), "rows": int(rows)}
            for confidence, right, rows in reliability(probabilities, grades, bins)
        ],
        "refitted": {
            "temperature_factor": again.temperature,
            "ece_on_the_same_rows": calibration_error(again.apply(probabilities), grades, bins),
        },
    }


def _draw_patients(
    patients: NDArray[np.str_], *, seed: int, rounds: int
) -> list[NDArray[np.int64]]:
    """Rows of resampled patients, whole patients together; first all rows as they are."""
    random = np.random.default_rng(seed)
    names, whose = np.unique(patients, return_inverse=True)
    order = np.argsort(whose, kind="stable")
    of = np.split(order, np.cumsum(np.bincount(whose))[:-1])
    draws = [np.arange(len(patients))]
    for _ in range(rounds):
        drawn = random.integers(len(names), size=len(names))
        draws.append(np.concatenate([of[one] for one in drawn]))
    return draws


def _interval(figure: Figure, draws: list[NDArray[np.int64]]) -> dict[str, float | None]:
    """A figure with its 95 % interval; draws in which it cannot be told are left out."""
    values = np.array([figure(at) for at in draws])
    some = values[1:][np.isfinite(values[1:])]
    low, high = np.percentile(some, [2.5, 97.5]) if len(some) else (np.nan, np.nan)
    return {"value": _told(values[0]), "low": _told(low), "high": _told(high)}


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else float("nan")


def _told(value: float) -> float | None:
    """`None` for what cannot be told: JSON knows no NaN."""
    return float(value) if math.isfinite(value) else None
