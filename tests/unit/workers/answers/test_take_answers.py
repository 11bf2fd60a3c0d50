"""Reports that come back: what each says of our nodules, and what is not understood."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from dicom_node.compose import codes
from tests.unit.workers.answers.cases import (
    NEW_KJI,
    Reported,
    add_group,
    arrive,
    drop,
    give_result,
    groups_of,
    imaging_measurements,
    label,
    lps,
    make_reported,
    measure,
    outcomes,
    regrade,
    replacing,
    saved_by_ohif,
    set_uid,
    stored_answers,
    verdicts,
    verified,
)
from tests.unit.workers.rows import history, job_of, lose_database, receive
from workers.application import Application
from workers.state.schema import JobState
from workers.usecases.describe_answers import current_answers, show_answers
from workers.usecases.record import record_due
from workers.usecases.reindex import reindex
from workers.usecases.take_answers import take_answers


def test_an_edited_report_accepts_rejects_regrades_and_adds(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    edited = replacing(reported)
    measure(edited, reported.uids[0], codes.LONG_AXIS, 11.5)
    regrade(edited, reported.uids[1], "IV")
    drop(edited, reported.uids[2])
    add_group(edited, reported)
    arrive(answered, tmp_path, edited)

    assert verdicts(answered, reported) == {1: "accept", 2: "regrade", 3: "reject", "+": "added"}
    by_nodule = {row.tracking_uid: row for row in stored_answers(answered)}
    assert by_nodule[reported.uids[0]].said["measures"] == {"long_axis_mm": 11.5}
    assert by_nodule[reported.uids[1]].said == {"level": "IV"}
    added = by_nodule["1.2.3.44"]
    assert added.said["centre_lps_mm"] == pytest.approx(lps(reported.series, NEW_KJI), abs=0.01)
    assert added.said["measures"] == {"long_axis_mm": 6.0}
    assert (added.author, added.author_id, added.role) == ("Reader One", "R-17", "author observer")
    assert added.said_at == datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
    assert {row.sop_uid for row in by_nodule.values()} == {edited.SOPInstanceUID}


def test_a_report_that_comes_back_starts_no_job(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    before = job_of(answered, reported.series_uid)
    edited = replacing(reported)
    arrive(answered, tmp_path, edited, reported.sr())

    job = job_of(answered, reported.series_uid)
    assert (job.id, job.state) == (before.id, before.state)
    own = job_of(answered, reported.report.series_instance_uid)
    assert (own.state, own.reason_code) == (JobState.NOT_ELIGIBLE, "own_object")
    assert outcomes(answered) == [("answers", None)]  # nobody looked at our own
    assert any("3 accept" in line for line in history(answered, job.id))


def test_what_ohif_saves_is_matched_by_place(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    saved = saved_by_ohif(reported, keep=(1, 2), labels={2: "level II"})
    assert not {uid for uid in reported.uids if groups_of(saved, uid)}
    arrive(answered, tmp_path, saved)

    assert verdicts(answered, reported) == {1: "accept", 2: "regrade", 3: "reject"}
    first, second, third = stored_answers(answered)
    assert second.said["level"] == "II"
    assert "by its place" in first.why
    assert third.why == "its group is gone from a report that replaces ours"
    assert {row.author for row in (first, second, third)} == {""}


def test_a_label_counts_when_it_is_plain(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    edited = replacing(reported)
    edited.SpecificCharacterSet = "ISO_IR 192"
    for uid, text in zip(reported.uids, ("假阳性", "rating: 5", "level II or III?"), strict=True):
        label(edited, uid, text)
    arrive(answered, tmp_path, edited)

    first, second, third = stored_answers(answered)
    assert [row.verdict for row in (first, second, third)] == ["reject", "regrade", "unclear"]
    assert second.said == {"rating": 5.0, "comment": "rating: 5"}
    assert third.why == "its label doubts or denies what it names"


def test_a_verified_copy_of_ours_accepts_everything_unchanged(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    signed = verified(reported.sr())  # our equipment still: only a person was added
    set_uid(signed, generate_uid())
    arrive(answered, tmp_path, signed)

    rows = stored_answers(answered)
    assert [row.verdict for row in rows] == ["accept"] * 3
    assert all(row.verified and row.author == "Rita Chief" for row in rows)
    assert rows[0].said == {"same_level": "II"}
    assert "verified as it was" in rows[2].why
    assert rows[0].said_at == datetime(2026, 3, 2, 8, tzinfo=UTC).timestamp()


def test_our_own_report_under_another_uid_is_no_answer(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    renamed = reported.sr()
    set_uid(renamed, generate_uid())
    arrive(answered, tmp_path, renamed)

    assert outcomes(answered) == [("not_ours", None)]
    assert stored_answers(answered) == []


def test_another_patient_with_our_tracking_uids_is_quarantined(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    other = replacing(reported)
    other.PatientID, other.StudyInstanceUID = "MRN-2", generate_uid()
    arrive(answered, tmp_path, other)

    assert stored_answers(answered) == []
    assert [outcome for outcome, _ in outcomes(answered)] == ["conflict"]
    held = job_of(answered, other.SeriesInstanceUID)
    assert (held.state, held.reason_code) == (JobState.QUARANTINED, "answer_conflicts")
    assert "another study" in (held.reason or "")
    assert "MRN-2" not in (held.reason or "")


def test_another_patient_in_our_study_is_quarantined(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    other = replacing(reported)
    other.PatientID = "MRN-2"
    arrive(answered, tmp_path, other)

    assert stored_answers(answered) == []
    held = job_of(answered, other.SeriesInstanceUID)
    assert (held.state, held.reason_code) == (JobState.QUARANTINED, "conflicting_patient")


def test_a_report_without_the_issuer_conflicts_with_nothing(
    tmp_path: Path, answered: Application
) -> None:
    named = make_reported(tmp_path / "issued", key="issued")
    for ds in named.datasets:
        ds.IssuerOfPatientID = "KGH"

    give_result(answered, tmp_path / "issued", named)
    last = named.datasets[-1]
    arrive(answered, tmp_path, saved_by_ohif(named, keep=(1, 2, 3), labels={}))
    late = copy.deepcopy(last)
    set_uid(late, generate_uid())
    receive(answered, tmp_path / "late", late)

    assert verdicts(answered, named) == {1: "accept", 2: "accept", 3: "accept"}
    assert job_of(answered, named.series_uid).state == JobState.RECEIVING  # no conflict


def test_a_report_that_names_nothing_of_ours_is_left_alone(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    foreign = replacing(reported)
    del foreign.PredecessorDocumentsSequence
    for uid in reported.uids:
        drop(foreign, uid)
    add_group(foreign, reported)
    arrive(answered, tmp_path, foreign)

    assert outcomes(answered) == [("not_ours", None)]
    assert stored_answers(answered) == []
    assert job_of(answered, foreign.SeriesInstanceUID).state == JobState.RECEIVING


def test_a_report_that_replaces_nothing_says_nothing_of_what_it_leaves_out(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    beside = replacing(reported)
    del beside.PredecessorDocumentsSequence
    drop(beside, reported.uids[2])
    arrive(answered, tmp_path, beside)

    assert verdicts(answered, reported) == {1: "accept", 2: "accept"}


def test_the_same_report_twice_answers_once(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    edited = replacing(reported)
    arrive(answered, tmp_path, edited)
    arrive(answered, tmp_path / "again", edited)

    assert len(stored_answers(answered)) == 3
    assert outcomes(answered) == [("answers", None)]


def test_a_changed_copy_under_the_same_uid_is_looked_at_again_and_the_first_stays(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    edited = replacing(reported)
    arrive(answered, tmp_path, edited)
    regrade(edited, reported.uids[0], "IV")
    arrive(answered, tmp_path / "again", edited)

    said = [row.verdict for row in stored_answers(answered) if row.tracking_uid == reported.uids[0]]
    assert said == ["accept", "regrade"]


def test_what_was_said_last_counts_whenever_it_arrives(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    later = replacing(reported, at="20260301150000")
    regrade(later, reported.uids[0], "IV")
    earlier = replacing(reported, at="20260301090000")
    drop(earlier, reported.uids[0])
    arrive(answered, tmp_path, later)
    arrive(answered, tmp_path / "second", earlier)

    nodule = show_answers(answered, reported.series_uid)["nodules"][0]
    assert nodule["answer"]["verdict"] == "regrade"
    assert [one["verdict"] for one in nodule["answers"]] == ["reject", "regrade"]


def test_a_clock_that_runs_ahead_overrules_nobody_for_long(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    ahead = replacing(reported, at="20990101000000")
    arrive(answered, tmp_path, ahead)

    assert {row.said_at <= answered.now() for row in stored_answers(answered)} == {True}


def test_an_edit_of_an_edit_knows_the_nodule_that_was_added(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    first = replacing(reported)
    drop(first, reported.uids[2])
    add_group(first, reported)
    arrive(answered, tmp_path, first)
    second = copy.deepcopy(first)
    set_uid(second, generate_uid())
    second.ContentTime = "130000"
    (reference,) = (
        second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    )
    reference.ReferencedSOPInstanceUID = first.SOPInstanceUID
    drop(second, "1.2.3.44")
    arrive(answered, tmp_path / "second", second)

    newest = current_answers([*show_answers(answered, reported.series_uid)["others"][0]["answers"]])
    assert newest["1.2.3.44"]["verdict"] == "reject"
    said = [row.verdict for row in stored_answers(answered) if row.tracking_uid == reported.uids[2]]
    assert said == ["reject"]  # it was gone already, and is not rejected twice


def test_a_new_group_that_is_not_plainly_a_missed_nodule_is_unclear(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    edited = replacing(reported)
    groups: dict[str, dict[str, object]] = {
        "1.2.1": {"finding": None},
        "1.2.2": {"finding": codes.LUNG},
        "1.2.3": {"drawn": False},
        "1.2.4": {"kji": (6, 30, 33)},
    }
    for uid, more in groups.items():
        add_group(edited, reported, tracking_uid=uid, **more)  # type: ignore[arg-type]
    arrive(answered, tmp_path, edited)

    new = {row.tracking_uid: row for row in stored_answers(answered) if row.tracking_uid in groups}
    assert {row.verdict for row in new.values()} == {"unclear"}
    assert "does not call itself a nodule" in new["1.2.1"].why
    assert "does not call itself a nodule" in new["1.2.2"].why
    assert "without a place" in new["1.2.3"].why
    assert "at the place of nodule 1" in new["1.2.4"].why


def test_reports_that_are_not_understood_are_kept_with_the_reason(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    nobody = replacing(reported)
    del nobody.AuthorObserverSequence
    other_template = replacing(reported)
    other_template.ContentTemplateSequence[0].TemplateIdentifier = "2000"
    malformed = replacing(reported)
    for item in imaging_measurements(malformed).ContentSequence[0].ContentSequence:
        if item.ValueType == "NUM":
            del item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence
    arrive(answered, tmp_path, nobody, other_template, malformed)

    first, second, third = outcomes(answered)
    assert [outcome for outcome, _ in (first, second, third)] == ["unclear"] * 3
    assert "no person" in (first[1] or "")
    assert "TID 1500" in (second[1] or "")
    assert "cannot be read" in (third[1] or "")
    assert stored_answers(answered) == []
    shown = show_answers(answered, reported.series_uid)["unclear_reports"]
    assert len(shown) == 2  # of the third nobody can tell what it is about


def test_a_nodule_left_out_of_a_partial_report_is_not_rejected(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    edited = replacing(reported)
    drop(edited, reported.uids[2])
    edited.CompletionFlag = "PARTIAL"
    arrive(answered, tmp_path, edited)

    assert verdicts(answered, reported)[3] == "unclear"


def test_a_rebuilt_database_has_the_same_answers(
    answered: Application, reported: Reported, tmp_path: Path
) -> None:
    edited = replacing(reported)
    drop(edited, reported.uids[2])
    arrive(answered, tmp_path, edited)
    record_due(answered)
    before = [(row.tracking_uid, row.verdict, row.said_at) for row in stored_answers(answered)]
    lose_database(answered)

    reindex(answered)

    after = [(row.tracking_uid, row.verdict, row.said_at) for row in stored_answers(answered)]
    assert after == before
    assert take_answers(answered) == 0
