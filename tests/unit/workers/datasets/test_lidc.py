from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from tests.conftest import need_ct
from tests.unit.workers.datasets import series
from workers.datasets.excluded import EXCLUDED_SERIES, may_train
from workers.datasets.lidc import find_scans
from workers.datasets.lidc_xml import parse_readings
from workers.datasets.scan import AnnotatedScan, BrokenScan
from workers.errors import DatasetRefused

SOLID = {"texture": 5, "calcification": 6, "malignancy": 4}
GLASS = {"texture": 1, "calcification": 6, "malignancy": 2}


def z(k: int) -> float:
    return 100.0 + 2.0 * k


def write_case(root: Path, *, uids_match: bool = True, apart: bool = True) -> Path:
    """A nodule of three readers, 6 x 6 pixels on three slices; another of one; small; other."""
    folder = root / "LIDC-IDRI-0099" / "study" / "series"
    uids = series.write_series(folder, patient="LIDC-IDRI-0099")
    named = uids if uids_match else [f"1.2.3.{k}" for k in range(len(uids))]

    def marks(row: int, column: int) -> list[str]:
        return [series.roi(named[k], z(k), series.square(row, column, 6)) for k in (4, 5, 6)]

    alone = [series.roi(named[22], z(22), series.square(30, 34, 5))]
    point = [series.roi(named[2], z(2), [(7, 9)])]
    sessions = [
        series.nodule("a", marks(10, 12), **SOLID) + series.nodule("b", point),
        series.nodule("x", marks(10, 12), **SOLID),
        series.nodule("y", marks(10, 13), **SOLID) + series.nodule("z", alone, **GLASS),
        series.non_nodule(named[8], z(8), 20, 25),
    ]
    place = root / "xml" if apart else folder
    place.mkdir(exist_ok=True)
    (place / "069.xml").write_text(series.message(series.series_uid(folder), sessions))
    return folder


def only(root: Path) -> AnnotatedScan:
    (scan,) = find_scans(root)
    assert isinstance(scan, AnnotatedScan), scan
    return scan


@pytest.mark.parametrize("apart", [True, False], ids=["xml apart", "xml beside the slices"])
@pytest.mark.parametrize("uids_match", [True, False], ids=["by UID", "by z"])
def test_marks_become_nodules_with_readers_place_and_size(
    tmp_path: Path, apart: bool, uids_match: bool
) -> None:
    write_case(tmp_path, uids_match=uids_match, apart=apart)

    scan = only(tmp_path)

    first, second = scan.nodules
    assert scan.patient_id == "LIDC-IDRI-0099"
    assert (first.readers, second.readers) == (3, 1)
    # Two of three readers: rows 10 to 15, columns 12 to 17, slices 4 to 6.
    assert first.mask is not None
    assert first.mask.mask.sum() == 6 * 6 * 3
    assert first.centre_lps_mm == pytest.approx((-20 + 0.8 * 14.5, -30 + 0.8 * 12.5, z(5)))
    assert first.diameter_mm == pytest.approx((6 * 108 * 0.8 * 0.8 * 2 / np.pi) ** (1 / 3))
    assert first.ratings == {"texture": 5.0, "calcification": 6.0, "malignancy": 4.0}
    assert (first.kind, second.kind) == ("solid", "ground-glass")


def test_small_nodules_and_non_nodules_are_kept_apart(tmp_path: Path) -> None:
    write_case(tmp_path)

    marks = {mark.kind: mark for mark in only(tmp_path).other_marks}

    assert marks["small"].centre_lps_mm == pytest.approx((-20 + 0.8 * 7, -30 + 0.8 * 9, z(2)))
    place = (-20 + 0.8 * 20, -30 + 0.8 * 25, z(8))
    assert marks["non-nodule"].centre_lps_mm == pytest.approx(place)
    assert only(tmp_path).negatives_lps_mm == pytest.approx(np.array([place]))


def test_nodules_by_too_few_readers_are_neither_right_nor_wrong(tmp_path: Path) -> None:
    write_case(tmp_path)

    counted, ignored = only(tmp_path).split_by_readers(3)

    assert [item.readers for item in counted] == [3]
    assert [item.readers for item in ignored] == [1]


def test_the_volume_is_on_the_grid_of_the_masks(tmp_path: Path) -> None:
    write_case(tmp_path)

    volume = only(tmp_path).read_volume()

    assert volume.shape == (series.SLICES, series.ROWS, series.COLUMNS)
    assert volume.affine == pytest.approx(series.AFFINE)


