"""`pulmonode evaluate grader`: readings, cross-validation, figures, pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from inference.evaluation.grading import figures as pictures
from inference.evaluation.grading.crossval import CrossValidated, Plan, cross_validate
from inference.evaluation.grading.entrants import Entrant
from inference.evaluation.grading.results import GRAPH, Figures
from inference.evaluation.grading.roster import all_entrants
from inference.evaluation.grading.simulated_cohort import add_simulated_cohort
from inference.grading.table import ModalityTable
from workers.datasets.lidc_readings import Protocol, read_table, without_threes
from workers.errors import DatasetRefused

EvaluatedProtocol = Literal["D1", "D2", "binary", "binary-D1"]
QUICK_PATIENTS, QUICK_ROUNDS = 120, 100
QUICK_MODELS = ("diameter", "lr", "ordinal_lr", "late_fusion", GRAPH)
NATIVE = frozenset({"lr", "xgb", GRAPH})
"""Trained without each modality as well: what a model that never had it would reach."""
DRAWN = (GRAPH, "lr", "reg_xgb", "xgb", "diameter")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraderPlan:
    """What to compare.

    Attributes
    ----------
    protocol : str
        ``D2`` and ``D1`` as in `workers.datasets.lidc_readings`; ``binary`` is D2 and
        ``binary-D1`` is D1 without mean ratings of exactly 3, benign against malignant.
    models : tuple of str
        Names; empty is all baselines and the graph.
    ablation : bool
        The graph's variants as well.
    simulated : bool
        With a simulated cohort's modalities, to see that they work: no figure counts.
    quick : bool
        `QUICK_PATIENTS` patients, the first seed, two folds, one configuration each.
    bias : bool
        Calibrate with a bias per grade beside the temperature.
    rounds : int
        Of the bootstrap.
    """

    protocol: EvaluatedProtocol
    cache: Path
    seeds: tuple[int, ...] = (0, 1, 2)
    models: tuple[str, ...] = ()
    ablation: bool = False
    quick: bool = False
    budget: int = 3
    bias: bool = False
    rounds: int = 1000
    figures: Path | None = None
    simulated: bool = False


def evaluate_grader(plan: GraderPlan, told: Callable[[str], None]) -> dict[str, Any]:
    """Run a comparison; the dictionary is what ``--json`` writes.

    Raises
    ------
    DatasetRefused
        If the readings are not installed, or a model is unknown.
    """
    begun = time.time()
    rows: Protocol = "D1" if plan.protocol in ("D1", "binary-D1") else "D2"
    binary = plan.protocol.startswith("binary")
    readings = plan.cache / "readings"
    table, dealing = (read_table(name, readings, told=told) for name in (rows, "D1"))
    if binary:
        table = without_threes(table)
    if plan.simulated:
        table = add_simulated_cohort(table, seed=0)
    if plan.quick:
        table, dealing = _few(table, dealing)
    entrants = choose_entrants(plan, all_entrants(), table.modalities)
    steps = Plan(
        seeds=plan.seeds[:1] if plan.quick else plan.seeds,
        budget=1 if plan.quick else plan.budget,
        native=frozenset() if plan.quick else NATIVE,
        bias=plan.bias,
        outer_folds=(0, 1) if plan.quick else tuple(range(5)),
        cache=plan.cache / "folds" / plan.protocol,
    )
    found = cross_validate(entrants.values(), table, dealing, steps, told=told)
    figures = Figures(found, entrants, table, binary=binary, nodules_are_rows=rows == "D1")
    rounds = min(plan.rounds, QUICK_ROUNDS) if plan.quick else plan.rounds
    result = {
        "protocol": plan.protocol,
        **figures.summarise(rounds=rounds, told=told),
        "setup": {
            "rows": len(table),
            "nodules": len(np.unique(table.nodules)),
            "patients": len(np.unique(table.patients)),
            "grades": np.bincount(figures.grades).tolist(),
            "modalities": {name: len(table.names[name]) for name in table.modalities},
            "seeds": list(steps.seeds),
            "outer_folds": len(steps.outer_folds),
            "inner_folds": steps.inner_folds,
            "budget": steps.budget,
            "calibration": "temperature and bias" if plan.bias else "temperature",
            "bootstrap_rounds": rounds,
            "quick": plan.quick,
            "simulated_modalities": ["clinical", "serology"] if plan.simulated else [],
            "took_s": round(time.time() - begun),
        },
    }
    if plan.figures is not None:
        _draw(plan.figures, figures, found, result["models"], table)
    return result


def choose_entrants(
    plan: GraderPlan, known: Mapping[str, Entrant], modalities: Collection[str]
) -> dict[str, Entrant]:
    """By name; without names the baselines and the graph, few of them when quick.

    An ablation leaves out variants that need modalities which there are not.

    Raises
    ------
    DatasetRefused
        If a name is unknown, or what an entrant needs is not here.
    """
    wanted = list(plan.models)
    if not wanted:
        wanted = [
            name
            for name, entrant in known.items()
            if (entrant.kind == "baseline" or name == GRAPH)
            and (not plan.quick or name in QUICK_MODELS)
        ]
    if plan.ablation:
        variants = [
            name
            for name, entrant in known.items()
            if entrant.kind == "variant" and set(entrant.needs) <= set(modalities)
        ]
        wanted += [name for name in variants if name not in wanted]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise DatasetRefused(", ".join(unknown), "is no model", f"choose from {', '.join(known)}")
    for name in wanted:
        entrant = known[name]
        lacking = [one for one in entrant.needs if one not in modalities]
        lacking += [one for one in entrant.packages if find_spec(one) is None]
        if lacking:
            raise DatasetRefused(name, f"needs {', '.join(lacking)}", f"take {entrant.remedy}")
    return {name: known[name] for name in wanted}


def _few(table: ModalityTable, dealing: ModalityTable) -> tuple[ModalityTable, ModalityTable]:
    """The first patients only."""
    kept = np.unique(dealing.patients)[:QUICK_PATIENTS]
    return tuple(  # type: ignore[return-value]
        one.rows(np.isin(one.patients, kept)) for one in (table, dealing)
    )


def _draw(
    folder: Path,
    figures: Figures,
    found: CrossValidated,
    models: Mapping[str, Any],
    table: ModalityTable,
) -> None:
    shown = [name for name in DRAWN if name in models] or list(models)[:4]
    answers = {name: figures.answers(name) for name in shown}
    pictures.draw_reliability(answers, figures.truth(), folder / "reliability.png")
    pictures.draw_rocs(answers, figures.truth(), folder / "roc.png")
    pictures.draw_missing({name: models[name] for name in shown}, folder / "missing.png")
    for name in models:
        folds = [fold for by in found.results[name].values() for fold in by.values()]
        if "embedding" in folds[0].explained:
            pictures.draw_embedding(folds[0], table.grades, folder / f"{name}-features.png")
            pictures.draw_attention(
                folds, table.modalities, table.grades, folder / f"{name}-attention.png"
            )
