"""Each planted defect is one that a validator or a viewer lets through in silence."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset

from dicom_node.compose import codes
from dicom_node.compose.content_tree import items
from dicom_node.compose.template_check import check_sr


def measurements(ds: Dataset) -> Dataset:
    return items(ds, codes.IMAGING_MEASUREMENTS)[0]


def group(ds: Dataset, template: int) -> Dataset:
    """The first nodule's group: 0 axes, 1 contour, 2 segment."""
    return items(measurements(ds))[template]


def drop(parent: Dataset, child: Dataset) -> None:
    parent.ContentSequence = [item for item in parent.ContentSequence if item is not child]


def drop_first(parent: Dataset, *which: object) -> None:
    drop(parent, items(parent, *which)[0])  # type: ignore[arg-type]


def again(parent: Dataset, *which: object) -> None:
    parent.ContentSequence.append(copy.deepcopy(items(parent, *which)[0]))  # type: ignore[arg-type]


def long_axis(ds: Dataset) -> Dataset:
    return items(group(ds, 0), codes.LONG_AXIS)[0]


def region(ds: Dataset) -> Dataset:
    return items(group(ds, 1), codes.IMAGE_REGION)[0]


def segment(ds: Dataset) -> Dataset:
    return items(group(ds, 2), codes.REFERENCED_SEGMENT)[0]


def set_on(target: Callable[[Dataset], Dataset], keyword: str, value: object):  # type: ignore[no-untyped-def]
    return lambda ds: setattr(target(ds), keyword, value)


def swap_groups(ds: Dataset) -> None:
    container = measurements(ds)
    first, second, *rest = container.ContentSequence
    container.ContentSequence = [second, first, *rest]


def scatter_groups(ds: Dataset) -> None:
    container = measurements(ds)
    first, *rest = container.ContentSequence
    container.ContentSequence = [rest[2], first, *rest[:2], *rest[3:]]


def strip_drawings(ds: Dataset) -> None:
    for name in (codes.LONG_AXIS, codes.SHORT_AXIS):
        items(group(ds, 0), name)[0].ContentSequence = []
    drop(group(ds, 1), region(ds))


def evidence(ds: Dataset) -> Dataset:
    return ds.CurrentRequestedProcedureEvidenceSequence[0]


