"""Receiving is measured against the real receivers; ratios are those of the rates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import need_program
from workers.bench.receivers import RECEIVERS
from workers.cli.main import app


@pytest.mark.peer
def test_every_receiver_keeps_every_image_and_is_compared_with_ours(tmp_path: Path) -> None:
    for program in ("dcmsend", "storescp", "Orthanc"):
        need_program(program)

    told = CliRunner().invoke(
        app,
        ["bench", "receive", "--images", "8", "--rounds", "1", "--folder", str(tmp_path),
         "--json", "-"],
    )  # fmt: skip

    assert told.exit_code == 0, told.output
    result = json.loads(told.stdout)
    assert list(result["images_per_s"]) == [item.name for item in RECEIVERS]
    assert result["durable"] == {item.name: item.durable for item in RECEIVERS}
    for name, by_count in result["ratios"].items():
        for count, ratio in by_count.items():
            ours, theirs = (
                result["images_per_s"][each][count]["median"] for each in ("ours", name)
            )
            assert ratio == pytest.approx(ours / theirs)
    assert set(result["ratios"]) == set(result["images_per_s"]) - {"ours"}
