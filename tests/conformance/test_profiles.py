"""Every object of every shipped profile, through every checker."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import highdicom
import pytest
from pydicom import dcmread
from pydicom.uid import UID

from dicom_node.compose.profile import ObjectKind, Profile
from dicom_node.compose.segment_check import check_seg, measure_agreement
from dicom_node.compose.template_check import check_sr
from tests.conformance import statement
from tests.conformance.checkers import dcentvfy, dciodvfy, dsrdump, read_back
from tests.conformance.every_profile import (
    CASES,
    EVERYTHING,
    NOTE_CLASS,
    PROFILES,
    SR_CLASSES,
    WEIGHTS,
    Study,
    compose,
)
from workers.translate import to_report_content


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
        (axes,) = report.content.get_image_measurement_groups(  # type: ignore[attr-defined] # TID 1500
            tracking_uid=uid
        )
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
