"""What each checker is there for: a planted defect that it, and where noted no other, sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.compose import codes
from dicom_node.compose.content_tree import concept_of, items, walk
from dicom_node.compose.profile import ObjectKind
from dicom_node.compose.segment_check import measure_agreement
from dicom_node.compose.template_check import check_sr
from tests.conformance.checkers import dcentvfy, dciodvfy, dsrdump, read_back
from tests.conformance.every_profile import (
    EVERYTHING,
    PROFILES,
    Study,
)


def _in_groups(ds: Dataset, value_type: str) -> Dataset:
    """The first item of a kind in a Measurement Group; the image library has some as well."""
    return next(
        item
        for group in walk(ds)
        if concept_of(group) == codes.MEASUREMENT_GROUP
        for item in walk(group)
        if item.get("ValueType") == value_type
    )


def _without_unit(ds: Dataset) -> None:
    del _in_groups(ds, "NUM").MeasuredValueSequence[0].MeasurementUnitsCodeSequence


def _wrong_relationship(ds: Dataset) -> None:
    _in_groups(ds, "NUM").RelationshipType = "HAS CONCEPT MOD"


def _odd_coordinates(ds: Dataset) -> None:
    item = _in_groups(ds, "SCOORD")
    item.GraphicData = list(item.GraphicData)[:-1]


def _without_tracking_uid(ds: Dataset) -> None:
    for item in walk(ds):
        if concept_of(item) == codes.MEASUREMENT_GROUP:
            item.ContentSequence = [
                child
                for child in item.ContentSequence
                if concept_of(child) != codes.TRACKING_UNIQUE_IDENTIFIER
            ]


def _evidence_twice(ds: Dataset) -> None:
    (study,) = ds.CurrentRequestedProcedureEvidenceSequence
    references = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    references.append(references[0])


def _another_patient(ds: Dataset) -> None:
    ds.PatientName = "Somebody^Else"


def _without_conversion_type(ds: Dataset) -> None:
    del ds.ConversionType


def _without_document(ds: Dataset) -> None:
    del ds.EncapsulatedDocument


def _without_segments(ds: Dataset) -> None:
    del ds.SegmentSequence


def _without_rejected(ds: Dataset) -> None:
    del ds.CurrentRequestedProcedureEvidenceSequence


def _unknown_note_title(ds: Dataset) -> None:
    ds.ContentSequence[-1].RelationshipType = "HAS PROPERTIES"


@pytest.mark.peer
@pytest.mark.parametrize(
    ("checker", "kind", "plant"),
    [
        (dciodvfy, ObjectKind.SR, _without_unit),
        (dsrdump, ObjectKind.SR, _without_unit),
        (dsrdump, ObjectKind.SR, _wrong_relationship),
        (dsrdump, ObjectKind.SR, _odd_coordinates),
        (dciodvfy, ObjectKind.SEG, _without_segments),
        (dciodvfy, ObjectKind.KEY_IMAGES, _without_conversion_type),
        (dciodvfy, ObjectKind.PDF, _without_document),
        (dciodvfy, "note", _without_rejected),
        (dsrdump, "note", _unknown_note_title),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_each_checker_of_single_objects_sees_a_planted_defect(
    study: Study,
    tmp_path: Path,
    checker: Callable[[Path], list[str]],
    kind: str,
    plant: Callable[[Dataset], None],
) -> None:
    sound = study.note if kind == "note" else study.cases["with a nodule"].of(EVERYTHING, kind)[0]
    ds = dcmread(sound)
    plant(ds)
    broken = tmp_path / "broken.dcm"
    ds.save_as(broken)

    assert checker(sound) == []
    assert checker(broken) != []


@pytest.mark.peer
@pytest.mark.parametrize(
    "break_study", ["another patient", "no image", "no segmentation"], ids=lambda name: name
)
def test_dcentvfy_sees_a_planted_defect(study: Study, tmp_path: Path, break_study: str) -> None:
    ours = study.cases["with a nodule"].all_of(PROFILES["default"])
    ct = list(study.ct)
    if break_study == "no image":
        ct = ct[:-1]
    elif break_study == "no segmentation":
        ours = [path for path in ours if not path.name.startswith("seg")]
    else:
        ds = dcmread(ours[-1])
        _another_patient(ds)
        ds.save_as(tmp_path / "other.dcm")
        ours = [*ours[:-1], tmp_path / "other.dcm"]

    assert dcentvfy([*ct, *ours]) != []


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (_without_unit, "unit"),
        (_wrong_relationship, "not CONTAINS"),
        (_odd_coordinates, "coordinates"),
        (_without_tracking_uid, "Tracking Unique Identifier"),
        (_evidence_twice, "is listed 2 times"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_our_row_check_sees_a_planted_defect(
    study: Study, plant: Callable[[Dataset], None], said: str
) -> None:
    ds = study.cases["with a nodule"].one(PROFILES["default"], ObjectKind.SR)
    plant(ds)

    assert any(said in problem for problem in check_sr(ds))


@pytest.mark.parametrize(
    "name", [name for name in PROFILES if name not in ("default", "stone", "everything")]
)
def test_our_check_tells_the_dresses_apart(study: Study, name: str) -> None:
    """The report of another profile does not pass as this one's."""
    if ObjectKind.SR not in PROFILES[name].objects:
        return
    ds = study.cases["with a nodule"].one(PROFILES["default"], ObjectKind.SR)

    assert check_sr(ds, profile=PROFILES[name]) != []


def test_reading_back_sees_a_shifted_mask_and_another_tracking_uid(
    study: Study, tmp_path: Path
) -> None:
    default = PROFILES["default"]
    (sr_path,) = study.cases["with a nodule"].of(default, ObjectKind.SR)
    (seg_path,) = study.cases["with a nodule"].of(default, ObjectKind.SEG)
    seg = dcmread(seg_path)
    bits = np.unpackbits(np.frombuffer(seg.PixelData, dtype=np.uint8), bitorder="little")
    seg.PixelData = np.packbits(np.roll(bits, 7), bitorder="little").tobytes()
    seg.save_as(tmp_path / "shifted.dcm")
    uids = list(study.series.sop_instance_uids)
    sound, shifted = (
        read_back(sr_path, path, uids) for path in (seg_path, tmp_path / "shifted.dcm")
    )
    other = dcmread(seg_path)
    other.SegmentSequence[0].TrackingUID = "1.2.3"
    other.save_as(tmp_path / "other.dcm")

    assert not any(
        np.array_equal(one.mask, other.mask) for one, other in zip(sound, shifted, strict=True)
    )
    with pytest.raises(ValueError, match="unpack"):
        read_back(sr_path, tmp_path / "other.dcm", uids)


def test_the_agreement_of_lines_and_voxels_sees_a_shifted_box(study: Study) -> None:
    slicer = PROFILES["slicer"]
    report = study.cases["with a nodule"].one(slicer, ObjectKind.SR)
    seg = study.cases["with a nodule"].one(slicer, ObjectKind.SEG)
    for group in (item for item in walk(report) if items(item, codes.GEOMETRIC_PURPOSE)):
        (region,) = items(group, codes.IMAGE_REGION)
        region.GraphicData = [float(value) + 0.5 for value in region.GraphicData]

    problems = measure_agreement(report, seg, study.series)

    assert len(problems) == len(study.content.nodules)
    assert all(each.startswith("contour: +0.50 rows and +0.50 columns") for each in problems)
