"""docs/security.md cites tests that there are, so that it cannot rot."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

CITED = re.compile(r"`(test_\w+\.py)(?:::(test_\w+))?`")
TEXT = (REPOSITORY / "docs/security.md").read_text()


def rows(text: str) -> list[list[str]]:
    """Cells of every row of every table of threats: threat, measure, test."""
    found = []
    table = False
    for line in text.splitlines():
        if line.startswith("| threat |"):
            table = True
        elif not line.startswith("|"):
            table = False
        elif table and not line.startswith("|---"):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def missing(cell: str) -> list[str]:
    """Test files or tests that a cell cites and that are not there."""
    wrong = []
    for file, test in CITED.findall(cell):
        paths = list((REPOSITORY / "tests").rglob(file))
        if not paths or (test and not any(is_in(path, test) for path in paths)):
            wrong.append(f"{file}::{test}" if test else file)
    return wrong


def is_in(path: Path, test: str) -> bool:
    return re.search(rf"^def {test}\(", path.read_text(), re.MULTILINE) is not None


def test_every_threat_has_a_measure_and_a_test_that_there_is() -> None:
    table = rows(TEXT)

    assert len(table) > 50
    assert [row for row in table if len(row) != 3 or not all(row)] == []
    assert [row[0] for row in table if not CITED.search(row[2])] == []
    assert [wrong for row in table for wrong in missing(row[2])] == []


def test_every_test_that_the_document_cites_is_there() -> None:
    assert missing(TEXT) == []


@pytest.mark.parametrize(
    "cell", ["`test_that_nobody_wrote.py`", "`test_bombs.py::test_that_nobody_wrote`"]
)
def test_a_test_that_is_not_there_is_found(cell: str) -> None:
    assert missing(cell)
