from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from dicom_node.compose import codes
from dicom_node.compose.content import AxisContent, NoduleContent
from dicom_node.compose.content_tree import items, walk
from dicom_node.compose.segment_check import check_seg, measure_agreement, segment_masks
from dicom_node.read.ct_series import CtSeries
from tests.unit.dicom_node.compose.cases import (
    compose_both,
    decode,
    report,
    sphere,
    three_nodules,
)

DEFECTS: dict[str, tuple[Callable[[Dataset], object], str]] = {
    "labelmap": (lambda ds: setattr(ds, "SegmentationType", "LABELMAP"), "BINARY wanted"),
    "implicit": (
        lambda ds: setattr(ds.file_meta, "TransferSyntaxUID", ImplicitVRLittleEndian),
        "transfer syntax",
    ),
    "frame of reference": (
        lambda ds: setattr(ds, "FrameOfReferenceUID", "1.2.3"),
        "Frame of Reference UID is not",
    ),
    "study": (lambda ds: setattr(ds, "StudyInstanceUID", "1.2.3"), "Study Instance UID is not"),
    "equipment": (
        lambda ds: delattr(ds, "ContributingEquipmentSequence"),
        "no Processing Equipment",
    ),
    "numbers": (lambda ds: setattr(ds.SegmentSequence[0], "SegmentNumber", 7), "numbers are [7,"),
    "tracking uid": (lambda ds: delattr(ds.SegmentSequence[0], "TrackingUID"), "Tracking UID is"),
    "same tracking uid": (
        lambda ds: setattr(ds.SegmentSequence[0], "TrackingUID", ds.SegmentSequence[1].TrackingUID),
        "Tracking UID is missing or not its own",
    ),
    "label": (lambda ds: setattr(ds.SegmentSequence[0], "SegmentLabel", "x"), "Tracking ID differ"),
    "colour": (
        lambda ds: delattr(ds.SegmentSequence[0], "RecommendedDisplayCIELabValue"),
        "no colour",
    ),
    "type": (
        lambda ds: setattr(
            ds.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0], "CodeValue", "1"
        ),
        "is not Nodule",
    ),
    "algorithm type": (
        lambda ds: setattr(ds.SegmentSequence[0], "SegmentAlgorithmType", "MANUAL"),
        "algorithm type is MANUAL",
    ),
    "algorithm name": (
        lambda ds: delattr(ds.SegmentSequence[0], "SegmentAlgorithmName"),
        "no algorithm name",
    ),
    "frame of no segment": (
        lambda ds: setattr(
            ds.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0],
            "ReferencedSegmentNumber",
            9,
        ),
        "no segment 9",
    ),
    "frame without source": (
        lambda ds: delattr(ds.PerFrameFunctionalGroupsSequence[0], "DerivationImageSequence"),
        "source image missing is not of the CT",
    ),
    "frame on another plane": (
        lambda ds: setattr(
            ds.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0],
            "ImagePositionPatient",
            [0, 0, 0],
        ),
        "its plane is not that",
    ),
    "empty frame": (
        lambda ds: setattr(ds, "PixelData", b"\0" * len(ds.PixelData)),
        "frame 1 is empty",
    ),
    "no references": (
        lambda ds: delattr(ds, "ReferencedSeriesSequence"),
        "does not name the CT series alone",
    ),
    "a reference too few": (
        lambda ds: ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence.pop(),
        "is not in Referenced Series Sequence",
    ),
    "a reference twice": (
        lambda ds: ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence.append(
            ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]
        ),
        "is listed 2 times",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_found(series: CtSeries, seg_ds: Dataset, name: str) -> None:
    spoil, message = DEFECTS[name]
    spoil(seg_ds)

    problems = check_seg(seg_ds, series)

    assert any(message in problem for problem in problems), problems


