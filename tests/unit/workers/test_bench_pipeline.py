"""The benchmark of the whole way runs a real service and tells every stage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workers.bench.growth_picture import draw_growth
from workers.bench.pipeline import STAGES, Series, growing
from workers.cli.main import app


@pytest.mark.long  # a day of `bench scale` goes through the whole service in `make test`
@pytest.mark.timeout(300)
def test_every_stage_is_timed_and_they_add_up(tmp_path: Path) -> None:
    told = CliRunner().invoke(
        app,
        ["bench", "pipeline", "--slices", "60", "--nodules", "1", "--pixels", "256", "--runs", "1",
         "--json", str(tmp_path / "out.json")],
    )  # fmt: skip

    assert told.exit_code == 0, told.output
    (case,) = json.loads((tmp_path / "out.json").read_text())["cases"]
    median = case["median"]
    assert (case["slices"], case["nodules"]) == (60, 1)
    assert median["nodules_found"] >= 1
    assert min(median[name] for name in STAGES) > -0.5  # clocks of two processes
    assert median["image_to_report"] == pytest.approx(sum(median[name] for name in STAGES))
    assert median["analysis"] > 0
    assert median["peak_rss_mb"] > 100


def test_growth_is_drawn_from_the_usual_series_on(tmp_path: Path) -> None:
    usual = Series(slices=300, nodules=5)
    cases = list(growing((100, 600), (0, 30), usual=usual))
    assert [(case.slices, case.nodules) for case in cases] == [
        (300, 5), (100, 5), (600, 5), (300, 0), (300, 30)
    ]  # fmt: skip
    result = {
        "cases": [
            {
                "slices": case.slices,
                "nodules": case.nodules,
                "median": {"image_to_report": case.slices / 50, "analysis": case.slices / 60},
            }
            for case in cases
        ]
    }

    draw_growth(result, tmp_path / "growth.png")

    assert (tmp_path / "growth.png").stat().st_size > 5000