DEFECTS: dict[str, tuple[Callable[[Dataset], object], str]] = {
    "other template": (
        lambda ds: setattr(ds.ContentTemplateSequence[0], "TemplateIdentifier", "2000"),
        "TID 1500: template identifier is 2000",
    ),
    "other title": (
        lambda ds: setattr(ds.ConceptNameCodeSequence[0], "CodeValue", "121181"),
        "row 1: title",
    ),
    "verified": (lambda ds: setattr(ds, "VerificationFlag", "VERIFIED"), "Verification Flag"),
    "no flag": (lambda ds: delattr(ds, "CompletionFlag"), "Completion Flag"),
    "basic text": (
        lambda ds: setattr(ds, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.88.11"),
        "SOP class",
    ),
    "no language": (lambda ds: drop_first(ds, codes.LANGUAGE), "TID 1204"),
    "no observer": (lambda ds: drop_first(ds, codes.DEVICE_OBSERVER_UID), "TID 1004"),
    "person observes": (
        lambda ds: setattr(
            items(ds, codes.OBSERVER_TYPE)[0].ConceptCodeSequence[0], "CodeValue", "121006"
        ),
        "observer is not a device",
    ),
    "no procedure": (lambda ds: drop_first(ds, codes.PROCEDURE_REPORTED), "row 4"),
    "wrong relationship": (
        set_on(lambda ds: items(ds, codes.PROCEDURE_REPORTED)[0], "RelationshipType", "CONTAINS"),
        "is not HAS CONCEPT MOD CODE",
    ),
    "nothing in it": (
        lambda ds: [
            drop_first(ds, name)
            for name in (codes.IMAGING_MEASUREMENTS, codes.QUALITATIVE_EVALUATIONS)
        ],
        "neither Imaging Measurements nor",
    ),
    "empty measurements": (set_on(measurements, "ContentSequence", []), "row 6"),
    "not contained": (set_on(measurements, "RelationshipType", "HAS PROPERTIES"), "not CONTAINS"),
    "no disclaimer": (
        lambda ds: drop_first(ds, codes.QUALITATIVE_EVALUATIONS),
        "not for diagnosis",
    ),
    "no tracking uid": (
        lambda ds: drop_first(group(ds, 0), codes.TRACKING_UNIQUE_IDENTIFIER),
        "0 x Tracking Unique Identifier",
    ),
    "two tracking ids": (
        lambda ds: again(group(ds, 1), codes.TRACKING_IDENTIFIER),
        "2 x Tracking Identifier",
    ),
    "tracking id contained": (
        lambda ds: setattr(
            items(group(ds, 0), codes.TRACKING_IDENTIFIER)[0], "RelationshipType", "CONTAINS"
        ),
        "is not HAS OBS CONTEXT TEXT",
    ),
    "no finding": (lambda ds: drop_first(group(ds, 2), codes.FINDING), "Finding: 0"),
    "no algorithm": (lambda ds: drop_first(group(ds, 0), codes.ALGORITHM_NAME), "TID 4019"),
    "group template": (
        lambda ds: setattr(group(ds, 0).ContentTemplateSequence[0], "TemplateIdentifier", "1502"),
        "1502 is none of",
    ),
    "axes not first": (swap_groups, "('1501', '1410', '1411') wanted"),
    "groups apart": (scatter_groups, "not next to each other"),
    "no drawing": (strip_drawings, "black viewport"),
    "no short axis": (lambda ds: drop_first(group(ds, 0), codes.SHORT_AXIS), "0 x Short Axis"),
    "meaning in other letters": (
        lambda ds: setattr(long_axis(ds).ConceptNameCodeSequence[0], "CodeMeaning", "Long axis"),
        "must read exactly 'Long Axis'",
    ),
    "axis without line": (set_on(long_axis, "ContentSequence", []), "Long Axis has 0 SCOORD"),
    "axis of three points": (
        lambda ds: setattr(items(long_axis(ds))[0], "GraphicData", [1.0] * 6),
        "3 points, 2 wanted",
    ),
    "axis without image": (
        lambda ds: setattr(items(long_axis(ds))[0], "ContentSequence", []),
        "exactly one IMAGE",
    ),
    "image contained": (
        lambda ds: setattr(items(items(long_axis(ds))[0])[0], "RelationshipType", "CONTAINS"),
        "not SELECTED FROM exactly one IMAGE",
    ),
    "line contained": (
        lambda ds: setattr(items(long_axis(ds))[0], "RelationshipType", "CONTAINS"),
        "not INFERRED FROM",
    ),
    "no comment": (lambda ds: drop_first(group(ds, 0), codes.COMMENT), "no Comment"),
    "wrong unit": (
        lambda ds: setattr(
            long_axis(ds).MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0],
            "CodeValue",
            "cm",
        ),
        "unit is cm, mm wanted",
    ),
    "no value": (set_on(long_axis, "MeasuredValueSequence", []), "no finite value"),
    "unknown measurement": (
        lambda ds: setattr(
            items(group(ds, 2), codes.VOLUME)[0].ConceptNameCodeSequence[0], "CodeValue", "1"
        ),
        "not a measurement of ours",
    ),
    "two regions": (lambda ds: again(group(ds, 1), codes.IMAGE_REGION), "2 regions"),
    "odd coordinates": (set_on(region, "GraphicData", [1.0, 2.0, 3.0]), "3 coordinates"),
    "negative coordinate": (
        set_on(region, "GraphicData", [-1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -1.0, 2.0]),
        "outside the image",
    ),
    "open contour": (
        lambda ds: setattr(region(ds), "GraphicData", list(region(ds).GraphicData)[:-2]),
        "not a closed polyline",
    ),
    "circle": (set_on(region, "GraphicType", "CIRCLE"), "not a POLYLINE"),
    "number beside the contour": (
        lambda ds: group(ds, 1).ContentSequence.append(copy.deepcopy(long_axis(ds))),
        "holds a measurement",
    ),
    "two segments": (lambda ds: again(group(ds, 2), codes.REFERENCED_SEGMENT), "2 segments"),
    "no segment number": (
        lambda ds: delattr(segment(ds).ReferencedSOPSequence[0], "ReferencedSegmentNumber"),
        "no single Referenced Segment Number",
    ),
    "no source series": (
        lambda ds: setattr(
            group(ds, 2),
            "ContentSequence",
            [
                item
                for item in group(ds, 2).ContentSequence
                if item.ConceptNameCodeSequence[0].CodeValue != "121232"
            ],
        ),
        "no single Source series for segmentation",
    ),
    "no volume": (lambda ds: drop_first(group(ds, 2), codes.VOLUME), "no Volume"),
    "segment that is not there": (
        lambda ds: setattr(segment(ds).ReferencedSOPSequence[0], "ReferencedSegmentNumber", 9),
        "no segment 9 in the SEG",
    ),
    "another nodule's segment": (
        lambda ds: setattr(segment(ds).ReferencedSOPSequence[0], "ReferencedSegmentNumber", 2),
        "segment 2 has another Tracking UID",
    ),
    "another SEG": (
        lambda ds: setattr(
            segment(ds).ReferencedSOPSequence[0], "ReferencedSOPInstanceUID", "1.2.3"
        ),
        "1.2.3 is not the SEG",
    ),
    "no evidence": (
        lambda ds: delattr(ds, "CurrentRequestedProcedureEvidenceSequence"),
        "nothing is listed",
    ),
    "SEG not in evidence": (
        lambda ds: evidence(ds).ReferencedSeriesSequence.pop(),
        "is referred to but not listed",
    ),
    "listed twice": (
        lambda ds: evidence(ds).ReferencedSeriesSequence.append(
            copy.deepcopy(evidence(ds).ReferencedSeriesSequence[1])
        ),
        "is listed 2 times",
    ),
    "no contributing equipment": (
        lambda ds: delattr(ds, "ContributingEquipmentSequence"),
        "no Processing Equipment",
    ),
    "another device observes": (
        lambda ds: setattr(items(ds, codes.DEVICE_OBSERVER_UID)[0], "UID", "1.2.3"),
        "DeviceUID differs",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_found(sr_ds: Dataset, seg_ds: Dataset, name: str) -> None:
    spoil, message = DEFECTS[name]
    spoil(sr_ds)

    problems = check_sr(sr_ds, seg=seg_ds)

    assert any(message in problem for problem in problems), problems


def test_a_sound_report_has_no_problem(sr_ds: Dataset, seg_ds: Dataset) -> None:
    assert check_sr(sr_ds, seg=seg_ds) == []
