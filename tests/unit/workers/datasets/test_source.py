from __future__ import annotations

from pathlib import Path

import pytest

from dicom_node.errors import SeriesRejected
from tests.unit.workers.datasets import series
from workers.datasets.scan import AnnotatedScan
from workers.datasets.source import iterate, parse_source
from workers.errors import DatasetRefused


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for name in ("one", "two", "three"):
        series.write_series(tmp_path / name, patient=name, key=name)
    lines = ["series,x,y,z,diameter", *(f"{name},-8,-20,110,5" for name in ("one", "two", "three"))]
    path = tmp_path / "nodules.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nodules.csv", "write FORMAT:PATH, FORMAT one of lidc, luna16, seg, csv"),
        ("voc:/tmp", "is no data set"),
        ("lidc:", "is no data set"),
        ("lidc:/nowhere/at/all", "nothing at that path"),
    ],
)
def test_what_is_no_data_set_is_refused(text: str, words: str) -> None:
    with pytest.raises(DatasetRefused, match=words):
        parse_source(text)


def test_one_broken_scan_is_passed_over_and_counted(table: Path) -> None:
    (table.parent / "two" / "0003.dcm").write_bytes(b"no DICOM")
    said: list[str] = []
    used: list[str] = []

    tally = iterate(
        [parse_source(f"csv:{table}")], lambda scan: used.append(scan.patient_id), told=said.append
    )

    assert used == ["one", "three"]
    assert (tally.used, len(tally.broken)) == (2, 1)
    assert "0003.dcm" in said[0]
    assert tally.lines()[-1] == "annotated scans: 2 used, 1 skipped"


def test_a_scan_that_fails_in_use_is_passed_over_as_well(table: Path) -> None:
    def use(scan: AnnotatedScan) -> None:
        if scan.patient_id != "three":
            raise SeriesRejected("undecodable", "no pixels")

    tally = iterate([parse_source(f"csv:{table}")], use, told=lambda _: None)

    assert (tally.used, len(tally.broken)) == (1, 2)
    assert "no pixels" in tally.broken[0].why


def test_when_every_scan_is_broken_that_is_an_error_with_a_reason(table: Path) -> None:
    def use(_: AnnotatedScan) -> None:
        raise SeriesRejected("undecodable", "no pixels")

    with pytest.raises(
        DatasetRefused, match=r"no scan of it can be used \(3 skipped, 0 left out.*no pixels"
    ):
        iterate([parse_source(f"csv:{table}")], use, told=lambda _: None)


def test_a_series_in_two_data_sets_is_used_once_and_unwanted_ones_are_left_out(
    table: Path,
) -> None:
    source = parse_source(f"csv:{table}")

    tally = iterate(
        [source, source],
        lambda _: None,
        told=lambda _: None,
        accept=lambda scan: scan.patient_id != "two",
    )

    assert (tally.used, tally.left_out) == (2, 4)
    assert tally.lines()[-1].endswith("2 used, 0 skipped, 4 left out")
