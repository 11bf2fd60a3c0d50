from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from dicom_node.compose import codes
from dicom_node.compose.content_tree import concept_of, items, template_of, tracking_uid_of, walk
from dicom_node.compose.profile import shipped_profile
from dicom_node.compose.sr import compose_sr
from dicom_node.compose.sr_document import Predecessor
from dicom_node.compose.template_check import check_sr
from dicom_node.errors import ComposeError
from dicom_node.read.ct_series import CtSeries
from tests.unit.dicom_node.compose.cases import (
    CREATED,
    compose_both,
    decode,
    report,
    three_nodules,
)


def groups(ds: Dataset) -> list[Dataset]:
    (container,) = items(ds, codes.IMAGING_MEASUREMENTS)
    return items(container, codes.MEASUREMENT_GROUP)


def texts(ds: Dataset) -> list[str]:
    (container,) = items(ds, codes.QUALITATIVE_EVALUATIONS)
    return [str(item.TextValue) for item in items(container, value_type="TEXT")]


def values(group: Dataset) -> dict[str, float]:
    return {
        str(concept_of(item).meaning): float(item.MeasuredValueSequence[0].NumericValue)  # type: ignore[union-attr]
        for item in items(group, value_type="NUM")
    }


def listed(ds: Dataset) -> Iterator[str]:
    for study in ds.CurrentRequestedProcedureEvidenceSequence:
        for series in study.ReferencedSeriesSequence:
            for reference in series.ReferencedSOPSequence:
                yield str(reference.ReferencedSOPInstanceUID)


def test_each_nodule_has_axes_contour_and_segment_in_this_order(
    series: CtSeries, sr_ds: Dataset
) -> None:
    found = [(template_of(group), tracking_uid_of(group)) for group in groups(sr_ds)]

    assert found == [
        (template, nodule.tracking_uid)
        for nodule in three_nodules(series)
        for template in ("1501", "1410", "1411")
    ]


def test_coordinates_count_from_the_corner_of_the_first_pixel(
    series: CtSeries, sr_ds: Dataset
) -> None:
    nodule = three_nodules(series)[0]
    long_axis = items(groups(sr_ds)[0], codes.LONG_AXIS)[0]
    (j0, i0), (j1, i1) = nodule.long_axis.start_ji, nodule.long_axis.end_ji

    data = [float(value) for value in items(long_axis)[0].GraphicData]

    assert data == pytest.approx([i0 + 0.5, j0 + 0.5, i1 + 0.5, j1 + 0.5], abs=1e-4)


def test_only_what_was_measured_is_said(sr_ds: Dataset) -> None:
    solid, part_solid, unknown = (values(group) for group in groups(sr_ds)[2::3])

    assert set(unknown) == {"Volume", "Diameter", "Attenuation Coefficient"}
    assert solid.keys() - unknown.keys() == {"Maximum 3D diameter", "Detection score"}
    assert part_solid["Mean diameter of solid part"] == 4.2
    assert part_solid["Volume of solid part"] == 40.0
    assert part_solid["Brock model risk of cancer"] == 8.1
    assert solid["Attenuation Coefficient"] == 21.4


def test_type_and_category_are_codes_only_where_given(sr_ds: Dataset) -> None:
    def evaluations(group: Dataset) -> list[str]:
        return [
            str(item.ConceptCodeSequence[0].CodeMeaning)
            for concept in (codes.NODULE_TYPE, codes.LUNG_RADS)
            for item in items(group, concept, "CODE")
        ]

    assert [evaluations(group) for group in groups(sr_ds)[2::3]] == [
        ["Solid", "Lung-RADS 4A"],
        ["Part-solid", "Lung-RADS 4A"],
        [],
    ]


def test_the_summary_can_be_read_without_any_viewer_of_measurements(sr_ds: Dataset) -> None:
    said = texts(sr_ds)

    assert said[2] == "Research use only. Not for diagnosis. Not verified by a physician."
    assert "3 nodules reported." in said
    assert any(line.startswith("Nodule 1, solid, 10.0 x 10.0 mm") for line in said)
    assert "Nodule 1, Lung-RADS: solid, mean diameter at least 8 mm" in said
    assert "Warning: slices are 2.5 mm thick" in said
    assert "Limit: No probability of cancer is given." in said
    assert said[-1] == "Pulmonode 0.1.0, revision 1"


def test_the_exam_category_stands_outside_the_groups(sr_ds: Dataset) -> None:
    (container,) = items(sr_ds, codes.QUALITATIVE_EVALUATIONS)

    (category,) = items(container, codes.LUNG_RADS, "CODE")

    assert category.ConceptCodeSequence[0].CodeValue == "LUNG_RADS_4A"
    assert sr_ds.ContentSequence[-1] is container


