"""docs/reliability.md shows every cell of the matrix, and nothing lost, doubled or stuck."""

from __future__ import annotations

from collections import Counter

from tests.faults.cells import all_cells
from tests.faults.table import CELL_HEAD, DOCUMENT, STORM_HEAD, between
from tests.faults.test_storm import SERIES, STORMS
from tests.faults.test_two_hosts import CASES
from tests.faults.verdict import Verdict

SMOKE_CELLS = 12
CELLS = [*all_cells(), *(case.cell for case in CASES)]


def shown(name: str, head: tuple[str, ...]) -> list[dict[str, str]]:
    first, _, *rows = between(DOCUMENT.read_text(), name).splitlines()
    names = [name.strip() for name in first.strip("|").split("|")]
    assert names == list(head)
    return [
        dict(zip(names, (cell.strip() for cell in row.strip("|").split("|")), strict=True))
        for row in rows
    ]


def test_the_document_shows_every_cell_once() -> None:
    wanted = Counter((cell.kind, cell.fault, cell.stage) for cell in CELLS)

    found = Counter(
        (row["servers"], row["fault"], row["stage"]) for row in shown("cells", CELL_HEAD)
    )

    assert found == wanted
    assert found.total() >= 60


def test_no_cell_of_the_document_lost_doubled_or_left_anything() -> None:
    for row in shown("cells", CELL_HEAD):
        values = (row["lost"], row["SR"], row["SEG"], row["as committed"], row["stuck"])
        assert values == ("0", "1", "1", "yes", "0"), row
        assert row["acknowledged"] == "64", row
        assert row["end"] == "confirmed", row


def test_every_cell_that_can_prove_that_it_struck_does_and_persons_are_told_where_needed() -> None:
    by_name = {(cell.kind, cell.fault, cell.stage): cell for cell in CELLS}
    for row in shown("cells", CELL_HEAD):
        cell = by_name[row["servers"], row["fault"], row["stage"]]
        proves = cell.barrier is not None or cell.proof is not None
        assert row["hit"] == ("yes" if proves else "-"), row
        if cell.alarm is not None:
            assert cell.alarm in row["alarms"].split(", "), row


def test_the_document_shows_both_storms_with_every_series_back_once() -> None:
    rows = shown("storms", STORM_HEAD)

    assert sorted(row["servers"] for row in rows) == sorted(STORMS)
    for row in rows:
        assert (row["acknowledged"], row["lost"]) == (str(64 * SERIES), "0"), row
        for name in ("confirmed", "one SR", "one SEG", "as committed"):
            assert row[name] == str(SERIES), row
        assert int(row["resent"]) > 0, row


def test_a_smoke_of_the_matrix_is_part_of_every_test_run() -> None:
    assert sum(cell.smoke for cell in all_cells()) == SMOKE_CELLS


def test_a_verdict_names_everything_that_is_wrong() -> None:
    """The matrix can fail: each figure that is not as it must be is a problem."""
    good = {
        "servers": "embedded", "fault": "f", "stage": "s", "hits": 1, "acknowledged": 64,
        "lost": 0, "reports": 1, "segmentations": 1, "as_committed": True, "resends": 3,
        "stuck": 0, "state": "confirmed", "alarms": ["job_stopped"], "duration_s": 1.0,
        "wanted_instances": 64, "wanted_alarm": "job_stopped", "commit": "0",
    }  # fmt: skip
    assert Verdict(**good).problems() == []

    for change in (
        {"hits": 0}, {"acknowledged": 63}, {"lost": 1}, {"reports": 2}, {"segmentations": 0},
        {"as_committed": False}, {"stuck": 1}, {"state": "failed"}, {"alarms": []},
    ):  # fmt: skip
        (problem,) = Verdict(**{**good, **change}).problems()
        assert "must be" in problem or "no effect" in problem
