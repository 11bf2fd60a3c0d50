"""The benchmark of grading runs and tells each bank's time."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from workers.cli.main import app


def test_each_bank_is_timed() -> None:
    told = CliRunner().invoke(
        app,
        ["bench", "grading", "--cases", "20,60", "--runs", "2", "--members", "1", "--json", "-"],
    )

    assert told.exit_code == 0, told.output
    result = json.loads(told.stdout)
    assert set(result["ms"]) == {"20", "60"}
    assert min(result["ms"].values()) > 0


def test_sizes_that_are_no_numbers_are_refused() -> None:
    told = CliRunner().invoke(app, ["bench", "grading", "--cases", "ten"])

    assert told.exit_code == 1
    assert "--cases are numbers above 0" in told.stderr
