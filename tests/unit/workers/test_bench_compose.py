"""The benchmark of composing makes every kind of object and tells time and size of each."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from workers.cli.main import app


def test_every_kind_is_timed_and_weighed() -> None:
    told = CliRunner().invoke(
        app,
        ["bench", "compose", "--slices", "30", "--pixels", "64", "--nodules", "2", "--runs", "1",
         "--json", "-"],
    )  # fmt: skip

    assert told.exit_code == 0, told.output
    result = json.loads(told.stdout)
    assert list(result["wall_s"]) == ["seg", "sr", "pictures", "key_images", "pdf"]
    assert min(result["wall_s"].values()) > 0
    assert list(result["bytes"]) == ["seg", "sr", "key_images", "pdf"]
    assert result["bytes"]["key_images"] > 2 * 2_000_000  # two uncompressed sheets
    assert result["volume"] == {
        "shape": [30, 64, 64], "nodules": 2, "diameters_mm": [6.0, 12.0]
    }  # fmt: skip
