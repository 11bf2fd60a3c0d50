"""`pulmonode evaluate site` with the shipped grader, on cases of its bank under other names."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from inference.evaluation.grading.site import Limits, SiteAnswers, decide, measure
from inference.grading.table import ModalityTable
from inference.grading.table_file import save_table
from workers.bank.changes import begin
from workers.bank.current import find_shipped_bank, open_bank
from workers.bank.folder import BankFolder
from workers.cli.main import app
from workers.errors import DatasetRefused
from workers.settings import Settings
from workers.site_evaluation import join_tables, read_outcomes, rows_in_bank

COUNT = 80


@pytest.fixture(scope="module")
def known() -> ModalityTable:
    """Cases of the shipped bank, a little changed, as nodules of a site: two of each patient."""
    cases = open_bank(find_shipped_bank(Settings())).table
    picked = cases.rows(np.random.default_rng(1).permutation(len(cases))[:COUNT])
    random = np.random.default_rng(2)
    return replace(
        picked,
        features={
            name: (values * random.normal(1, 0.01, values.shape)).astype(np.float32)
            for name, values in picked.features.items()
        },
        patients=np.array([f"person {row // 2}" for row in range(COUNT)]),
        nodules=np.array([f"1.2.3.{row}" for row in range(COUNT)]),
    )


@pytest.fixture
def evaluate(tmp_path: Path) -> Callable[..., tuple[Result, dict[str, Any]]]:
    def run(
        *tables: ModalityTable, outcomes: str = "", options: tuple[str, ...] = (), **settings: str
    ) -> tuple[Result, dict[str, Any]]:
        paths = [tmp_path / f"{number}.npz" for number in range(len(tables))]
        for path, table in zip(paths, tables, strict=True):
            save_table(path, table)
        out = tmp_path / "figures.json"
        out.unlink(missing_ok=True)
        arguments = ["--json", str(out), "--rounds", "30", *options]
        if outcomes:
            (tmp_path / "outcomes.csv").write_text(outcomes)
            arguments += ["--outcomes", str(tmp_path / "outcomes.csv")]
        done = CliRunner().invoke(
            app,
            ["evaluate", "site", *map(str, paths), *arguments],
            env={"COLUMNS": "200", **settings},
        )
        return done, json.loads(out.read_text()) if out.exists() else {}

    return run


def without_ratings(table: ModalityTable) -> ModalityTable:
    return replace(table, rating=np.full(len(table), np.nan))


def outcomes_of(table: ModalityTable) -> str:
    lines = [
        f"{nodule},{'malignant' if rating > 3 else 'benign'}"
        for nodule, rating in zip(table.nodules, table.rating, strict=True)
    ]
    return "\n".join(["nodule,outcome", *lines])


def test_known_ratings_are_measured_and_the_limits_reached(
    evaluate: Callable[..., tuple[Result, dict[str, Any]]], known: ModalityTable
) -> None:
    done, figures = evaluate(known.rows(np.arange(40)), known.rows(np.arange(40, COUNT)))

    assert done.exit_code == 0, done.output
    assert "the limits are reached" in done.output
    rated = figures["truth"]["ratings"]
    assert figures["graded"] + figures["withheld"]["rows"] == COUNT
    assert figures["patients"] == COUNT // 2
    assert rated["auc"]["low"] < rated["auc"]["value"] < rated["auc"]["high"]
    assert rated["qwk"]["value"] > 0.5
    assert (
        sum(group["rows"] for name, group in rated["subgroups"].items() if "mm" in name)
        == (rated["rows"])
    )
    assert sum(one["rows"] for one in rated["calibration"]["bins"]) == rated["rows"]
    assert rated["calibration"]["refitted"]["temperature_factor"] > 0
    assert "outcomes" not in figures["truth"]


def test_outcomes_come_from_a_file(
    evaluate: Callable[..., tuple[Result, dict[str, Any]]], known: ModalityTable
) -> None:
    done, figures = evaluate(without_ratings(known), outcomes=outcomes_of(known) + "\n9.9.9,benign")

    found = figures["truth"]["outcomes"]
    assert done.exit_code == 0, done.output
    assert found["auc"]["value"] > 0.8
    assert 0 < found["sensitivity_from_III"]["low"] <= found["sensitivity_from_III"]["value"] <= 1
    assert found["malignant"] + found["benign"] == found["rows"]
    assert figures["answers_without_row"] == 1
    assert "ratings" not in figures["truth"]


def test_below_the_limits_the_command_says_do_not_activate(
    evaluate: Callable[..., tuple[Result, dict[str, Any]]], known: ModalityTable
) -> None:
    wrong = replace(known, rating=np.random.default_rng(3).permutation(known.rating))
    done, figures = evaluate(wrong)
    few, told = evaluate(known.rows(np.arange(20)), options=("--least-rows", "1000"))

    assert (done.exit_code, few.exit_code) == (3, 3)
    assert "do not activate" in done.output
    assert not figures["verdict"]["passes"]
    assert told["verdict"]["not_counted"] == {"ratings": told["graded"]}


def test_withheld_rows_are_counted_with_their_reasons(
    evaluate: Callable[..., tuple[Result, dict[str, Any]]], known: ModalityTable
) -> None:
    column = "log_mean_diameter_mm"
    name = next(name for name, columns in known.names.items() if column in columns)
    values = known.features[name].copy()
    values[:3, known.names[name].index(column)] = (6.0, 6.1, 6.2)
    odd = replace(known, features={**known.features, name: values})
    done, figures = evaluate(odd)

    lost = figures["withheld"]
    reason = next(text for text in lost["reasons"] if "mean_diameter_mm is outside" in text)
    assert lost["reasons"][reason] == 3
    assert lost["subgroups"]["over 15 mm"] >= 3
    assert reason in done.output
    assert figures["graded"] <= COUNT - 3


def test_no_identifier_is_told(
    evaluate: Callable[..., tuple[Result, dict[str, Any]]], known: ModalityTable
) -> None:
    some = known.rows(np.arange(20))
    done, figures = evaluate(some, outcomes=outcomes_of(some))

    said = done.output + json.dumps(figures)
    assert "1.2.3." not in said
    assert "person" not in said.replace("persons", "")


def test_patients_of_the_bank_are_refused_unless_allowed(
    evaluate: Callable[..., tuple[Result, dict[str, Any]]], known: ModalityTable
) -> None:
    cases = open_bank(find_shipped_bank(Settings())).table.rows(np.arange(30))
    as_it_is, nothing = evaluate(cases)
    renamed = replace(cases, patients=known.patients[:30], nodules=known.nodules[:30])
    by_features, _ = evaluate(renamed)
    allowed, figures = evaluate(cases, options=("--allow-bank-patients",))

    assert as_it_is.exit_code == by_features.exit_code == 1
    assert not nothing
    assert "30 rows are of" in as_it_is.output
    assert allowed.exit_code in (0, 3)
    assert figures["in_bank"] == 30
    assert "these figures flatter" in allowed.output


def test_a_candidate_that_became_a_case_is_found_by_its_digest(
    tmp_path: Path, known: ModalityTable
) -> None:
    from workers.bank.admit import add_candidate
    from workers.bank.answers import Told
    from workers.bank.changes import promote
    from workers.bank.nodule import FoundNodule

    folder = BankFolder(tmp_path / "bank")
    shipped = find_shipped_bank(Settings())
    begin(folder, shipped.path, prefix="KGH", by="Ada Admin", sha256=shipped.sha256)
    row = known.rows(np.array([4]))
    found = FoundNodule(
        patient="person 2",
        tracking_uid="9.9.9.9",
        identifiers=frozenset(),
        row=row,
        about={},
    )
    made = add_candidate(folder, found, by="Dr. One", told=Told(rating=4))
    promote(folder, made.case_id, by="Dr. Two", grader=None, really=True)

    other = known.rows(np.arange(3, 8))
    other = replace(other, features={k: v + 0.5 for k, v in other.features.items()})
    flags = rows_in_bank(other, open_bank(folder.need_current()), Settings(bank_dir=folder.path))

    assert other.patients[flags].tolist() == ["person 2", "person 2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("uid,outcome\n1.2,benign", "has not these columns"),
        ("nodule,outcome\n1.2,maybe", "line 2: outcome maybe is neither"),
        ("nodule,rating\n1.2,6", "line 2: rating 6 is not 1 to 5"),
        ("nodule,rating\n1.2,3\n1.2,4", "line 3: names a nodule again"),
        ("nodule,rating\n,4", "line 2: names no nodule"),
    ],
)
def test_an_answer_that_is_none_is_refused_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "outcomes.csv"
    path.write_text(text)

    with pytest.raises(DatasetRefused, match=said):
        read_outcomes(path)


def test_a_table_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.csv"
    path.write_bytes(
        "\ufeffNodule;Rating;Outcome;remark\r\n1.2;3,5;Malignant;x\r\n;;;\r\n".encode()
    )

    found = read_outcomes(path)["1.2"]

    assert (found.rating, found.malignant) == (3.5, 1.0)


def test_a_nodule_is_counted_once(known: ModalityTable, tmp_path: Path) -> None:
    with pytest.raises(DatasetRefused, match="have a row already"):
        join_tables([known, known], [tmp_path / "a", tmp_path / "b"])


def test_without_answers_nothing_is_measured(
    evaluate: Callable[..., tuple[Result, dict[str, Any]]], known: ModalityTable
) -> None:
    bare, _ = evaluate(without_ratings(known))
    strange, _ = evaluate(known, outcomes="nodule,outcome\n9.9,benign")

    assert bare.exit_code == strange.exit_code == 1
    assert "no nodule has a rating or an outcome" in bare.output
    assert "names no nodule of the tables" in strange.output


def answers(count: int, malignant: float) -> SiteAnswers:
    """Sure answers, all of level IV."""
    return SiteAnswers(
        probabilities=np.tile([0.0, 0.0, 0.0, 1.0], (count, 1)),
        level=np.full(count, 3),
        patients=np.array([f"P{row}" for row in range(count)]),
        rating=np.full(count, np.nan),
        malignant=np.full(count, malignant),
        diameter_mm=np.full(count, 15.0),
        texture=np.full(count, 5.0),
    )


def test_figures_that_cannot_be_told_do_not_pass() -> None:
    figures = measure(answers(60, 1.0), rounds=20)
    found = figures["outcomes"]

    assert found["auc"] == {"value": None, "low": None, "high": None}
    assert found["sensitivity_from_III"]["value"] == 1
    assert found["specificity_from_III"]["value"] is None
    assert found["subgroups"]["8 to 15 mm"]["rows"] == 60
    assert not decide(figures, Limits())["passes"]


def test_intervals_resample_patients_not_rows() -> None:
    one = answers(200, 1.0)
    random = np.random.default_rng(0)
    suspicion = random.uniform(size=200)
    mixed = replace(
        one,
        probabilities=np.column_stack([1 - suspicion, 0 * suspicion, 0 * suspicion, suspicion]),
        malignant=(random.uniform(size=200) < suspicion).astype(float),
    )
    few_people = replace(mixed, patients=np.array([f"P{row // 20}" for row in range(200)]))

    by_row, by_person = (measure(item, rounds=200)["outcomes"] for item in (mixed, few_people))

    assert by_row["auc"]["value"] == by_person["auc"]["value"]
    assert by_row["auc"] != by_person["auc"]
    assert by_row["calibration"]["refitted"]["temperature_factor"] == pytest.approx(1.0, abs=0.35)