def test_a_segmentation_of_another_size_is_found(series: CtSeries, seg_ds: Dataset) -> None:
    other = dataclasses.replace(series, hu=np.zeros((20, 90, 101), dtype=np.int16))

    assert any("the CT has (90, 101)" in problem for problem in check_seg(seg_ds, other))


def test_sound_objects_agree(series: CtSeries, seg_ds: Dataset, sr_ds: Dataset) -> None:
    assert check_seg(seg_ds, series) == []
    assert measure_agreement(sr_ds, seg_ds, series) == []


@pytest.mark.parametrize("shift", [(0.5, 0.0), (0.0, 0.5), (-0.5, -0.5), (0.5, 0.5)])
def test_a_shift_of_half_a_pixel_is_found(
    series: CtSeries, seg_ds: Dataset, sr_ds: Dataset, shift: tuple[float, float]
) -> None:
    for item in walk(sr_ds):
        if item.ValueType == "SCOORD":
            points = np.array(item.GraphicData).reshape(-1, 2) + shift
            item.GraphicData = points.ravel().tolist()

    problems = measure_agreement(sr_ds, seg_ds, series)

    assert sum("off the segment, tolerance 0.25 px" in problem for problem in problems) == 3


def changed(series: CtSeries, **values: object) -> tuple[Dataset, Dataset]:
    """Report and segmentation of one nodule, other than its mask says."""
    nodule: NoduleContent = dataclasses.replace(sphere(series, 1, (8, 40, 40), 5.0), **values)
    seg, sr = compose_both(series, report([nodule]))
    assert seg is not None
    return decode(sr), decode(seg)


def test_rows_taken_for_columns_are_found(series: CtSeries) -> None:
    nodule = sphere(series, 1, (8, 30, 60), 5.0)
    seg, sr = compose_both(
        series, report([dataclasses.replace(nodule, contour_ji=nodule.contour_ji[:, ::-1])])
    )
    assert seg is not None

    problems = measure_agreement(decode(sr), decode(seg), series)

    assert problems == ["contour: it does not touch the segment"]


def test_a_key_slice_without_the_nodule_is_found(series: CtSeries) -> None:
    problems = measure_agreement(*changed(series, key_slice_k=15), series)

    assert len(problems) == 3
    assert all("does not show the segment" in problem for problem in problems)


def test_an_axis_end_far_from_the_nodule_is_found(series: CtSeries) -> None:
    away = AxisContent(start_ji=(40.0, 20.0), end_ji=(40.0, 34.2857), length_mm=10.0)

    problems = measure_agreement(*changed(series, long_axis=away), series)

    assert any(problem.startswith("long axis: an end lies") for problem in problems)


def test_a_length_that_is_not_what_is_drawn_is_found(series: CtSeries) -> None:
    nodule = sphere(series, 1, (8, 40, 40), 5.0)
    longer = dataclasses.replace(nodule.long_axis, length_mm=10.2)

    problems = measure_agreement(*changed(series, long_axis=longer), series)

    assert problems == ["long axis: 10.20 mm said, 10.00 mm drawn"]


def test_a_group_of_an_unknown_nodule_is_found(
    series: CtSeries, seg_ds: Dataset, sr_ds: Dataset
) -> None:
    uid = seg_ds.SegmentSequence[0].TrackingUID
    seg_ds.SegmentSequence[0].TrackingUID = "1.2.3"

    problems = measure_agreement(sr_ds, seg_ds, series)

    assert problems == [f"tracking UID {uid} has no segment"] * 3


def test_masks_come_back_on_the_grid_of_the_series(series: CtSeries, seg_ds: Dataset) -> None:
    masks = segment_masks(seg_ds, series)

    for number, nodule in enumerate(three_nodules(series), start=1):
        (k, j, i), (depth, height, width) = nodule.mask_origin_kji, nodule.mask.shape
        assert masks[number].sum() == nodule.mask.sum()
        box = masks[number][k : k + depth, j : j + height, i : i + width]
        assert np.array_equal(box, nodule.mask)
    assert items(Dataset(), codes.FINDING) == []
