from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node.compose.seg import compose_seg
from dicom_node.compose.segment_check import check_seg, segment_masks
from dicom_node.errors import ComposeError
from dicom_node.read.ct_series import CtSeries
from tests.unit.dicom_node.compose.cases import CREATED, decode, report, sphere, three_nodules


def test_only_planes_with_a_voxel_become_frames(series: CtSeries, seg_ds: Dataset) -> None:
    planes = sum(int(n.mask.any(axis=(1, 2)).sum()) for n in three_nodules(series))

    assert seg_ds.NumberOfFrames == planes


def test_description_and_numbers_say_what_it_is(seg_ds: Dataset) -> None:
    assert "research use" in seg_ds.SeriesDescription
    assert seg_ds.SeriesNumber == 9002
    assert seg_ds.InstanceNumber == 1
    assert seg_ds.ContentLabel == "LUNG_NODULES"
    assert [item.SegmentLabel for item in seg_ds.SegmentSequence] == [
        "Nodule 1",
        "Nodule 2",
        "Nodule 3",
    ]
    sites = [item.AnatomicRegionSequence[0].CodeMeaning for item in seg_ds.SegmentSequence]
    assert sites == ["Upper lobe of left lung", "Right lung", "Lung"]


def test_the_segments_algorithm_is_identified(seg_ds: Dataset) -> None:
    for segment in seg_ds.SegmentSequence:
        item = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert (item.AlgorithmName, item.AlgorithmVersion) == ("Pulmonode", "0.1.0")
        assert item.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"


def test_masks_that_overlap_keep_every_voxel(series: CtSeries) -> None:
    nodules = (sphere(series, 1, (8, 40, 40), 6.0), sphere(series, 2, (8, 44, 44), 6.0))

    ds = decode(compose_seg(series, report(nodules), created=CREATED))

    masks = segment_masks(ds, series)
    assert check_seg(ds, series) == []
    assert [int(masks[n].sum()) for n in (1, 2)] == [int(n.mask.sum()) for n in nodules]
    assert (masks[1] & masks[2]).any()


def test_a_single_voxel_in_the_last_corner_is_kept(series: CtSeries) -> None:
    depth, height, width = series.hu.shape
    corner = dataclasses.replace(
        sphere(series, 1, (8, 40, 40), 5.0),
        mask=np.ones((1, 1, 1), dtype=bool),
        mask_origin_kji=(depth - 1, height - 1, width - 1),
    )

    ds = decode(compose_seg(series, report([corner]), created=CREATED))

    last = [depth - 1, height - 1, width - 1]
    assert np.argwhere(segment_masks(ds, series)[1]).tolist() == [last]


def test_revisions_share_the_series_and_rise(series: CtSeries) -> None:
    nodules = three_nodules(series)
    one, two = (compose_seg(series, report(nodules, revision=n), created=CREATED) for n in (1, 2))

    assert one.series_instance_uid == two.series_instance_uid
    assert one.sop_instance_uid != two.sop_instance_uid
    assert decode(two).InstanceNumber == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": np.zeros((2, 2, 2), dtype=bool)}, "empty mask"),
        ({"mask_origin_kji": (-1, 30, 30)}, "slice -1 to"),
        ({"mask_origin_kji": (5, 30, 95)}, "column 95 to"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(
    series: CtSeries, change: dict[str, object], message: str
) -> None:
    nodule = dataclasses.replace(sphere(series, 1, (8, 40, 40), 5.0), **change)

    with pytest.raises(ComposeError, match=message):
        compose_seg(series, report([nodule]), created=CREATED)


def test_no_nodule_means_no_segmentation(series: CtSeries) -> None:
    with pytest.raises(ComposeError, match="at least one nodule"):
        compose_seg(series, report(), created=CREATED)
