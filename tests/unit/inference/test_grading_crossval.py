from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference.evaluation.grading import figures
from inference.evaluation.grading.crossval import RANDOM_30, Plan, cross_validate
from inference.evaluation.grading.entrants import Entrant
from inference.evaluation.grading.features import drop_at_random
from inference.evaluation.grading.folds import fold_of_rows, patient_folds
from inference.evaluation.grading.markers import SEROLOGY
from inference.evaluation.grading.results import GRAPH, Figures
from inference.evaluation.grading.roster import baseline_entrants
from inference.evaluation.grading.simulated_cohort import (
    CLINICAL,
    add_simulated_cohort,
)
from tests.unit.inference.grading_tables import ExplainingHalf, make_table

FITTING = [
    name
    for name, entrant in baseline_entrants().items()
    if set(entrant.modalities) <= {"roi2d", "report"}
]
"""The small table has no other modalities."""
SMALL = Plan(seeds=(0,), budget=2, inner_folds=2, outer_folds=(0, 1))


def _graph() -> Entrant:
    return Entrant(name=GRAPH, kind="graph", make=lambda _: ExplainingHalf())


@pytest.mark.parametrize("seed", [0, 1, 2, 17])
def test_folds_never_part_a_patient(seed: int) -> None:
    table = make_table()

    dealt = patient_folds(table.patients, table.grades, seed=seed)
    fold_of = fold_of_rows(table.patients, dealt)

    assert set(dealt) == set(table.patients)
    assert all(len(set(fold_of[table.patients == name])) == 1 for name in dealt)
    assert sorted(set(fold_of)) == [0, 1, 2, 3, 4]


def test_folds_depend_on_the_seed_alone() -> None:
    table = make_table()
    deals = [patient_folds(table.patients, table.grades, seed=seed) for seed in (4, 4, 5)]

    assert deals[0] == deals[1]
    assert deals[0] != deals[2]


@pytest.mark.parametrize("name", FITTING)
def test_every_baseline_answers_with_probabilities_also_where_modalities_are_absent(
    name: str,
) -> None:
    table = make_table()
    entrant = baseline_entrants()[name]
    given = entrant.modalities or table.modalities
    table = table.only(given)
    model = entrant.make(entrant.configurations(1)[0])
    model.fit(table, seed=0)

    for shown in (table, table.masked([given[0]]), drop_at_random(table, seed=1)):
        answers = model.predict(shown)

        assert answers.shape == (len(table), 4)
        assert np.isfinite(answers).all()
        assert answers.min() >= 0
        assert answers.sum(axis=1) == pytest.approx(np.ones(len(table)))
    known = model.predict(table).argmax(axis=1)
    assert (np.abs(known - table.grades) <= 1).mean() > 0.8


def test_all_entrants_try_equally_many_configurations_beginning_with_the_default() -> None:
    for entrant in baseline_entrants().values():
        tried = entrant.configurations(3)

        assert len(tried) == 3
        assert tried[0] == {name: values[0] for name, values in entrant.space.items()}
        assert len({str(config) for config in tried}) == 3


def test_whoever_is_tested_was_not_learned_from() -> None:
    """The model asserts it, in inner folds too."""
    table = make_table()

    found = cross_validate([_graph()], table, table, SMALL)

    tested = np.concatenate([fold.rows for fold in found.results[GRAPH][0].values()])
    assert len(set(tested.tolist())) == len(tested)


def test_a_finished_fold_is_found_again_and_another_table_is_not(tmp_path: Path) -> None:
    table = make_table()
    plan = replace(SMALL, cache=tmp_path)
    entrant = baseline_entrants()["lr"]
    told: list[str] = []

    first = cross_validate([entrant], table, table, plan, told=told.append)
    again = cross_validate([entrant], table, table, plan, told=told.append)
    cross_validate([entrant], make_table(seed=9), table, plan, told=told.append)

    assert len(told) == 4
    for fold in (0, 1):
        one, other = (found.results["lr"][0][fold] for found in (first, again))
        assert (one.probabilities == other.probabilities).all()
        assert one.facts == other.facts
        assert set(other.missing) == {"roi2d", "report", RANDOM_30}


