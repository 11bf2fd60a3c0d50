from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dicom_codes
from pydicom.uid import (
    ComprehensiveSRStorage,
    KeyObjectSelectionDocumentStorage,
    SegmentationStorage,
)

from dicom_node.compose.content_tree import concept_of, items
from dicom_node.compose.identity import (
    is_own_object,
    result_instance_uid,
    result_series_uid,
)
from dicom_node.compose.rejection_note import (
    RejectedObject,
    RejectionReason,
    compose_rejection_note,
)
from dicom_node.errors import ComposeError
from dicom_node.read.ct_series import CtSeries
from tests.conformance.checkers import dciodvfy
from tests.unit.dicom_node.compose.cases import CREATED, decode, report

REASONS = list(RejectionReason)


def earlier(series: CtSeries, *revisions: int) -> list[RejectedObject]:
    """SR and SEG of earlier revisions, as the service remembers them."""
    return [
        RejectedObject(
            sop_class_uid=str(sop_class),
            sop_instance_uid=result_instance_uid(
                series.series_instance_uid, revision, kind, "default"
            ),
            series_instance_uid=result_series_uid(series.series_instance_uid, kind),
        )
        for revision in revisions
        for kind, sop_class in (("seg", SegmentationStorage), ("sr", ComprehensiveSRStorage))
    ]


@pytest.fixture
def note(series: CtSeries) -> Dataset:
    """Revision 3 takes back the two before it."""
    composed = compose_rejection_note(
        series,
        report(revision=3),
        earlier(series, 1, 2),
        reason=RejectionReason.SUPERSEDED,
        created=CREATED,
    )
    return decode(composed)


def test_every_rejected_object_is_an_item_of_its_type_and_listed_as_evidence(
    series: CtSeries, note: Dataset
) -> None:
    named = [
        (
            str(item.ValueType),
            str(item.ReferencedSOPSequence[0].ReferencedSOPClassUID),
            str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID),
        )
        for item in note.ContentSequence
        if item.ValueType in ("IMAGE", "COMPOSITE")
    ]
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    listed = {
        str(each.SeriesInstanceUID): [
            str(item.ReferencedSOPInstanceUID) for item in each.ReferencedSOPSequence
        ]
        for each in study.ReferencedSeriesSequence
    }

    seg_1, sr_1, seg_2, sr_2 = earlier(series, 1, 2)
    assert named == [
        ("IMAGE", SegmentationStorage, seg_1.sop_instance_uid),
        ("COMPOSITE", ComprehensiveSRStorage, sr_1.sop_instance_uid),
        ("IMAGE", SegmentationStorage, seg_2.sop_instance_uid),
        ("COMPOSITE", ComprehensiveSRStorage, sr_2.sop_instance_uid),
    ]
    assert study.StudyInstanceUID == series.study_instance_uid
    assert listed == {
        seg_1.series_instance_uid: [seg_1.sop_instance_uid, seg_2.sop_instance_uid],
        sr_1.series_instance_uid: [sr_1.sop_instance_uid, sr_2.sop_instance_uid],
    }


@pytest.mark.parametrize(
    ("reason", "code", "word"),
    [
        (RejectionReason.SUPERSEDED, dicom_codes.DCM.RejectedForQualityReasons, "replaces"),
        (RejectionReason.WRONG_PATIENT, dicom_codes.DCM.IncorrectModalityWorklistEntry, "patient"),
    ],
)
def test_the_title_is_the_reason_and_a_text_says_it_in_words(
    series: CtSeries, reason: RejectionReason, code: object, word: str
) -> None:
    ds = decode(
        compose_rejection_note(
            series, report(revision=2), earlier(series, 1), reason=reason, created=CREATED
        )
    )

    (text,) = items(ds, dicom_codes.DCM.KeyObjectDescription, value_type="TEXT")
    assert concept_of(ds) == code == reason.value
    assert word in text.TextValue
    assert "revision 2" in text.TextValue
    assert ds.ContentTemplateSequence[0].TemplateIdentifier == "2010"


def test_patient_and_study_are_those_of_the_series_now(series: CtSeries) -> None:
    headers = copy.deepcopy(series.headers)
    for header in headers:
        header.SpecificCharacterSet = "ISO_IR 100"
        header.PatientID = "CORRECTED"
        header.PatientName = "Müller^Jürgen"
        header.IssuerOfPatientID = "HOSPITAL"
    ds = decode(
        compose_rejection_note(
            dataclasses.replace(series, headers=headers),
            report(revision=2),
            earlier(series, 1),
            reason=RejectionReason.WRONG_PATIENT,
            created=CREATED,
        )
    )

    assert ds.PatientID == "CORRECTED"
    assert ds.PatientName == "Müller^Jürgen"
    assert ds.IssuerOfPatientID == "HOSPITAL"
    assert ds.StudyInstanceUID == series.study_instance_uid
    assert not {item.PatientID for item in series.headers} & {"CORRECTED"}


def test_it_says_who_it_is_and_that_it_is_ours(series: CtSeries, note: Dataset) -> None:
    uid = series.series_instance_uid

    assert note.Modality == "KO"
    assert note.SOPClassUID == KeyObjectSelectionDocumentStorage
    assert note.SeriesInstanceUID == result_series_uid(uid, "rejection")
    assert (note.SeriesNumber, note.InstanceNumber) == (9003, 3)
    assert is_own_object(note)


def test_equal_input_gives_equal_bytes_and_an_object_named_twice_stands_once(
    series: CtSeries,
) -> None:
    once, twice = (
        compose_rejection_note(
            series,
            report(revision=2),
            earlier(series, *revisions),
            reason=RejectionReason.SUPERSEDED,
            created=CREATED,
        )
        for revisions in ((1,), (1, 1))
    )

    assert once == twice
    assert once.kind == "rejection"


def test_a_note_that_rejects_nothing_is_refused(series: CtSeries) -> None:
    with pytest.raises(ComposeError, match="at least one object"):
        compose_rejection_note(
            series, report(revision=2), [], reason=RejectionReason.SUPERSEDED, created=CREATED
        )


@pytest.mark.peer
@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("revisions", [(1,), (1, 2, 3)])
def test_dciodvfy_finds_no_error(
    series: CtSeries, reason: RejectionReason, revisions: tuple[int, ...], tmp_path: Path
) -> None:
    composed = compose_rejection_note(
        series,
        report(revision=4),
        earlier(series, *revisions),
        reason=reason,
        created=CREATED,
    )
    path = tmp_path / "note.dcm"
    path.write_bytes(composed.data)

    assert dciodvfy(path) == []


def test_notes_about_different_objects_are_different_instances(series: CtSeries) -> None:
    """Destinations may have got different objects of one revision."""

    def uid_of(rejected: list[RejectedObject]) -> str:
        return compose_rejection_note(
            series, report(revision=3), rejected, reason=RejectionReason.SUPERSEDED,
            created=CREATED,
        ).sop_instance_uid  # fmt: skip

    assert uid_of(earlier(series, 1, 2)) == uid_of(earlier(series, 1, 2))
    assert uid_of(earlier(series, 1, 2)) != uid_of(earlier(series, 1))
