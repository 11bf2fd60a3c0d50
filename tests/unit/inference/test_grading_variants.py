"""Variants from the other documents: what they count, weigh and say, worked out by hand."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from inference import sentence_encoder
from inference.errors import EngineUnavailable
from inference.evaluation.grading.confidence_tiers import COLUMNS, ConfidenceTiers, count_tiers
from inference.evaluation.grading.crossval import Plan, cross_validate
from inference.evaluation.grading.entrants import Entrant
from inference.evaluation.grading.graph_entrants import ADDED, VARIANTS, make_graph
from inference.evaluation.grading.markers import SEROLOGY
from inference.evaluation.grading.results import Figures
from inference.evaluation.grading.roster import all_entrants
from inference.evaluation.grading.serology_text import (
    NOTHING_ABNORMAL,
    SerologyInWords,
    describe_abnormal,
    with_text,
)
from inference.evaluation.grading.simulated_cohort import add_simulated_cohort
from inference.grading.config import GraphConfig, TrainingConfig
from inference.grading.region_gate import RegionGate
from inference.grading.scaling import Nodes
from inference.sentence_encoder import load_encoder
from inference.training.grading.loop import take_away
from inference.training.grading.losses import missing_criterion, soft_area
from inference.training.grading.model import GraphModel
from tests.unit.inference.grading_tables import ExplainingHalf, make_table

QUICK = TrainingConfig(steps=12, nodes=64, members=1, bank_size=60)
SMALL = GraphConfig(widths={"any": 1}, hidden=16, projection=8, heads=2, neighbours=6)


# What results of before are found by.


@pytest.mark.parametrize(
    ("name", "digest"), [("graph", "bfae17c38704"), ("gated", "1987db3182ee"),
                         ("literal_patent", "1824ea5917c4"), ("lr", "0f7d30a71cbe")]
)  # fmt: skip
def test_results_from_before_a_setting_was_added_are_found(name: str, digest: str) -> None:
    described = all_entrants()[name].describe()

    assert hashlib.sha256(described.encode()).hexdigest()[:12] == digest


def test_a_setting_that_was_added_is_told_where_it_makes_a_difference() -> None:
    entrants = all_entrants()

    for name in ADDED:
        users = [key for key, switched in VARIANTS.items() if name in switched]
        assert users
        assert all(name in entrants[key].describe() for key in users)
        assert name not in entrants["graph"].describe()


def test_variants_and_what_they_are_compared_with_try_one_configuration_each() -> None:
    variants = {n: e for n, e in all_entrants().items() if e.kind == "variant"}

    assert {"full", "region_gate", "missing_criterion", "confidence_tiers", "serology_text"} < set(
        variants
    )
    assert all(len(entrant.configurations(3)) == 1 for entrant in variants.values())
    assert variants["full"].configurations(3) == [{}]


def test_the_full_graph_is_the_first_configuration_of_the_tuned_one() -> None:
    tuned = all_entrants()["graph"]

    assert make_graph(tuned.configurations(1)[0]) == make_graph({})


# Eight tiers (bone metastasis).


def test_suspicions_of_a_series_are_counted_in_eight_tiers_as_shares() -> None:
    suspicion = np.array([0.0, 0.124, 0.125, 1.0, 0.5, 0.9])
    patients = np.array(["a", "a", "a", "a", "b", "b"])
    known = np.array([True, True, True, True, True, False])

    tiers = count_tiers(suspicion, patients, known)

    # Of a: two below 1/8, one on it, one in the last. b's second row has no suspicion.
    assert tiers[:4].tolist() == [[0.5, 0.25, 0, 0, 0, 0, 0, 0.25]] * 4
    assert tiers[4:].tolist() == [[0, 0, 0, 0, 1, 0, 0, 0]] * 2


def test_a_series_without_a_suspicion_has_no_tiers() -> None:
    tiers = count_tiers(np.zeros(2), np.array(["a", "b"]), np.array([False, True]))

    assert np.isnan(tiers[0]).all()
    assert tiers[1].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]


def test_the_second_model_learns_from_answers_to_patients_that_the_first_had_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Watched(ExplainingHalf):
        """Asserts of everybody whom it answers that it did not learn from them."""

        def __init__(self, *, strength: float) -> None:
            del strength

    table, told = make_table(), []
    module = "inference.evaluation.grading.confidence_tiers"
    monkeypatch.setattr(f"{module}.Linear", Watched)
    monkeypatch.setattr(
        ConfidenceTiers, "_told", lambda _, seen, answers: told.append(answers) or seen
    )
    model = ConfidenceTiers(first_strength=0.2, strength=0.2)
    model.fit(table, seed=0)

    assert set(told[0]) == set(table.modalities)
    assert all((answers.sum(axis=1) > 0.99).all() for answers in told[0].values())


def test_tiers_grade_and_bear_absent_modalities() -> None:
    model = ConfidenceTiers(first_strength=0.2, strength=0.2)
    model.fit(make_table(80), seed=0)
    asked = make_table(60, seed=3)

    for shown in (asked, asked.masked(["roi2d"]), asked.masked(["report"])):
        answers = model.predict(shown)
        assert answers.sum(axis=1) == pytest.approx(np.ones(len(asked)))
        assert (np.abs(answers.argmax(axis=1) - asked.grades) <= 1).mean() > 0.75
    assert len(COLUMNS) == 12


def test_the_rest_of_a_series_matters_to_tiers_and_its_ratings_do_not() -> None:
    model = ConfidenceTiers(first_strength=0.2, strength=0.2)
    table = make_table(80)
    model.fit(table, seed=0)
    asked = make_table(6, seed=3)
    blind = replace(asked, rating=np.full(len(asked), np.nan))

    assert np.array_equal(model.predict(blind), model.predict(asked))
    alone = model.predict(asked.rows(np.array([0])))
    assert not np.allclose(alone, model.predict(asked)[:1], atol=1e-4)


# Fusion at the input (PET/CT of the cervix).


def _gate() -> RegionGate:
    gate = RegionGate({"ct": 2, "pet": 3}, width=2)
    with torch.no_grad():
        gate.align["ct"].weight.copy_(torch.eye(2))  # type: ignore[operator]
        gate.align["ct"].bias.zero_()  # type: ignore[operator]
        gate.align["pet"].weight.copy_(torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0]]))  # type: ignore[operator]
        gate.align["pet"].bias.fill_(1.0)  # type: ignore[operator]
        gate.gate.weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]))
        gate.gate.bias.zero_()
    return gate


def test_modalities_of_different_width_are_projected_weighed_and_set_side_by_side() -> None:
    features = {
        "ct": torch.tensor([[math.log(3.0), 5.0]]),
        "pet": torch.tensor([[1.0, 2.0, -0.5]]),
    }

    joint = _gate()(features, torch.ones(1, 2, dtype=torch.bool))

    # Aligned: ct (log 3, 5), pet (1 + 2 + 1, -1 + 1) = (4, 0).
    # Scores log 3 and 0: weights 3/4 and 1/4.
    assert torch.allclose(joint, torch.tensor([[0.75 * math.log(3.0), 3.75, 1.0, 0.0]]))


def test_what_is_absent_has_no_part_in_a_common_input_and_nothing_at_all_is_zero() -> None:
    features = {"ct": torch.tensor([[0.0, 0.0], [2.0, 5.0]]), "pet": torch.zeros(2, 3)}
    present = torch.tensor([[False, False], [True, False]])

    joint = _gate()(features, present)

    # The second row: ct with all the weight. pet's projection of zeros would be its bias.
    assert torch.equal(joint, torch.tensor([[0.0, 0.0, 0.0, 0.0], [2.0, 5.0, 0.0, 0.0]]))


def test_a_gated_graph_learns_and_each_gated_modality_reads_the_common_input() -> None:
    model = GraphModel(graph=replace(SMALL, region_gate=["roi2d", "report"]), training=QUICK)
    table = make_table(60)
    model.fit(table, seed=1)

    assert model.grader is not None
    network = model.grader.networks[0]
    assert network.extraction["roi2d"].first.in_features == 2 * SMALL.hidden  # type: ignore[union-attr]
    asked = make_table(20, seed=9)
    for shown in (asked, asked.masked(["roi2d"]), asked.masked(["report"])):
        assert np.isfinite(model.predict(shown)).all()
    gate = network.region_gate
    assert gate is not None
    assert gate.gate.weight.grad is not None
    assert float(gate.gate.weight.grad.abs().sum()) > 0


def test_a_gate_without_two_of_its_modalities_is_none() -> None:
    config = replace(SMALL, widths={"roi2d": 3, "report": 2}, region_gate=("roi2d", "pet"))

    assert config.gated == ()
    with pytest.raises(ValueError, match="names no two modalities"):
        replace(SMALL, region_gate=("pet",))


# The missing-modality criterion (PET/CT nodules).


def test_the_soft_area_is_the_share_of_ordered_pairs() -> None:
    probabilities = torch.eye(4)[[0, 1, 3]]
    rating = torch.tensor([1.0, 1.0, 5.0])

    area = soft_area(probabilities, rating)

    # Two pairs with unequal ratings, 3 and 2 grades apart, both in order.
    sure = [1 / (1 + math.exp(-apart / 0.2)) for apart in (3, 2)]
    assert float(area) == pytest.approx(sum(sure) / 2)
    assert float(soft_area(probabilities, torch.ones(3))) == 0.5


def test_the_criterion_is_what_a_missing_modality_costs_beyond_a_twentieth() -> None:
    rating = torch.tensor([1.0, 5.0])
    whole = torch.eye(4)[[0, 3]]
    even = torch.full((2, 4), 0.25, requires_grad=True)

    cost = missing_criterion(whole, even, rating)
    cost.backward()  # type: ignore[no-untyped-call]

    # From a sure order (sigmoid 15, which is 1) to none (0.5).
    assert cost.item() == pytest.approx(1 - 0.5 - 0.05, abs=1e-6)
    assert even.grad is not None
    assert float(even.grad[1, 3]) < 0  # suspicion of the higher one should rise
    assert float(missing_criterion(whole, whole, rating)) == 0


def test_the_whole_answer_is_not_drawn_down_to_what_is_left() -> None:
    whole = torch.eye(4)[[0, 3]].requires_grad_()
    without = torch.full((2, 4), 0.25, requires_grad=True)

    missing_criterion(whole, without, torch.tensor([1.0, 5.0])).backward()  # type: ignore[no-untyped-call]

    assert whole.grad is None


def test_a_row_keeps_the_only_modality_that_it_has() -> None:
    nodes = Nodes(
        features={"a": torch.ones(2, 1), "b": torch.ones(2, 1)},
        present=torch.tensor([[True, True], [True, False]]),
        patients=torch.arange(2),
    )

    kept = take_away(nodes, 0)

    assert kept.present.tolist() == [[False, True], [True, False]]
    assert kept.features["a"].tolist() == [[0.0], [1.0]]
    assert nodes.present.all(dim=1).tolist() == [True, False]


def test_a_graph_trained_by_the_criterion_tells_of_it_and_one_without_is_as_before() -> None:
    table = make_table(60)
    told = {}
    for weight in (0.0, 1.0):
        model = GraphModel(graph=SMALL, training=replace(QUICK, missing_weight=weight))
        model.fit(table, seed=1)
        told[weight] = model.told

    assert all("missing" not in line for line in told[0.0])
    assert all(line["missing"] >= 0 for line in told[1.0])


def test_figures_name_the_modality_whose_absence_costs_most_and_compare_with_the_full_graph() -> (
    None
):
    table = make_table()
    entrants = {
        name: Entrant(name=name, kind="variant", make=lambda _: ExplainingHalf())
        for name in ("full", "other")
    }
    found = cross_validate(
        entrants.values(), table, table, Plan(seeds=(0,), inner_folds=2, outer_folds=(0, 1))
    )

    result = Figures(found, entrants, table, binary=False, nodules_are_rows=False).summarise(
        rounds=20
    )

    # It looks at the first modality only, and says the same of everything without it.
    missing = result["models"]["full"]["missing_drop"]
    assert missing["modality"] == "roi2d"
    assert missing["drop"] > 0.2
    assert not missing["holds"]
    assert list(result["paired"]) == ["full - other"]


# Serology in words (bone tumours); SIMULATED.


def test_abnormal_markers_are_told_in_words_and_normal_ones_are_not() -> None:
    # CEA 2.4 times its limit, CYFRA on it, NSE normal, SCC not measured, ProGRP 1.2 times.
    values = np.log([12.0, 3.3, 5.0, 1.0, 124.0])
    values[3] = np.nan

    told = describe_abnormal(values)

    assert told == (
        "Carcinoembryonic antigen (CEA) is clearly elevated, above the limit of 5 ng/mL. "
        "Pro-gastrin-releasing peptide (ProGRP) is slightly elevated, above the limit of "
        "103.47 pg/mL."
    )
    assert describe_abnormal(np.log([1.0, 1.0, 1.0, 1.0, 1.0])) == NOTHING_ABNORMAL
    assert describe_abnormal(np.full(5, np.nan)) is None


def _by_words(texts: Sequence[str]) -> np.ndarray:
    """How often a text says each word: an encoder for tests."""
    words = ("CEA", "NSE", "strongly", "clearly", "slightly", "within")
    return np.array([[text.count(word) for word in words] for text in texts], dtype=np.float32)


def test_text_takes_the_place_of_serology_and_is_absent_where_it_is() -> None:
    table = add_simulated_cohort(make_table(50), seed=0)

    told = with_text(table, _by_words)

    assert told.modalities == ("roi2d", "report", "clinical", "serology_text")
    assert np.array_equal(told.present("serology_text"), table.present("serology"))
    nse = table.features["serology"][:, SEROLOGY.index("log_nse")]
    says = told.features["serology_text"][:, 1] > 0
    assert says.any()
    assert (nse[says] > math.log(12.5)).all()
    nothing = with_text(table.masked(["serology"]), _by_words)
    assert not nothing.present("serology_text").any()
    with pytest.raises(ValueError, match="needs the modality serology"):
        with_text(make_table(), _by_words)


def test_a_graph_learns_from_words() -> None:
    model = SerologyInWords(GraphModel(graph=SMALL, training=QUICK), _by_words)
    model.fit(add_simulated_cohort(make_table(60), seed=0), seed=1)
    asked = add_simulated_cohort(make_table(20, seed=9), seed=0)

    for shown in (asked, asked.masked(["serology"])):
        assert model.predict(shown).sum(axis=1) == pytest.approx(np.ones(len(asked)))


def test_without_the_extra_it_is_said_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, sentence_encoder.PACKAGE, None)
    load_encoder.cache_clear()

    with pytest.raises(EngineUnavailable, match=r"pip install 'pulmonode\[sentences\]'"):
        load_encoder()


def test_the_sentence_encoder_hears_which_marker_and_how_much() -> None:
    for package in ("sentence_transformers", sentence_encoder.PACKAGE):
        pytest.importorskip(package, reason="the extra `sentences` is not installed")
    load_encoder.cache_clear()
    logs = np.log([[6.0, 1, 1, 1, 1], [40.0, 1, 1, 1, 1], [1.0, 1, 1, 1, 900], [1.0, 1, 1, 1, 1]])

    told = load_encoder()([describe_abnormal(row) or "" for row in logs])

    assert told.shape == (4, 384)
    alike = told @ told.T
    assert np.diag(alike) == pytest.approx(np.ones(4), abs=1e-4)
    assert alike[0, 1] > max(alike[0, 2], alike[0, 3])