def test_random_gaps_leave_every_row_something() -> None:
    table = make_table()

    gaps = drop_at_random(table, seed=0, share=0.6)
    there = np.column_stack([gaps.present(name) for name in gaps.modalities])

    assert there.any(axis=1).all()
    assert 0.3 < 1 - there.mean() < 0.6
    again = drop_at_random(table, seed=0, share=0.6).features["roi2d"]
    assert np.array_equal(gaps.features["roi2d"], again, equal_nan=True)


@pytest.mark.parametrize("binary", [False, True])
def test_the_summary_has_the_promised_keys(binary: bool) -> None:
    table = make_table()
    table = table.rows(table.rating != 3) if binary else table
    entrants = {"lr": baseline_entrants()["lr"], GRAPH: _graph()}
    plan = replace(SMALL, native=frozenset({"lr"}), outer_folds=tuple(range(5)))
    found = cross_validate(entrants.values(), table, table, plan)

    given = Figures(found, entrants, table, binary=binary, nodules_are_rows=True)
    result = given.summarise(rounds=20)

    model = result["models"][GRAPH]
    assert model["kind"] == "graph"
    for key in ("auc_ovr", "qwk", "accuracy", "macro_f1", "brier", "ece"):
        assert set(model[key]) == {"mean", "sd"}
    assert set(model["missing"]) == {"roi2d", "report", RANDOM_30}
    assert set(result["models"]["lr"]["native"]) == {"roi2d", "report"}
    pair = result["paired"]["graph - lr"]
    assert pair["auc_ovr"]["low"] <= pair["auc_ovr"]["high"]
    assert 0 <= pair["delong"]["p"] <= 1
    assert 0 <= pair["mcnemar_p"] <= 1
    assert result["graph_against_best"]["qwk"]["baseline"] == "lr"


def test_pictures_are_drawn(tmp_path: Path) -> None:
    table = make_table()
    entrants = {"lr": baseline_entrants()["lr"], GRAPH: _graph()}
    found = cross_validate(entrants.values(), table, table, SMALL)
    given = Figures(found, entrants, table, binary=False, nodules_are_rows=False)
    answers = {name: given.answers(name) for name in entrants}
    folds = list(found.results[GRAPH][0].values())

    figures.draw_reliability(answers, given.truth(), tmp_path / "a.png")
    figures.draw_rocs(answers, given.truth(), tmp_path / "b.png")
    figures.draw_missing(given.summarise(rounds=20)["models"], tmp_path / "c.png")
    figures.draw_embedding(folds[0], table.grades, tmp_path / "d.png")
    figures.draw_attention(folds, table.modalities, table.grades, tmp_path / "e.png")

    assert all(path.stat().st_size > 5000 for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 5


def test_a_roc_goes_from_corner_to_corner_with_one_step_for_ties() -> None:
    points = figures.roc_points(
        np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    )

    assert points.tolist() == [[0, 0], [0, 0.5], [0.5, 1], [1, 1]]


def test_the_simulated_cohort_is_the_patients_and_the_seeds() -> None:
    table = make_table(200)

    one = add_simulated_cohort(table, seed=1)
    same = add_simulated_cohort(table, seed=1)
    other = add_simulated_cohort(table, seed=2)

    assert one.names["clinical"] == CLINICAL
    assert one.names["serology"] == SEROLOGY
    for name in ("clinical", "serology"):
        values = one.features[name]
        assert np.array_equal(values, same.features[name], equal_nan=True)
        assert not np.array_equal(values, other.features[name], equal_nan=True)
        assert np.array_equal(values[0], values[1], equal_nan=True)  # the same patient
        assert 0.02 < 1 - one.present(name).mean() < 0.6
    assert table.modalities == ("roi2d", "report")


def test_simulated_markers_are_higher_where_readers_were_suspicious() -> None:
    drawn = add_simulated_cohort(make_table(2000), seed=0)
    nse = drawn.features["serology"][:, SEROLOGY.index("log_nse")]

    assert np.nanmean(nse[drawn.rating == 5]) > np.nanmean(nse[drawn.rating == 1]) + 0.5
