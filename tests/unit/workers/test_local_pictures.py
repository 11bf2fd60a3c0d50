"""Pictures in the folder of `pulmonode analyse`: of these findings, and of no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.unit.workers.page_cases import CREATED, findings_of, nodules_of, small_series, text_of
from workers.case import CaseResult
from workers.doctor import examine
from workers.local import write_result
from workers.page.draw import draw_case
from workers.settings import Settings
from workers.translate import to_report_content


def result_of(folder: Path, count: int, *, drawn: bool = True) -> CaseResult:
    series = small_series(folder)
    findings = findings_of(nodules_of(series, count))
    uids = [f"2.25.{nodule.id}" for nodule in findings.nodules]
    return CaseResult(
        findings=findings,
        findings_json={"status": "analysed"},
        content=to_report_content(findings, revision=1, tracking_uids=uids),
        objects=(),
        pictures=draw_case(series, findings, revision=1, created=CREATED, language="en")
        if drawn
        else None,
    )


def test_pictures_of_an_earlier_analysis_go(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = result_of(tmp_path / "ct", 2)

    written = write_result(result, out)
    again = write_result(result_of(tmp_path / "other", 1), out)
    last = write_result(result_of(tmp_path / "third", 1, drawn=False), out)

    assert [path.name for path in written] == [
        "findings.json", "report.pdf", "key_1.png", "key_2.png",
    ]  # fmt: skip
    assert [path.name for path in again] == ["findings.json", "report.pdf", "key_1.png"]
    assert [path.name for path in last] == ["findings.json"]
    assert sorted(path.name for path in out.iterdir()) == ["findings.json"]


def test_what_is_written_is_what_was_drawn(tmp_path: Path) -> None:
    result = result_of(tmp_path / "ct", 1)
    assert result.pictures is not None

    write_result(result, tmp_path / "out")

    shown = np.asarray(Image.open(tmp_path / "out/key_1.png"))
    assert np.array_equal(shown, np.asarray(result.pictures.nodules[0].sheet))
    assert "1 nodule reported." in text_of((tmp_path / "out/report.pdf").read_bytes())


def test_the_doctor_says_when_a_font_cannot_be_used(tmp_path: Path) -> None:
    broken = tmp_path / "font.ttf"
    broken.write_bytes(b"no font")

    (check,) = [
        check
        for check in examine(Settings(data_dir=tmp_path, font_file=broken))
        if check.what == "fonts"
    ]

    assert check.ok is False
    assert "font.ttf cannot be used" in check.found
