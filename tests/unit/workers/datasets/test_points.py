from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.workers.datasets import series
from workers.datasets.points import find_scans
from workers.datasets.scan import AnnotatedScan, BrokenScan
from workers.errors import DatasetRefused

INSIDE = "-8,-20,110"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    series.write_series(tmp_path / "ct" / "one", patient="A", key="1")
    series.write_series(tmp_path / "ct" / "two", patient="B", key="2")
    return tmp_path / "nodules.csv"


def found(table: Path, *lines: str, head: str = "series,x,y,z,diameter") -> list[AnnotatedScan]:
    table.write_text("\n".join([head, *lines]) + "\n")
    items = list(find_scans(table))
    assert all(isinstance(item, AnnotatedScan) for item in items), items
    return [item for item in items if isinstance(item, AnnotatedScan)]


def reason(table: Path, *lines: str, head: str = "series,x,y,z,diameter") -> str:
    table.write_text("\n".join([head, *lines]) + "\n")
    (item,) = find_scans(table)
    assert isinstance(item, BrokenScan)
    return item.why


def test_series_are_named_by_folder_or_by_uid(table: Path) -> None:
    uid = series.series_uid(table.parent / "ct" / "two")

    one, two = found(table, f"ct/one,{INSIDE},7", f"{uid},{INSIDE},9.5", f"ct/one,{INSIDE},5")

    assert (one.patient_id, two.patient_id) == ("A", "B")
    assert [item.diameter_mm for item in one.nodules] == [7, 5]
    assert two.identifier == uid
    assert two.nodules[0].centre_lps_mm == (-8, -20, 110)
    assert two.nodules[0].readers is None
    assert two.read_volume().shape == (series.SLICES, series.ROWS, series.COLUMNS)


def test_a_line_without_coordinates_is_a_series_without_nodules(table: Path) -> None:
    assert found(table, "ct/one,,,,")[0].nodules == ()


def test_labels_types_readers_and_patients(table: Path) -> None:
    head = "Series, X ,y,z,diameter,label,readers,type,patient"

    (scan,) = found(
        table,
        f"ct/one,{INSIDE},7,,2,ground-glass,anonymous 7",
        f"ct/one,{INSIDE},6,ignore,,,",
        f"ct/one,{INSIDE},6,non-nodule,,,",
        head=head,
    )

    assert scan.patient_id == "anonymous 7"
    assert (scan.nodules[0].readers, scan.nodules[0].kind) == (2, "ground-glass")
    assert [mark.radius_mm for mark in scan.other_marks] == [3.0]
    assert scan.negatives_lps_mm == pytest.approx(np.array([[-8, -20, 110]]))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ct/one,-8,-20,110,0", "line 2: diameter is '0'"),
        ("ct/one,-8,x,110,5", "line 2: y is 'x'"),
        ("ct/one,-8,nan,110,5", "line 2: y is 'nan'"),
        ("ct/one,20,23,6,5", "not voxels or RAS"),
        ("ct/three,-8,-20,110,5", "no folder beside the table"),
        ("1.2.3.4,-8,-20,110,5", "no series below it"),
    ],
)
def test_a_wrong_line_breaks_its_series_and_is_named(table: Path, line: str, words: str) -> None:
    assert words in reason(table, line)


def test_a_label_that_is_none_says_which_there_are(table: Path) -> None:
    why = reason(table, f"ct/one,{INSIDE},5,tumour", head="series,x,y,z,diameter,label")

    assert "label is one of nodule, ignore, non-nodule" in why


@pytest.mark.parametrize(
    ("text", "why"), [("", "has no column"), ("series,x,y,z,diameter\n", "has no line")]
)
def test_a_table_that_is_none_is_refused(table: Path, text: str, why: str) -> None:
    table.write_text(text)

    with pytest.raises(DatasetRefused, match=why):
        list(find_scans(table))