def test_a_negative_report_says_so_and_what_it_does_not_mean(series: CtSeries) -> None:
    ds = decode(compose_both(series, report())[1])

    assert check_sr(ds) == []
    assert "No nodule above the threshold. This does not exclude cancer." in texts(ds)
    assert items(ds, codes.IMAGING_MEASUREMENTS) == []
    assert items(ds, codes.QUALITATIVE_EVALUATIONS)
    # OHIF shows a 126000 report in the measurement viewport, black without a measurement.
    assert concept_of(ds) == codes.ONCOLOGY_MEASUREMENT_REPORT
    assert list(listed(ds)) == list(series.sop_instance_uids)


def test_text_is_shown_line_by_line_with_its_name(sr_ds: Dataset) -> None:
    containers = [item for item in (sr_ds, *walk(sr_ds)) if item.ValueType == "CONTAINER"]

    assert len(containers) > 10
    assert {item.ContinuityOfContent for item in containers} == {"SEPARATE"}


def test_evidence_lists_ct_and_seg_once_each(
    series: CtSeries, sr_ds: Dataset, seg_ds: Dataset
) -> None:
    assert list(listed(sr_ds)) == [*series.sop_instance_uids, str(seg_ds.SOPInstanceUID)]
    assert "PertinentOtherEvidenceSequence" not in sr_ds


def test_the_document_is_unverified_and_complete(sr_ds: Dataset) -> None:
    assert (sr_ds.VerificationFlag, sr_ds.CompletionFlag) == ("UNVERIFIED", "COMPLETE")
    assert sr_ds.PreliminaryFlag == "PRELIMINARY"
    assert "research use, unverified" in sr_ds.SeriesDescription


def test_partial_coverage_is_flagged_and_said(series: CtSeries) -> None:
    why = "the right lung reaches beyond the first slice"
    ds = decode(compose_both(series, report(partial_why=why))[1])

    assert ds.CompletionFlag == "PARTIAL"
    assert why.startswith(ds.CompletionFlagDescription)
    assert f"Partial: {why}" in texts(ds)


def test_a_revision_names_its_predecessor(series: CtSeries) -> None:
    first = compose_both(series, report())[1]
    predecessor = Predecessor(
        study_instance_uid=series.study_instance_uid,
        series_instance_uid=first.series_instance_uid,
        sop_class_uid=first.sop_class_uid,
        sop_instance_uid=first.sop_instance_uid,
    )
    second = compose_both(series, report(revision=2), predecessor=predecessor)[1]

    ds = decode(second)
    item = ds.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert second.series_instance_uid == first.series_instance_uid
    assert second.sop_instance_uid != first.sop_instance_uid
    assert ds.InstanceNumber == 2
    assert item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.sop_instance_uid


@pytest.mark.parametrize(
    ("profile", "sop_class", "first_identifier", "purpose"),
    [
        ("default", ComprehensiveSRStorage, "Nodule 1", codes.ORIGINAL_SOURCE),
        (
            "ohif",
            ComprehensiveSRStorage,
            "Cornerstone3DTools@^0.1.0:Bidirectional:Nodule 1",
            codes.ORIGINAL_SOURCE,
        ),
        ("air", Comprehensive3DSRStorage, "Nodule 1", codes.SOURCE),
    ],
)
def test_a_profile_changes_the_dress_and_not_the_content(
    series: CtSeries, profile: str, sop_class: str, first_identifier: str, purpose: object
) -> None:
    dress = shipped_profile(profile)
    composed = compose_both(series, report(three_nodules(series)), profile=dress)[1]
    ds = decode(composed)
    group = groups(ds)[0]
    images = [
        concept_of(image)
        for item in walk(ds)
        if item.ValueType == "SCOORD"
        for image in items(item)
    ]

    assert ds.SOPClassUID == composed.sop_class_uid == sop_class
    assert items(group, codes.TRACKING_IDENTIFIER)[0].TextValue == first_identifier
    assert set(images) == {purpose}
    assert check_sr(ds, profile=dress) == []


def test_profiles_make_instances_of_their_own(series: CtSeries) -> None:
    uids = {
        compose_both(series, report(), profile=shipped_profile(name))[1].sop_instance_uid
        for name in ("default", "ohif", "air")
    }

    assert len(uids) == 3


def test_what_does_not_fit_together_is_refused(series: CtSeries) -> None:
    nodules = three_nodules(series)
    seg, _ = compose_both(series, report(nodules))

    with pytest.raises(ComposeError, match="exactly when it has nodules"):
        compose_sr(series, report(nodules), seg=None, created=CREATED)
    with pytest.raises(ComposeError, match="exactly when it has nodules"):
        compose_sr(series, report(), seg=seg, created=CREATED)
    odd = dataclasses.replace(nodules[0], key_slice_k=99)
    with pytest.raises(ComposeError, match="key slice 99 of 20"):
        compose_sr(series, report([odd]), seg=seg, created=CREATED)
