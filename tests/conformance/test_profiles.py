"""Every object of every shipped profile, through every checker; and that each checker can see.

One analysis of a small phantom gives the findings; the objects of all profiles follow from it for
a result with a nodule, one without, a partial one and a revision; a note rejects the first.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import highdicom
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.compose import codes
from dicom_node.compose.content import ComposedObject, ReportContent
from dicom_node.compose.content_tree import concept_of, items, walk
from dicom_node.compose.profile import ObjectKind, Profile, load_profiles
from dicom_node.compose.rejection_note import (
    RejectedObject,
    RejectionReason,
    compose_rejection_note,
)
from dicom_node.compose.segment_check import check_seg, measure_agreement
from dicom_node.compose.sr_document import Predecessor
from dicom_node.compose.template_check import check_sr
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.series import load_ct_series
from inference.findings import CaseFindings
from tests.conformance import statement
from tests.conformance.checkers import dcentvfy, dciodvfy, dsrdump, read_back
from workers.case import analyse_case
from workers.earlier_reports import EarlierReport
from workers.object_names import file_names
from workers.phantom import write_phantom
from workers.result_objects import ResultSource, compose_objects
from workers.translate import to_report_content

EVERYTHING = Profile(name="everything", objects=tuple(ObjectKind))
"""All kinds of objects at once; no shipped profile has them all."""
PROFILES = {**load_profiles(), EVERYTHING.name: EVERYTHING}
CREATED = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)
CASES = ("with a nodule", "without", "partial", "revision")
SR_CLASSES = {"1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.34"}
WEIGHTS = ("detector", "segmenter", "encoder", "grader")
NOTE_CLASS = "1.2.840.10008.5.1.4.1.1.88.59"


@dataclass(frozen=True)
class Composed:
    """The objects of one case in all profiles."""

    objects: tuple[ComposedObject, ...]
    paths: tuple[Path, ...]

    def of(self, profile: Profile, kind: str) -> list[Path]:
        """Files of a profile, of one kind."""
        return [
            path
            for item, path in zip(self.objects, self.paths, strict=True)
            if profile.name in item.profiles and item.kind == kind
        ]

    def all_of(self, profile: Profile) -> list[Path]:
        return [path for kind in profile.objects for path in self.of(profile, kind)]

    def one(self, profile: Profile, kind: str) -> Dataset:
        (path,) = self.of(profile, kind)
        return dcmread(path)


@dataclass(frozen=True)
class Study:
    ct: list[Path]
    series: CtSeries
    findings: CaseFindings
    content: ReportContent
    cases: dict[str, Composed]
    note: Path
    """Rejects what every profile sent of the first result."""


def compose(
    folder: Path, series: CtSeries, findings: CaseFindings, content: ReportContent,
    earlier: tuple[EarlierReport, ...] = (),
) -> Composed:  # fmt: skip
    folder.mkdir()
    source = ResultSource(
        series=series, findings=findings, content=content, created=CREATED, earlier=earlier
    )
    objects = compose_objects(source, list(PROFILES.values()))
    names = file_names([(item.kind, item.profiles) for item in objects])
    paths = tuple(folder / name for name in names)
    for item, path in zip(objects, paths, strict=True):
        path.write_bytes(item.data)
    return Composed(objects, paths)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("profiles")
    write_phantom(
        folder / "ct", seed=3, slices=64, spacing_mm=4.0, pixels=256, pixel_spacing_mm=1.4,
        nodules=["solid:20"],
    )  # fmt: skip
    ct = sorted((folder / "ct").glob("*.dcm"))
    series = load_ct_series(ct)
    result = analyse_case(series, revision=1, created=CREATED, profiles=list(PROFILES.values()))
    findings, content = result.findings, result.content
    assert content.nodules
    nothing = replace(findings, nodules=())
    cases = {
        "with a nodule": compose(folder / "first", series, findings, content),
        "without": compose(folder / "none", series, nothing, replace(content, nodules=())),
        "partial": compose(
            folder / "partial", series, findings,
            replace(content, partial_why="the lungs reach beyond the first slice"),
        ),
    }  # fmt: skip
    first = cases["with a nodule"].objects
    earlier = tuple(
        EarlierReport(
            predecessor=Predecessor(
                study_instance_uid=series.study_instance_uid,
                series_instance_uid=item.series_instance_uid,
                sop_class_uid=item.sop_class_uid,
                sop_instance_uid=item.sop_instance_uid,
            ),
            revision=1,
            profiles=item.profiles,
        )
        for item in first
        if item.kind == ObjectKind.SR
    )
    later = replace(content, revision=2)
    cases["revision"] = compose(folder / "later", series, findings, later, earlier)
    note = compose_rejection_note(
        series,
        later,
        [
            RejectedObject(
                sop_class_uid=item.sop_class_uid,
                sop_instance_uid=item.sop_instance_uid,
                series_instance_uid=item.series_instance_uid,
            )
            for item in first
        ],
        reason=RejectionReason.SUPERSEDED,
        created=CREATED,
    )
    (folder / "note.dcm").write_bytes(note.data)
    return Study(ct, series, findings, content, cases, folder / "note.dcm")


@pytest.mark.peer
@pytest.mark.parametrize("case", CASES)
def test_dciodvfy_and_dsrdump_find_no_error(study: Study, case: str) -> None:
    found = {}
    for path in (*study.cases[case].paths, study.note):
        found[path.name] = dciodvfy(path)
        if dcmread(path, specific_tags=["SOPClassUID"]).SOPClassUID in {*SR_CLASSES, NOTE_CLASS}:
            found[path.name] += dsrdump(path)

    assert found == {name: [] for name in found}


@pytest.mark.peer
@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda item: item.name)
def test_dcentvfy_finds_no_error_across_the_study_that_a_destination_has(
    study: Study, profile: Profile
) -> None:
    """CT and the first result; then the revision and the note beside them."""
    first = study.cases["with a nodule"].all_of(profile)
    later = study.cases["revision"].all_of(profile)

    assert dcentvfy([*study.ct, *first]) == []
    assert dcentvfy([*study.ct, *study.cases["with a nodule"].paths, *later, study.note]) == []
    assert dcentvfy([*study.ct, *study.cases["without"].all_of(profile)]) == []


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda item: item.name)
def test_our_own_checks_find_nothing(study: Study, profile: Profile, case: str) -> None:
    composed = study.cases[case]
    has_seg = ObjectKind.SEG in profile.objects and case != "without"
    seg = composed.one(profile, ObjectKind.SEG) if has_seg else None
    if ObjectKind.SR in profile.objects:
        report = composed.one(profile, ObjectKind.SR)

        assert check_sr(report, seg=seg, profile=profile) == []
        assert report.CompletionFlag == ("PARTIAL" if case == "partial" else "COMPLETE")
        if seg is not None:
            assert measure_agreement(report, seg, study.series) == []
    if seg is not None:
        assert check_seg(seg, study.series) == []


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda item: item.name)
def test_highdicom_reads_every_report_back(study: Study, profile: Profile) -> None:
    if ObjectKind.SR not in profile.objects:
        return
    composed = study.cases["with a nodule"]
    (sr_path,) = composed.of(profile, ObjectKind.SR)
    uids = [nodule.tracking_uid for nodule in study.content.nodules]
    if "segment" in profile.sr.groups:
        (seg_path,) = composed.of(profile, ObjectKind.SEG)
        found = read_back(sr_path, seg_path, list(study.series.sop_instance_uids))

        assert [each.tracking_uid for each in found] == uids
        voxels = [int(nodule.mask.sum()) for nodule in study.content.nodules]
        assert [int(each.mask.sum()) for each in found] == voxels
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The string .* is unlikely to represent")
        report = highdicom.sr.srread(str(sr_path))
    for uid, nodule in zip(uids, study.content.nodules, strict=True):
        (axes,) = report.content.get_image_measurement_groups(tracking_uid=uid)
        values = {each.name.meaning: float(each.value) for each in axes.get_measurements()}
        assert values["Volume"] == pytest.approx(nodule.volume_mm3, abs=0.06)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda item: item.name)
def test_a_revision_names_the_report_that_this_destination_got_before(
    study: Study, profile: Profile
) -> None:
    if ObjectKind.SR not in profile.objects:
        return
    before = study.cases["with a nodule"].one(profile, ObjectKind.SR)
    after = study.cases["revision"].one(profile, ObjectKind.SR)
    (named,) = [
        reference
        for item in after.PredecessorDocumentsSequence
        for series in item.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    ]

    assert named.ReferencedSOPInstanceUID == before.SOPInstanceUID
    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert after.SeriesInstanceUID == before.SeriesInstanceUID
    assert (before.InstanceNumber, after.InstanceNumber) == (1, 2)


def test_the_note_rejects_every_object_of_every_profile(study: Study) -> None:
    note = dcmread(study.note)
    (evidence,) = note.CurrentRequestedProcedureEvidenceSequence
    listed = {
        (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID)
        for series in evidence.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }
    shown = {
        str(reference.ReferencedSOPInstanceUID)
        for item in note.ContentSequence
        for reference in item.get("ReferencedSOPSequence") or ()
    }
    sent = {(item.sop_class_uid, item.sop_instance_uid)
            for item in study.cases["with a nodule"].objects}  # fmt: skip

    assert listed == sent
    assert shown == {uid for _, uid in sent}


def test_no_uid_stands_for_two_objects_and_equal_wishes_share_one(study: Study) -> None:
    objects = [item for composed in study.cases.values() for item in composed.objects]
    by_uid: dict[str, set[bytes]] = {}
    for case in ("with a nodule", "revision"):
        for item in study.cases[case].objects:
            by_uid.setdefault(item.sop_instance_uid, set()).add(item.data)
    seg = [item for item in study.cases["with a nodule"].objects if item.kind == ObjectKind.SEG]
    shared = [item.profiles for item in study.cases["with a nodule"].objects]

    assert all(len(data) == 1 for data in by_uid.values())
    assert len(seg) == 1
    assert set(seg[0].profiles) == {
        name for name, profile in PROFILES.items() if ObjectKind.SEG in profile.objects
    }
    assert ("default", "stone", "everything") in shared
    assert all(UID(item.sop_instance_uid).is_valid for item in objects)


def test_composing_again_gives_the_same_bytes(study: Study, tmp_path: Path) -> None:
    again = compose(tmp_path / "again", study.series, study.findings, study.content)

    assert [item.data for item in again.objects] == [
        item.data for item in study.cases["with a nodule"].objects
    ]


def test_no_object_has_a_private_attribute(study: Study) -> None:
    private = [
        (path.name, str(element.tag))
        for composed in study.cases.values()
        for path in composed.paths
        for element in dcmread(path).iterall()
        if element.tag.is_private
    ]

    assert private == []


@pytest.mark.parametrize(
    ("name", "case", "kind"),
    [("sr", "revision", ObjectKind.SR), ("seg", "revision", ObjectKind.SEG),
     ("key_images", "revision", ObjectKind.KEY_IMAGES), ("pdf", "revision", ObjectKind.PDF),
     ("rejection", "", "")],
)  # fmt: skip
def test_the_statement_lists_every_attribute(study: Study, name: str, case: str, kind: str) -> None:
    """docs/conformance.md, annex 7.1; PULMONODE_WRITE_DOCS=1 writes it."""
    ds = dcmread(study.cases[case].of(EVERYTHING, kind)[0] if case else study.note)
    if statement.WRITE:
        statement.write(statement.STATEMENT, {name: lambda: statement.attributes(ds)})

    assert statement.blocks(statement.STATEMENT.read_text())[name] == statement.attributes(ds)


def test_each_set_of_weights_is_equipment_of_its_own(study: Study) -> None:
    weights = {name: letter * 64 for name, letter in zip(WEIGHTS, "abcd", strict=True)}
    findings = replace(study.findings, weights=weights)
    content = to_report_content(
        findings,
        revision=1,
        tracking_uids=[nodule.tracking_uid for nodule in study.content.nodules],
    )
    other = to_report_content(
        replace(findings, weights={**weights, "encoder": "e" * 64}),
        revision=1,
        tracking_uids=[nodule.tracking_uid for nodule in study.content.nodules],
    )
    changed = [
        one.name
        for one, two in zip(content.algorithm.stages, other.algorithm.stages, strict=True)
        if one.device_uid != two.device_uid
    ]

    assert [stage.name for stage in content.algorithm.stages] == list(WEIGHTS)
    assert changed == ["encoder"]
    assert content.algorithm.device_uid != other.algorithm.device_uid


# What each checker is there for: a planted defect that it, and where noted no other, sees.


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