def test_a_mark_on_a_slice_that_is_not_there_breaks_the_scan_and_names_it(tmp_path: Path) -> None:
    folder = write_case(tmp_path, uids_match=False)
    for path in sorted(folder.glob("*.dcm"))[20:]:
        path.unlink()

    (scan,) = find_scans(tmp_path)

    assert isinstance(scan, BrokenScan)
    assert "069.xml" in scan.source
    assert "z=144 mm" in scan.why
    assert "fetch the missing slices" in scan.why


def test_a_reading_without_its_dicom_and_one_of_a_series_read_before_are_broken(
    tmp_path: Path,
) -> None:
    folder = write_case(tmp_path)
    uid = series.series_uid(folder)
    (tmp_path / "xml" / "070.xml").write_text(series.message(uid, [""]))
    (tmp_path / "xml" / "071.xml").write_text(series.message("1.2.3", [""]))
    (tmp_path / "xml" / "072.xml").write_text("<LidcReadMessage>")
    (tmp_path / "xml" / "073.xml").write_text("<IdriReadMessage/>")

    found = list(find_scans(tmp_path))

    assert [type(item) for item in found] == [AnnotatedScan, BrokenScan, BrokenScan, BrokenScan]
    reasons = [item.why for item in found if isinstance(item, BrokenScan)]
    assert "reads the same series" in reasons[0]
    assert "1.2.3 is not below" in reasons[1]
    assert "not well-formed XML" in reasons[2]


def test_a_folder_without_readings_is_refused(tmp_path: Path) -> None:
    series.write_series(tmp_path / "ct")

    with pytest.raises(DatasetRefused, match="holds no reading of LIDC-IDRI"):
        list(find_scans(tmp_path))


def test_a_reading_of_another_series_is_found_out_by_its_pixels(tmp_path: Path) -> None:
    uids = series.write_series(tmp_path / "ct")
    far = series.nodule("a", [series.roi(uids[4], z(4), series.square(300, 300, 5))], **SOLID)
    path = tmp_path / "1.xml"
    path.write_text(series.message(series.series_uid(tmp_path / "ct"), [far]))

    (scan,) = find_scans(tmp_path)

    assert isinstance(scan, BrokenScan)
    assert "marks pixel" in scan.why


def test_every_namespace_is_read_and_entities_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "1.xml"
    rois = [series.roi("1.2", 3.0, series.square(5, 5, 3))]
    path.write_text(series.message("1.2.3", [series.nodule("n", rois, **SOLID)], "http://other"))

    read = parse_readings(path)

    assert read is not None
    assert len(read.nodules) == 1
    path.write_text('<!DOCTYPE x [<!ENTITY a "b">]><LidcReadMessage/>')
    with pytest.raises(DatasetRefused, match="entities"):
        parse_readings(path)


def test_excluded_patients_never_train_under_whatever_name_they_come(tmp_path: Path) -> None:
    write_case(tmp_path)
    scan = only(tmp_path)

    def renamed(identifier: str, patient: str) -> AnnotatedScan:
        return AnnotatedScan(
            identifier=identifier,
            patient_id=patient,
            source=scan.source,
            nodules=(),
            read_volume=scan.read_volume,
        )

    assert may_train(scan)
    for number in range(1, 21):
        assert not may_train(renamed("1.2.3", f"LIDC-IDRI-{number:04d}"))
    assert len(EXCLUDED_SERIES) == 20
    for uid in EXCLUDED_SERIES:
        assert not may_train(renamed(uid, uid))
    assert may_train(renamed("1.2.3", "LIDC-IDRI-0021"))


@pytest.mark.real_ct
def test_lidc_0001_comes_out_as_its_annotations_say() -> None:
    folder = need_ct("lidc_idri_0001")
    told = json.loads((folder / "annotations.json").read_text())
    label = SimpleITK.GetArrayFromImage(
        SimpleITK.ReadImage(str(folder / "nodules_consensus50.nii.gz"))
    )

    scan = only(folder)

    assert not may_train(scan)
    assert len(scan.nodules) == len(told["nodules"]) == label.max()
    for nodule, truth in zip(scan.nodules, told["nodules"], strict=True):
        assert nodule.readers == truth["readers"]
        assert nodule.ratings == pytest.approx(truth["mean_ratings"])
        apart = np.subtract(nodule.centre_lps_mm, truth["centroid_world_lps_mm"])
        assert np.linalg.norm(apart) < 0.5
        assert nodule.mask is not None
        origin = np.rint(scan.read_volume().lps_to_index(nodule.mask.affine[:3, 3])).astype(int)
        box = tuple(
            slice(start, start + size)
            for start, size in zip(origin, nodule.mask.mask.shape, strict=True)
        )
        mask = np.zeros(label.shape, dtype=bool)
        mask[box] = nodule.mask.mask
        wanted = label == truth["nodule"]
        dice = 2 * (mask & wanted).sum() / (mask.sum() + wanted.sum())
        assert dice >= 0.95
