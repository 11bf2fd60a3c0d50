"""A trained grader is inductive: what it says of a nodule rests on the bank and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.errors import BankRefused
from inference.grading.bank import Bank, CaseRecord, load_bank, make_bank, save_bank
from inference.grading.calibration import Calibrator
from inference.grading.config import GraphConfig, TrainingConfig
from inference.grading.grader import Grader, make_grader
from inference.grading.judge import Judge
from inference.grading.network import tell_ratings
from inference.grading.scaling import Scale
from inference.grading.stored import read_grader, save_grader
from inference.grading.table import LEVELS, ModalityTable
from inference.training.grading.loop import Trainer, drop_modalities
from inference.training.grading.model import GraphModel, choose_bank
from inference.training.grading.views import VIEWS, make_view
from inference.weights import load_weights
from tests.unit.inference.grading_tables import make_table

QUICK = TrainingConfig(steps=30, nodes=64, members=2, bank_size=60)
SMALL = GraphConfig(widths={"any": 1}, hidden=16, projection=8, heads=2, neighbours=6)


@pytest.fixture(scope="module")
def table() -> ModalityTable:
    return make_table(60)


@pytest.fixture(scope="module")
def model(table: ModalityTable) -> GraphModel:
    made = GraphModel(graph=SMALL, training=QUICK)
    made.fit(table, seed=1)
    return made


@pytest.fixture(scope="module")
def grader(model: GraphModel) -> Grader:
    assert model.grader is not None
    return model.grader


def bank_of(table: ModalityTable) -> Bank:
    records = [
        CaseRecord(
            case_id=f"C{row}",
            patient=str(table.patients[row]),
            rating=float(table.rating[row]),
            evidence="reader-rated",
            source="made up",
        )
        for row in range(len(table))
    ]
    return make_bank("1", records, table)


def graded_with(grader: Grader, bank: ModalityTable, asked: ModalityTable) -> np.ndarray:
    changed = make_grader(grader.networks, grader.scale, bank, softness=0.25)
    return changed.grade(asked).probabilities


def test_it_learns_what_the_columns_say(model: GraphModel) -> None:
    asked = make_table(40, seed=9)
    right = model.predict(asked).argmax(axis=1) == asked.grades

    assert right.mean() > 0.55


def test_the_same_seed_gives_the_same_answers(table: ModalityTable, model: GraphModel) -> None:
    again = GraphModel(graph=SMALL, training=QUICK)
    again.fit(table, seed=1)

    assert np.array_equal(again.predict(table), model.predict(table))


def test_a_grade_does_not_depend_on_the_rest_of_the_batch(model: GraphModel) -> None:
    asked = make_table(30, seed=5)

    together = model.predict(asked)
    alone = np.concatenate([model.predict(asked.rows(np.array([row]))) for row in range(8)])

    assert np.allclose(together[:8], alone, atol=1e-6)


def test_queries_in_another_order_get_the_same_answers(model: GraphModel) -> None:
    asked = make_table(30, seed=5)
    order = np.random.default_rng(0).permutation(len(asked))

    assert np.allclose(model.predict(asked)[order], model.predict(asked.rows(order)), atol=1e-6)


def test_a_bank_in_another_order_gives_the_same_answers(
    table: ModalityTable, grader: Grader
) -> None:
    asked = make_table(20, seed=6)
    order = np.random.default_rng(1).permutation(len(table))

    first = graded_with(grader, table, asked)
    second = graded_with(grader, table.rows(order), asked)

    assert np.allclose(first, second, atol=1e-5)


def test_its_twin_in_the_bank_moves_a_grade_towards_the_twins_rating(
    table: ModalityTable, grader: Grader
) -> None:
    asked = make_table(20, seed=7)
    moved = []
    for row in range(20):
        one = asked.rows(np.array([row]))
        by_rating = []
        for rating in (1.0, 5.0):
            twin = replace(one, rating=np.array([rating]), nodules=np.array(["twin"]))
            bank = join(table, twin)
            by_rating.append(graded_with(grader, bank, one)[0] @ np.arange(4))
        moved.append(by_rating[1] - by_rating[0])

    assert np.mean(moved) > 0
    assert np.mean(np.array(moved) > 0) >= 0.8


def join(first: ModalityTable, second: ModalityTable) -> ModalityTable:
    return replace(
        first,
        features={
            name: np.concatenate([first.features[name], second.features[name]])
            for name in first.modalities
        },
        patients=np.concatenate([first.patients, second.patients]),
        nodules=np.concatenate([first.nodules, second.nodules]),
        rating=np.concatenate([first.rating, second.rating]),
    )


def test_a_rows_own_rating_does_not_reach_its_answer_in_training(table: ModalityTable) -> None:
    graph = replace(SMALL, widths={name: len(table.names[name]) for name in table.modalities})
    trainer = Trainer(table, graph, QUICK, seed=0, scale=Scale.fit(table))
    network = trainer.network.eval()
    nodes = trainer.scale.to_nodes(table)
    allowed = nodes.patients.unsqueeze(1) != nodes.patients.unsqueeze(0)
    _, told = tell_ratings(torch.from_numpy(table.rating).float(), 0.25)
    told.requires_grad_()

    answer = network(nodes, network.make_cases(nodes, told), allowed=allowed)
    answer.mean[0].backward()

    assert told.grad is not None
    same = np.flatnonzero(table.patients == table.patients[0])
    assert float(told.grad[same].abs().max()) == 0
    assert float(told.grad.abs().max()) > 0
    assert not bool(answer.adjacency[~allowed].any())


def test_an_absent_modality_is_not_looked_at(grader: Grader) -> None:
    asked = make_table(10, seed=8)
    without = asked.masked(["report"])
    alone = asked.only(["roi2d"])

    graded = grader.grade(without)

    assert np.allclose(graded.probabilities, grader.grade(alone).probabilities, atol=1e-6)
    assert np.allclose(graded.attention[:, 1], 0)
    assert np.allclose(graded.probabilities.sum(axis=1), 1)


def test_a_row_without_any_modality_is_refused_by_name(grader: Grader) -> None:
    nothing = make_table(2).masked(["roi2d", "report"])

    with pytest.raises(ValueError, match=r"row 0 \(N000\) has no modality"):
        grader.grade(nothing)


def test_other_columns_are_refused(grader: Grader) -> None:
    table = make_table(2)
    renamed = replace(table, names={**table.names, "roi2d": ("a", "b", "c")})

    with pytest.raises(ValueError, match="modality roi2d has columns"):
        grader.grade(renamed)


def test_a_bank_takes_each_nodule_once_while_there_are_enough(table: ModalityTable) -> None:
    chosen = choose_bank(table, 50, seed=0)

    assert len(chosen) == 50
    assert len(set(table.nodules[chosen].tolist())) == 50


def test_modality_dropout_leaves_every_row_one_modality(table: ModalityTable) -> None:
    torch.manual_seed(0)
    nodes = drop_modalities(Scale.fit(table).to_nodes(table), 0.9)

    assert bool(nodes.present.any(dim=1).all())
    assert float(nodes.features["roi2d"][~nodes.present[:, 0]].abs().max()) == 0


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_changes_the_graph_and_joins_nothing_forbidden(
    view: str, table: ModalityTable
) -> None:
    torch.manual_seed(0)
    nodes = Scale.fit(table).to_nodes(table)
    allowed = nodes.patients.unsqueeze(1) != nodes.patients.unsqueeze(0)
    similarity = torch.rand(len(nodes), len(nodes))

    seen = make_view(
        view,  # type: ignore[arg-type]
        nodes,
        allowed,
        similarity=similarity,
        grades=torch.from_numpy(table.grades),
    )

    assert not bool(seen.allowed[~allowed].any())
    changed = (
        not torch.equal(seen.allowed, allowed)
        or seen.extra_edges is not None
        or any(
            not torch.equal(seen.nodes.features[name], nodes.features[name])
            for name in nodes.features
        )
    )
    assert changed
    if seen.extra_edges is not None:
        assert not bool(seen.extra_edges[~allowed].any())


def test_a_grader_comes_back_from_disk_as_it_was(
    grader: Grader, table: ModalityTable, tmp_path: Path
) -> None:
    save_grader(
        grader.networks, grader.scale, tmp_path, version="t", facts={"label_softness": 0.25}
    )

    networks, scale, softness = read_grader(load_weights("grader", tmp_path))
    again = make_grader(networks, scale, table, softness=softness)
    first = make_grader(grader.networks, grader.scale, table, softness=softness)

    assert np.array_equal(again.grade(table).probabilities, first.grade(table).probabilities)


def test_a_bank_comes_back_from_disk_as_it_was(table: ModalityTable, tmp_path: Path) -> None:
    bank = bank_of(table)

    digest = save_bank(bank, tmp_path / "bank.safetensors")
    again = load_bank(tmp_path / "bank.safetensors", sha256=digest)

    assert again.records == bank.records
    assert again.version == "1"
    assert all(
        np.array_equal(again.table.features[name], bank.table.features[name])
        for name in bank.table.modalities
    )


def test_a_damaged_bank_is_refused_by_its_name(table: ModalityTable, tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    save_bank(bank_of(table), path)
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(BankRefused, match=r"bank\.safetensors cannot be read"):
        load_bank(path)


def test_cases_are_added_and_removed_in_new_banks(table: ModalityTable) -> None:
    bank = bank_of(table.rows(np.arange(5)))
    more = bank_of(table.rows(np.arange(5, 7)))
    records = [replace(record, case_id=f"new{record.case_id}") for record in more.records]

    grown = bank.with_cases(records, more.table, "2")
    shrunk = grown.without_cases(["C0"], "3")

    assert (len(bank), len(grown), len(shrunk)) == (5, 7, 6)
    with pytest.raises(BankRefused, match="has no case C0"):
        shrunk.without_cases(["C0"], "4")
    with pytest.raises(BankRefused, match="holds case C1 twice"):
        bank.with_cases([bank.records[1]], bank.table.rows(np.array([1])), "2")


def judge_of(grader: Grader, table: ModalityTable) -> Judge:
    scale = grader.scale.modalities["roi2d"]
    return Judge(
        grader=make_grader(grader.networks, grader.scale, table, softness=0.25),
        bank=bank_of(table),
        calibrators={("roi2d",): Calibrator(temperature=1.0, bias=np.zeros(4))},
        needed=("roi2d",),
        most_distance=2.0,
        ranged={"axial_mean_diam_mm": (float(scale.low[0]), float(scale.high[0]))},
    )


def test_a_judged_nodule_has_level_shares_and_similar_cases(
    grader: Grader, table: ModalityTable
) -> None:
    judge = judge_of(grader, table)
    asked = make_table(10, seed=4)

    grade = judge.judge(asked)[0]

    assert grade.withheld is None
    assert sum(grade.probabilities) == pytest.approx(1)
    assert grade.suspicion == pytest.approx(grade.probabilities[2] + grade.probabilities[3])
    assert grade.level == LEVELS[int(np.searchsorted(np.cumsum(grade.probabilities), 0.5))]
    assert 1 <= len(grade.similar_cases) <= 5
    shares = [share.attention for share in grade.modalities.values()]
    assert sum(share for share in shares if share is not None) == pytest.approx(1, abs=1e-5)
    without = judge.judge(asked.masked(["report"]))[0]
    change = grade.modalities["report"].contribution
    assert without.suspicion is not None
    assert change == pytest.approx(grade.suspicion - without.suspicion, abs=1e-6)


def test_with_one_modality_no_share_is_shown(grader: Grader, table: ModalityTable) -> None:
    grade = judge_of(grader, table).judge(make_table(1, seed=4).masked(["report"]))[0]

    assert grade.modalities["roi2d"].attention is None
    assert grade.modalities["roi2d"].contribution is None
    assert not grade.modalities["report"].present


def test_a_grade_is_withheld_without_the_image_and_outside_the_trained_range(
    grader: Grader, table: ModalityTable
) -> None:
    judge = judge_of(grader, table)
    asked = make_table(2, seed=4)
    huge = asked.features["roi2d"].copy()
    huge[:, 0] = 90.0

    blind = judge.judge(asked.masked(["roi2d"]))[0]
    outside = judge.judge(replace(asked, features={**asked.features, "roi2d": huge}))[0]

    assert blind.withheld == "no features of modality roi2d"
    assert outside.withheld is not None
    assert "axial_mean_diam_mm 90.0 is outside" in outside.withheld
    assert outside.level is None


def test_a_level_above_two_goes_with_a_suspicion_above_one_half(
    grader: Grader, table: ModalityTable
) -> None:
    grades = judge_of(grader, table).judge(make_table(30, seed=3))
    given = [grade for grade in grades if grade.suspicion is not None]

    assert given
    assert all((grade.level in ("III", "IV")) == (grade.suspicion > 0.5) for grade in given)


def test_what_is_like_no_case_gets_no_grade(grader: Grader, table: ModalityTable) -> None:
    judge = judge_of(grader, table)
    asked = make_table(1, seed=4)
    strange = {**asked.features, "roi2d": asked.features["roi2d"] * [[1, -3, 30]]}

    grade = judge.judge(replace(asked, features=strange))[0]

    assert grade.withheld == "like no case of the typical-case bank"
    assert judge.grader.distance(table)[0] == pytest.approx(0, abs=2e-3)


def test_votes_of_the_bank_move_a_grade_more_than_messages_alone(table: ModalityTable) -> None:
    asked = make_table(10, seed=7)
    moved = []
    for vote in (0.0, 0.4):
        made = GraphModel(graph=replace(SMALL, vote=vote), training=replace(QUICK, members=1))
        made.fit(table, seed=1)
        assert made.grader is not None
        spread = []
        for row in range(10):
            one = asked.rows(np.array([row]))
            answers = [
                graded_with(
                    made.grader,
                    join(table, replace(one, rating=np.array([rating]))),
                    one,
                )[0, 2:].sum()
                for rating in (1.0, 5.0)
            ]
            spread.append(answers[1] - answers[0])
        moved.append(np.mean(spread))

    assert moved[1] > moved[0]
