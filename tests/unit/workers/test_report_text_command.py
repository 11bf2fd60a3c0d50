"""`pulmonode report extract`: a table, JSON with sources, Chinese files, clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from workers.cli.main import app

CHINESE = "右肺上叶见磨玻璃结节，直径约8mm。"


def _extract(*arguments: str, text: bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["report", "extract", *arguments], input=text)


def test_a_table_shows_nodules_and_history(tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_text("8 x 6 mm RUL nodule. Former smoker. Lung-RADS 4A.", "utf-8")

    told = _extract(str(file))

    assert told.exit_code == 0
    for words in ("RUL", "8 x 6", "smoking_status former", "Lung-RADS 4A"):
        assert words in told.output


def test_json_has_every_value_with_its_place_from_standard_input() -> None:
    told = json.loads(_extract("-", "--json", text=CHINESE.encode()).output)

    (nodule,) = told["nodules"]
    assert nodule["size_mm"] == 8.0
    assert nodule["lobe"] == "RUL"
    source = nodule["sources"]["size_mm"]
    assert CHINESE[source["start"] : source["end"]] == source["words"] == "8mm"
    assert told["language"] == "zh"


def test_a_file_of_a_chinese_system_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_bytes(CHINESE.encode("gb18030"))

    told = json.loads(_extract(str(file), "--json").output)

    assert told["nodules"][0]["type"] == "ground-glass"


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    absent = _extract(str(tmp_path / "none.txt"))
    garbled = _extract("-", text=b"\xff\xff\x80")

    assert absent.exit_code == garbled.exit_code == 1
    assert "cannot be read" in absent.output
    assert "neither UTF-8 nor GB18030" in garbled.output


def test_nothing_found_is_said() -> None:
    assert "No nodule is told of." in _extract("-", text=b"Clear lungs.").output
