"""Nested cross-validation: every entrant tuned, calibrated and tested on the same patients.

For each seed and each of five folds of patients: the configurations of an entrant (the same
number for all) are compared on inner folds of the training patients; the best one's inner
out-of-fold answers fit its calibrator; it is trained again on all training patients and answers
the test fold once, as it is and with modalities taken away. A finished fold is kept in a file
and found again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.grading.entrants import Config, Entrant
from inference.evaluation.grading.features import drop_at_random
from inference.evaluation.grading.folds import FOLDS, fold_of_rows, patient_folds
from inference.evaluation.grading.metrics import macro_area, weighted_kappa
from inference.grading.calibration import fit_calibrator
from inference.grading.table import LEVELS, ExplainingModel, ModalityTable
from inference.grading.table_file import digest_table

RANDOM_30 = "random_30"
PROTOCOL_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to cross-validate.

    Attributes
    ----------
    seeds : tuple of int
        Each deals the patients anew.
    budget : int
        Configurations that every entrant may try.
    inner_folds : int
        Within the training patients.
    missing : bool
        Answer with each modality taken away, too.
    native : frozenset of str
        Entrants that are also trained without each modality, to compare with.
    outer_folds : tuple of int
        Which of the five are tested; fewer for a quick look.
    bias : bool
        Calibrate with a bias per grade, not only with a temperature: better calibrated where
        there are many rows, but it can change which grade is given.
    cache : Path, optional
        Folder of finished folds.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    budget: int = 3
    inner_folds: int = 3
    missing: bool = True
    native: frozenset[str] = frozenset()
    outer_folds: tuple[int, ...] = tuple(range(FOLDS))
    bias: bool = False
    cache: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldResult:
    """One entrant's answers to one fold.

    Attributes
    ----------
    rows : ndarray of shape (n,), dtype int64
        Of the table.
    raw, probabilities : ndarray of shape (n, 4)
        Before and after calibration.
    inner : ndarray of shape (N - n, 4)
        Out-of-fold answers to the training rows, before calibration: what calibrates.
    missing : mapping of what is missing to ndarray of shape (n, 4)
        Before calibration; `RANDOM_30` beside the modalities.
    native : mapping of modality to ndarray of shape (n, 4)
        Trained without it, before calibration.
    explained : mapping of str to ndarray
        ``embedding`` and ``attention``, if the entrant has them.
    facts : mapping
        ``config``, ``scores`` (of each configuration).
    """

    rows: NDArray[np.int64]
    raw: NDArray[np.float64]
    inner: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    missing: Mapping[str, NDArray[np.float64]]
    native: Mapping[str, NDArray[np.float64]]
    explained: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]


@dataclass(slots=True)
class CrossValidated:
    """Results by entrant, then seed, then fold."""

    results: dict[str, dict[int, dict[int, FoldResult]]] = field(default_factory=dict)

    def out_of_fold(self, name: str, seed: int, rows: int) -> NDArray[np.float64]:
        """Calibrated answers of all folds of a seed, shape (rows, 4); NaN where untested."""
        whole = np.full((rows, len(LEVELS)), np.nan)
        for result in self.results[name][seed].values():
            whole[result.rows] = result.probabilities
        return whole


def cross_validate(
    entrants: Iterable[Entrant],
    table: ModalityTable,
    dealing: ModalityTable,
    plan: Plan,
    *,
    told: Callable[[str], None] = lambda _: None,
) -> CrossValidated:
    """Answers of every entrant to rows that it did not learn from.

    Parameters
    ----------
    entrants : iterable of Entrant
        Each is finished before the next begins.
    table : ModalityTable
        All rows, ratings known.
    dealing : ModalityTable
        One row per nodule: whose patients are dealt into folds (see `patient_folds`).
    plan : Plan
    told : callable
        Told of each fold.
    """
    digest = digest_table(table)
    found = CrossValidated()
    for entrant in entrants:
        by_seed = found.results.setdefault(entrant.name, {})
        for seed in plan.seeds:
            dealt = patient_folds(dealing.patients, dealing.grades, seed=seed)
            fold_of = fold_of_rows(table.patients, dealt)
            for fold in plan.outer_folds:
                result = _kept(entrant, plan, digest, seed, fold)
                if result is None:
                    told(f"{entrant.name}, seed {seed}, fold {fold}")
                    result = _run(entrant, table, fold_of == fold, plan, seed * 100 + fold)
                    _keep(result, entrant, plan, digest, seed, fold)
                known = table.grades[fold_of != fold]
                calibrator = fit_calibrator(result.inner, known, with_bias=plan.bias)
                result = replace(result, probabilities=calibrator.apply(result.raw))
                by_seed.setdefault(seed, {})[fold] = result
    return found


def _run(
    entrant: Entrant, table: ModalityTable, tested: NDArray[np.bool_], plan: Plan, seed: int
) -> FoldResult:
    if entrant.modalities:
        table = table.only(entrant.modalities)
    train, test = table.rows(~tested), table.rows(tested)
    configs = entrant.configurations(plan.budget)
    inner = [_inner(entrant, train, config, plan.inner_folds, seed) for config in configs]
    scores = [selection_score(answers, train.grades) for answers in inner]
    best = int(np.argmax(scores))
    model = entrant.make(configs[best])
    model.fit(train, seed=seed)
    raw = model.predict(test)
    explained: dict[str, NDArray[Any]] = {}
    if isinstance(model, ExplainingModel):
        told = model.explain(test)
        explained = {"embedding": told.embedding, "attention": told.attention}
    several = len(table.modalities) > 1
    missing: dict[str, NDArray[np.float64]] = {}
    if plan.missing and several:
        for name in table.modalities:
            missing[name] = model.predict(test.masked([name]))
        gaps = drop_at_random(test, seed=[seed, 30])
        missing[RANDOM_30] = model.predict(gaps)
    native: dict[str, NDArray[np.float64]] = {}
    if entrant.name in plan.native and several:
        for name in table.modalities:
            rest = [other for other in table.modalities if other != name]
            without = entrant.make(configs[best])
            without.fit(train.only(rest), seed=seed)
            native[name] = without.predict(test.only(rest))
    return FoldResult(
        rows=np.flatnonzero(tested),
        raw=raw,
        inner=inner[best],
        probabilities=raw,
        missing=missing,
        native=native,
        explained=explained,
        facts={"config": configs[best], "scores": [round(value, 5) for value in scores]},
    )


def _inner(
    entrant: Entrant, train: ModalityTable, config: Config, folds: int, seed: int
) -> NDArray[np.float64]:
    """Out-of-fold answers within the training rows, shape (N, 4)."""
    dealt = patient_folds(train.patients, train.grades, seed=seed, folds=folds)
    fold_of = fold_of_rows(train.patients, dealt)
    answers = np.zeros((len(train), len(LEVELS)))
    for fold in range(folds):
        model = entrant.make({**config, **entrant.inner})
        model.fit(train.rows(fold_of != fold), seed=seed)
        answers[fold_of == fold] = model.predict(train.rows(fold_of == fold))
    return answers


def selection_score(probabilities: NDArray[np.float64], grades: NDArray[np.int64]) -> float:
    """What the best configuration has most of: mean of macro ROC area and quadratic kappa."""
    kappa = weighted_kappa(grades, probabilities.argmax(axis=1), probabilities.shape[1])
    return (macro_area(probabilities, grades) + kappa) / 2


def _path(entrant: Entrant, plan: Plan, digest: str, seed: int, fold: int) -> Path | None:
    if plan.cache is None:
        return None
    native = entrant.name in plan.native
    facts = [
        PROTOCOL_VERSION, digest, entrant.describe(), plan.budget, plan.inner_folds,
        plan.missing, native,
    ]  # fmt: skip
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
    return plan.cache / f"{entrant.name}-seed{seed}-fold{fold}-{key}.npz"


def _keep(
    result: FoldResult, entrant: Entrant, plan: Plan, digest: str, seed: int, fold: int
) -> None:
    path = _path(entrant, plan, digest, seed, fold)
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        "rows": result.rows,
        "raw": result.raw,
        "inner": result.inner,
        "facts": np.array(json.dumps(dict(result.facts))),
    }
    for group in ("missing", "native", "explained"):
        arrays |= {f"{group}_{key}": value for key, value in getattr(result, group).items()}
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    partial.replace(path)


def _kept(entrant: Entrant, plan: Plan, digest: str, seed: int, fold: int) -> FoldResult | None:
    path = _path(entrant, plan, digest, seed, fold)
    if path is None or not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as held:
        groups: dict[str, dict[str, NDArray[Any]]] = {
            group: {
                key.removeprefix(f"{group}_"): held[key]
                for key in held.files
                if key.startswith(f"{group}_")
            }
            for group in ("missing", "native", "explained")
        }
        return FoldResult(
            rows=held["rows"],
            raw=held["raw"],
            inner=held["inner"],
            probabilities=held["raw"],
            facts=json.loads(str(held["facts"])),
            **groups,
        )
