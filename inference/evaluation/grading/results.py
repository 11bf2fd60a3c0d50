"""Answers of a cross-validation -> one dictionary of figures, as it is written to JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.grading.crossval import RANDOM_30, CrossValidated, FoldResult
from inference.evaluation.grading.entrants import Entrant
from inference.evaluation.grading.metrics import (
    Probabilities,
    calibration_error,
    error_by_chance,
    grade_areas,
    macro_area,
    score,
    to_binary,
)
from inference.evaluation.grading.significance import (
    ROUNDS,
    bootstrap_figures,
    delong,
    differences,
    mcnemar,
)
from inference.grading.table import ModalityTable
from inference.training.grading.losses import MISSING_DROP_AT_MOST

GRAPH = "graph"
FULL = "full"
"""What variants are compared with: the graph with as many configurations as they try, one."""
NOT_WORSE = -0.01
"""The graph counts as no worse than a baseline if the interval of the difference lies above."""


class Figures:
    """Figures of a cross-validation on one table.

    Parameters
    ----------
    found : CrossValidated
        Answers.
    entrants : mapping of name to Entrant
        Those that answered.
    table : ModalityTable
        The rows, ratings known.
    binary : bool
        Benign against malignant (mean rating above 3) instead of four grades.
    nodules_are_rows : bool
        Whether tests that take rows as independent fit (D1).
    """

    def __init__(
        self,
        found: CrossValidated,
        entrants: Mapping[str, Entrant],
        table: ModalityTable,
        *,
        binary: bool,
        nodules_are_rows: bool,
    ) -> None:
        self._found = found
        self._entrants = entrants
        self._table = table
        self._binary = binary
        self._nodules_are_rows = nodules_are_rows
        self.grades = (table.rating > 3).astype(np.int64) if binary else table.grades
        self.seeds = tuple(next(iter(found.results.values())))
        whole = [found.out_of_fold(name, s, len(table)) for name in entrants for s in self.seeds]
        self.tested = np.all([np.isfinite(answers[:, 0]) for answers in whole], axis=0)

    def answers(self, name: str) -> list[Probabilities]:
        """Calibrated out-of-fold answers to the tested rows, one array per seed."""
        rows = len(self._table)
        return [
            self._view(self._found.out_of_fold(name, seed, rows)[self.tested])
            for seed in self.seeds
        ]

    def truth(self) -> NDArray[np.int64]:
        """Grades of the tested rows."""
        return self.grades[self.tested]

    def summarise(
        self, *, rounds: int = ROUNDS, told: Callable[[str], None] = lambda _: None
    ) -> dict[str, Any]:
        """``models``, ``paired`` and ``graph_against_best`` (see docs/grading.md)."""
        models = {name: self._model(name) for name in self._entrants}
        told(f"resampling patients {rounds} times")
        boot = bootstrap_figures(
            {name: self.answers(name) for name in self._entrants},
            self.truth(),
            self._table.patients[self.tested],
            rounds=rounds,
        )
        baselines = [n for n, entrant in self._entrants.items() if entrant.kind == "baseline"]
        reference = next(
            (name for name in (GRAPH, FULL) if name in models),
            _best(models, baselines or models, "auc_ovr"),
        )
        paired = {
            f"{reference} - {name}": self._pair(reference, name, boot)
            for name in models
            if name != reference
        }
        if FULL in models:
            paired |= {
                f"{FULL} - {name}": self._pair(FULL, name, boot)
                for name, entrant in self._entrants.items()
                if entrant.kind == "variant" and name != FULL
            }
        verdict: dict[str, Any] = {}
        if GRAPH in models and baselines:
            for key in ("auc_ovr", "qwk"):
                best = _best(models, baselines, key)
                apart = paired[f"{GRAPH} - {best}"][key]
                verdict[key] = {
                    "baseline": best, **apart, "at_least": NOT_WORSE,
                    "holds": apart["low"] >= NOT_WORSE,
                }  # fmt: skip
        return {"models": models, "paired": paired, "graph_against_best": verdict or None}

    def _view(self, probabilities: Probabilities) -> Probabilities:
        return to_binary(probabilities) if self._binary else probabilities

    def _model(self, name: str) -> dict[str, Any]:
        folds = self._folds(name)
        scores = [
            score(
                self._view(fold.probabilities),
                self.grades[fold.rows],
                self._table.rating[fold.rows],
            )
            for fold in folds
        ]
        answers, truth = self.answers(name), self.truth()
        pooled = np.concatenate(answers)
        errors = [calibration_error(one, truth) for one in answers]
        raw = np.concatenate([self._view(fold.raw) for fold in folds])
        raw_truth = np.concatenate([self.grades[fold.rows] for fold in folds])
        configs = Counter(str(fold.facts["config"]) for fold in folds)
        return {
            "kind": self._entrants[name].kind,
            **{key: _spread([one[key] for one in scores]) for key in scores[0]},
            "ece": _spread(errors),
            "ece_pooled": calibration_error(pooled, np.tile(truth, len(answers))),
            "ece_if_perfect": error_by_chance(answers[0]),
            "ece_uncalibrated": calibration_error(raw, raw_truth),
            "grade_areas": np.mean([grade_areas(one, truth) for one in answers], axis=0).tolist(),
            "missing": self._areas(folds, "missing"),
            "missing_drop": self._missing_drop(folds),
            "native": self._areas(folds, "native"),
            "chosen": dict(configs.most_common()),
        }

    def _folds(self, name: str) -> list[FoldResult]:
        return [fold for by_fold in self._found.results[name].values() for fold in by_fold.values()]

    def _areas(self, folds: Iterable[FoldResult], group: str) -> dict[str, float]:
        """Mean macro ROC area over folds, by what is missing."""
        areas: dict[str, list[float]] = {}
        for fold in folds:
            for key, values in getattr(fold, group).items():
                area = macro_area(self._view(values), self.grades[fold.rows])
                areas.setdefault(key, []).append(area)
        return {key: float(np.mean(values)) for key, values in areas.items()}

    def _missing_drop(self, folds: Sequence[FoldResult]) -> dict[str, Any] | None:
        """The modality whose absence costs most area, before calibration as the others."""
        areas = {
            key: area for key, area in self._areas(folds, "missing").items() if key != RANDOM_30
        }
        if not areas:
            return None
        whole = np.mean(
            [macro_area(self._view(fold.raw), self.grades[fold.rows]) for fold in folds]
        )
        drops = {key: float(whole - area) for key, area in areas.items()}
        worst = max(drops, key=lambda key: abs(drops[key]))
        return {
            "modality": worst, "drop": drops[worst], "at_most": MISSING_DROP_AT_MOST,
            "holds": abs(drops[worst]) <= MISSING_DROP_AT_MOST,
        }  # fmt: skip

    def _pair(
        self, first: str, second: str, boot: Mapping[str, NDArray[np.float64]]
    ) -> dict[str, Any]:
        apart = differences(boot[first], boot[second])
        pair: dict[str, Any] = {key: _difference(asdict(value)) for key, value in apart.items()}
        pair |= {"delong": None, "mcnemar_p": None}
        if self._nodules_are_rows:
            one, two = (np.mean(self.answers(name), axis=0) for name in (first, second))
            truth = self.truth()
            half = one.shape[1] // 2
            positive = truth >= half
            area, other, p = delong(one[:, half:].sum(axis=1), two[:, half:].sum(axis=1), positive)
            pair["delong"] = {"suspicion_auc": [area, other], "p": p}
            pair["mcnemar_p"] = mcnemar(one.argmax(axis=1) == truth, two.argmax(axis=1) == truth)
        return pair


def _difference(value: dict[str, float]) -> dict[str, float]:
    return {"difference": value["value"], "low": value["low"], "high": value["high"]}


def _spread(values: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation over folds (or seeds)."""
    return {"mean": float(np.mean(values)), "sd": float(np.std(values))}


def _best(models: Mapping[str, Any], names: Iterable[str], key: str) -> str:
    return max(names, key=lambda name: models[name][key]["mean"])
