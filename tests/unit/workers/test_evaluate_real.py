"""`pulmonode evaluate real`: real nodules through the shipped encoder, graph and bank."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from tests.conftest import SHARED, need_ct
from workers.cli.main import app


def test_real_nodules_are_graded_beside_what_readers_said(tmp_path: Path) -> None:
    for name in ("lidc_idri_0001", "cmb_crc_MSB-01068", "cptac_lscc_C3N-00247"):
        need_ct(name)
    out = tmp_path / "real.json"

    done = CliRunner().invoke(
        app,
        [
            "evaluate", "real", "--data", str(SHARED), "--json", str(out),
            "--chunks", str(SHARED / "reference" / "luna16_chunks"),
        ],
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    nodules = {line["nodule"]: line for line in json.loads(out.read_text())["nodules"]}
    assert len(nodules) == 9
    assert nodules["lidc_idri_0001, nodule 1"]["grade"]["level"] in ("III", "IV")
    rated = [line for line in nodules.values() if "rating" in line["known"]]
    assert {line["known"]["rating"] for line in rated} == {3.67, 3.33, 4.0, 2.33}
    for line in nodules.values():
        grade = line["grade"]
        assert grade["withheld"] or abs(sum(grade["probabilities"]) - 1) < 1e-6
