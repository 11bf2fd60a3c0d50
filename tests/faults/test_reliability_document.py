"""docs/reliability.md shows every cell of the matrix, and nothing lost, doubled or stuck."""

from __future__ import annotations

import re
from collections import Counter

from tests.faults.cells import all_cells
from tests.faults.table import CELL_HEAD, DOCUMENT, between
from tests.faults.verdict import Verdict

SMOKE_CELLS = 12


def shown() -> list[dict[str, str]]:
    head, _, *rows = between(DOCUMENT.read_text(), "cells").splitlines()
    names = [name.strip() for name in head.strip("|").split("|")]
    assert names == list(CELL_HEAD)
    return [
        dict(zip(names, (cell.strip() for cell in row.strip("|").split("|")), strict=True))
        for row in rows
    ]


def test_the_document_shows_every_cell_once() -> None:
    wanted = Counter((cell.kind, cell.fault, cell.stage) for cell in all_cells())

    found = Counter((row["servers"], row["fault"], row["stage"]) for row in shown())

    assert {key: n for key, n in found.items() if key[0] != "two hosts"} == wanted
    assert found.total() >= 60


def test_no_cell_of_the_document_lost_doubled_or_left_anything() -> None:
    for row in shown():
        values = (row["lost"], row["SR"], row["SEG"], row["as committed"], row["stuck"])
        assert values == ("0", "1", "1", "yes", "0"), row
        assert row["end"] == "confirmed", row


def test_cells_with_a_barrier_prove_that_it_was_hit_and_those_for_a_person_that_it_was_said() -> (
    None
):
    by_name = {(cell.kind, cell.fault, cell.stage): cell for cell in all_cells()}
    for row in shown():
        cell = by_name.get((row["servers"], row["fault"], row["stage"]))
        if cell is None:
            continue
        assert row["hit"] == ("-" if cell.barrier is None else "yes"), row
        if cell.alarm is not None:
            assert cell.alarm in row["alarms"], row


def test_a_smoke_of_the_matrix_is_part_of_every_test_run() -> None:
    assert sum(cell.smoke for cell in all_cells()) == SMOKE_CELLS


def test_a_verdict_names_everything_that_is_wrong() -> None:
    """The matrix can fail: each figure that is not as it must be is a problem."""
    good = {
        "servers": "embedded", "fault": "f", "stage": "s", "hits": 1, "acknowledged": 64,
        "lost": 0, "reports": 1, "segmentations": 1, "as_committed": True, "resends": 3,
        "stuck": 0, "state": "confirmed", "alarm": "job_stopped", "duration_s": 1.0,
    }  # fmt: skip
    assert Verdict(**good).problems(64, "job_stopped") == []

    for change in (
        {"hits": 0}, {"acknowledged": 63}, {"lost": 1}, {"reports": 2}, {"segmentations": 0},
        {"as_committed": False}, {"stuck": 1}, {"state": "failed"}, {"alarm": "-"},
    ):  # fmt: skip
        (problem,) = Verdict(**{**good, **change}).problems(64, "job_stopped")
        assert re.search(r"must be|not hit", problem)
