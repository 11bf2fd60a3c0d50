"""Phantom -> analysis -> SEG and SR -> loader: the same voxels come back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_node.read.series import load_ct_series
from workers.case import CaseResult, analyse_case
from workers.datasets.dicom_folders import read_grid
from workers.datasets.scan import AnnotatedScan, BrokenScan
from workers.datasets.segmentations import find_scans
from workers.errors import DatasetRefused
from workers.phantom import write_phantom


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CaseResult]:
    folder = tmp_path_factory.mktemp("seg")
    write_phantom(
        folder / "ct",
        slices=88,
        spacing_mm=3.0,
        pixels=256,
        pixel_spacing_mm=1.4,
        nodules=["solid:14", "solid:20:pleura"],
    )
    series = load_ct_series(sorted((folder / "ct").glob("*.dcm")))
    result = analyse_case(series, revision=1, created=datetime(2026, 1, 1, tzinfo=UTC))
    assert len(result.findings.nodules) == 2
    for item in result.objects:
        (folder / f"{item.kind}.dcm").write_bytes(item.data)
    return folder, result


def only(folder: Path) -> AnnotatedScan:
    (scan,) = find_scans(folder)
    assert isinstance(scan, AnnotatedScan), scan
    return scan


def whole(scan: AnnotatedScan, index: int) -> np.ndarray:
    placed = scan.nodules[index].mask
    assert placed is not None
    volume = scan.read_volume()
    origin = np.rint(volume.lps_to_index(placed.affine[:3, 3])).astype(int)
    mask = np.zeros(volume.shape, dtype=bool)
    window = tuple(slice(a, a + n) for a, n in zip(origin, placed.mask.shape, strict=True))
    mask[window] = placed.mask
    return mask


def test_the_same_voxels_come_back(analysed: tuple[Path, CaseResult]) -> None:
    folder, result = analysed

    scan = only(folder)

    assert scan.patient_id == "PHANTOM0"
    for index, nodule in enumerate(result.findings.nodules):
        expected = np.zeros(scan.read_volume().shape, dtype=bool)
        window = tuple(
            slice(a, a + n)
            for a, n in zip(nodule.voi.origin_kji, nodule.voi.mask.shape, strict=True)
        )
        expected[window] = nodule.voi.mask
        assert np.array_equal(whole(scan, index), expected)
        assert scan.nodules[index].centre_lps_mm == pytest.approx(nodule.centre_lps_mm)
        volume_mm3 = nodule.measurements.volume_mm3
        assert scan.nodules[index].diameter_mm == pytest.approx((6 * volume_mm3 / np.pi) ** (1 / 3))


def test_the_report_gives_measurements_and_type(analysed: tuple[Path, CaseResult]) -> None:
    folder, result = analysed

    for loaded, nodule in zip(only(folder).nodules, result.findings.nodules, strict=True):
        measured = nodule.measurements
        assert loaded.kind == nodule.type
        assert loaded.measurements == pytest.approx(
            {
                "volume_mm3": measured.volume_mm3,
                "mean_diameter_mm": measured.mean_diameter_mm,
                "long_axis_mm": measured.long_axis.length_mm,
                "short_axis_mm": measured.short_axis.length_mm,
                "mean_hu": measured.mean_hu,
            },
            abs=0.06,  # reports round
        )


def copy_of_ct(analysed: tuple[Path, CaseResult], out: Path) -> pydicom.Dataset:
    """The CT to `out`; returns its SEG, to be changed."""
    folder, _ = analysed
    (out / "ct").mkdir()
    for path in (folder / "ct").glob("*.dcm"):
        (out / "ct" / path.name).hardlink_to(path)
    return pydicom.dcmread(folder / "seg.dcm")


def test_frames_that_only_say_where_they_are_find_their_slices(
    analysed: tuple[Path, CaseResult], tmp_path: Path
) -> None:
    seg = copy_of_ct(analysed, tmp_path)
    for group in seg.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence
    seg.save_as(tmp_path / "seg.dcm")

    scan = only(tmp_path)

    assert np.array_equal(whole(scan, 0), whole(only(analysed[0]), 0))
    assert scan.nodules[0].kind == "unknown"  # no report here


def test_the_newest_segmentation_of_a_series_counts(
    analysed: tuple[Path, CaseResult], tmp_path: Path
) -> None:
    seg = copy_of_ct(analysed, tmp_path)
    seg.save_as(tmp_path / "a.dcm")
    seg.SOPInstanceUID = seg.file_meta.MediaStorageSOPInstanceUID = f"{seg.SOPInstanceUID}.1"
    seg.InstanceNumber = 2
    for item in seg.SegmentSequence:
        item.SegmentLabel = f"corrected {item.SegmentNumber}"
    seg.save_as(tmp_path / "b.dcm")

    assert [item.identifier for item in only(tmp_path).nodules] == ["corrected 1", "corrected 2"]


def test_a_segmentation_without_its_ct_and_one_that_is_not_binary_are_broken(
    analysed: tuple[Path, CaseResult], tmp_path: Path
) -> None:
    seg = copy_of_ct(analysed, tmp_path)
    seg.SegmentationType = "FRACTIONAL"
    seg.save_as(tmp_path / "a.dcm")
    alone = tmp_path / "alone"
    alone.mkdir()
    pydicom.dcmread(analysed[0] / "seg.dcm").save_as(alone / "seg.dcm")

    (without,) = find_scans(alone)
    (alone / "seg.dcm").unlink()
    (fractional,) = find_scans(tmp_path)

    assert isinstance(fractional, BrokenScan)
    assert "only BINARY is read" in fractional.why
    assert isinstance(without, BrokenScan)
    assert "export the CT with it" in without.why


def test_a_slice_that_the_ct_lacks_breaks_the_scan(
    analysed: tuple[Path, CaseResult], tmp_path: Path
) -> None:
    seg = copy_of_ct(analysed, tmp_path)
    seg.save_as(tmp_path / "seg.dcm")
    used = {
        str(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        for group in seg.PerFrameFunctionalGroupsSequence
    }
    grid = read_grid([tmp_path / "ct"])
    last = max(grid.sop_instance_uids.index(uid) for uid in used)
    for path in grid.paths:
        number = pydicom.dcmread(path, stop_before_pixels=True).InstanceNumber
        if number > last:
            path.unlink()

    (scan,) = find_scans(tmp_path)

    assert isinstance(scan, BrokenScan)
    assert "export the whole CT" in scan.why


def test_a_folder_without_segmentations_is_refused(
    analysed: tuple[Path, CaseResult],
) -> None:
    with pytest.raises(DatasetRefused, match="holds no Segmentation"):
        list(find_scans(analysed[0] / "ct"))
