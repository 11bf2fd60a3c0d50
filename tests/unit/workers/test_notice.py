"""A study with a chest CT of which nothing could be analysed gets one report, others get none."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy import select

from dicom_node.compose.identity import notice_uid
from dicom_node.read.eligibility import load_rules
from tests.integration.bad_series import plain_series
from tests.migrated import migrated_application
from tests.unit.workers.rows import (
    add_delivery,
    change,
    commit,
    count,
    delivery_states,
    get_job,
    history,
    job_of,
    lose_database,
    receive,
    revisions,
    set_state,
    with_settings,
)
from workers.application import Application
from workers.errors import IllegalTransition
from workers.settings import Settings
from workers.state.schema import Delivery, Job, JobState, Notice, ResultObject
from workers.state.store import get_content
from workers.usecases.administer import cancel, force, retry
from workers.usecases.analyse import analyse_next
from workers.usecases.assemble import assemble_due, queue_due
from workers.usecases.describe import show_job
from workers.usecases.notice import give_notice_due
from workers.usecases.reindex import reindex
from workers.usecases.retract import find_retractions

RULES = load_rules(None)
LATER_S = 100_000.0
"""Far beyond every waiting time, so that what ended counts as settled."""


@pytest.fixture
def make(settings: Settings) -> Iterator[Callable[..., Application]]:
    opened: list[Application] = []

    def build(**changes: Any) -> Application:
        opened.append(migrated_application(with_settings(settings, **changes)))
        return opened[-1]

    yield build
    for app in opened:
        app.database.close()


def thick(key: str, **changes: Any) -> list[Dataset]:
    """A chest CT of one study whose slices are too thick to be analysed."""
    return changed(plain_series(key, slices=3), SliceThickness="8.0", **changes)


def changed(datasets: list[Dataset], **changes: Any) -> list[Dataset]:
    for ds in datasets:
        for keyword, value in changes.items():
            setattr(ds, keyword, value)
    return datasets


def into_study(datasets: list[Dataset], study: Dataset) -> list[Dataset]:
    keywords = ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber")
    return changed(datasets, **{keyword: study[keyword].value for keyword in keywords})


def end_all(app: Application) -> None:
    """Let every series be judged."""
    later = app.now() + LATER_S / 2
    assemble_due(app, RULES, now=later)
    queue_due(app, now=later)


def give(app: Application) -> int:
    return give_notice_due(app, RULES, now=app.now() + LATER_S)


def notices(app: Application) -> list[Job]:
    with app.database.read() as session:
        query = select(Job).join(Notice, Notice.job_id == Job.id).order_by(Job.id)
        return list(session.scalars(query))


def told(app: Application, *series: list[Dataset], folder: Path) -> list[Job]:
    """The notices of what was received, after everything was judged."""
    for datasets in series:
        receive(app, folder / str(datasets[0].SeriesInstanceUID), *datasets)
    end_all(app)
    give(app)
    return notices(app)


def report_of(app: Application, job: Job) -> Dataset:
    with app.database.read() as session:
        (row,) = session.scalars(select(ResultObject).where(ResultObject.job_id == job.id))
        return dcmread(io.BytesIO(get_content(app.store, row.path, row.sha256)))


def texts(ds: Dataset) -> list[str]:
    return [str(item.TextValue) for item in walk(ds) if item.ValueType == "TEXT"]


def walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence") or ():
        yield child
        yield from walk(child)


def test_one_report_goes_out_for_all_series_of_a_study(app: Application, tmp_path: Path) -> None:
    first = thick("one", SeriesNumber=3)
    second = into_study(thick("two", SeriesNumber=4), first[0])

    (job,) = told(app, first, second, folder=tmp_path)
    assert analyse_next(app) == job.id

    assert get_job(app, job.id).state == JobState.DELIVERING
    assert delivery_states(app, job.id) == {"queued"}
    ds = report_of(app, job)
    assert (ds.PatientName, ds.StudyInstanceUID) == (first[0].PatientName, job.study_uid)
    said = " | ".join(texts(ds))
    assert "NOT ANALYSED" in said
    assert "Series 3 (3 images): slices 8 mm thick" in said
    assert "Series 4 (3 images): slices 8 mm thick" in said
    assert "NOT ANALYSED" in ds.SeriesDescription
    assert ds.CompletionFlag == "PARTIAL"
    (evidence,) = ds.CurrentRequestedProcedureEvidenceSequence
    assert len(evidence.ReferencedSeriesSequence) == 2
    assert (give(app), len(notices(app))) == (0, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"ImageType": ["DERIVED", "SECONDARY", "MPR"]},
        {"Modality": "MR"},
        {"StudyDescription": "Knee", "SeriesDescription": "Knee", "BodyPartExamined": "KNEE"},
        {"StudyDescription": "Spine", "SeriesDescription": "Spine 8.0", "BodyPartExamined": ""},
        {"SeriesDescription": "Chest coronal"},
    ],
)
def test_what_nobody_waits_for_gets_no_report(
    changes: dict[str, Any], app: Application, tmp_path: Path
) -> None:
    assert told(app, thick("silent", **changes), folder=tmp_path) == []
    assert job_of(app, str(thick("silent")[0].SeriesInstanceUID)).end_considered


def test_a_series_that_names_no_region_counts_as_a_chest(app: Application, tmp_path: Path) -> None:
    empty = dict.fromkeys(
        ("StudyDescription", "SeriesDescription", "BodyPartExamined", "ProtocolName"), ""
    )

    assert len(told(app, thick("nameless", **empty), folder=tmp_path)) == 1


def test_a_study_of_which_a_series_was_analysed_gets_none(app: Application, tmp_path: Path) -> None:
    good = plain_series("good", slices=3)
    receive(app, tmp_path / "good", *good)
    commit(app, str(good[0].SeriesInstanceUID))
    with app.database.read() as session:
        deliveries = session.scalars(select(Delivery.id)).all()
    for delivery_id in deliveries:
        change(app, Delivery, delivery_id, state="confirmed")
    set_state(app, str(good[0].SeriesInstanceUID), JobState.CONFIRMED)

    assert told(app, into_study(thick("bad"), good[0]), folder=tmp_path) == []


def test_nothing_is_told_while_a_series_is_under_way_or_has_just_ended(
    app: Application, tmp_path: Path
) -> None:
    bad, late = thick("bad"), into_study(plain_series("late", slices=3), thick("bad")[0])
    receive(app, tmp_path / "bad", *bad)
    end_all(app)
    assert give_notice_due(app, RULES, now=app.now()) == 0
    receive(app, tmp_path / "late", *late)

    assert give(app) == 0
    set_state(app, str(late[0].SeriesInstanceUID), JobState.FAILED, at=app.now())

    assert give(app) == 1


def test_a_failed_analysis_is_told_without_the_administrators_words(
    app: Application, tmp_path: Path
) -> None:
    datasets = plain_series("fails", slices=3)
    receive(app, tmp_path, *datasets)
    uid = str(datasets[0].SeriesInstanceUID)
    set_state(app, uid, JobState.COMPLETE, JobState.QUEUED, JobState.FAILED)
    change(app, Job, job_of(app, uid).id, reason_code="WeightsRefused", reason="/secret/path")

    assert give(app) == 1
    analyse_next(app)

    said = " ".join(texts(report_of(app, notices(app)[0])))
    assert "the analysis failed (WeightsRefused)" in said
    assert "/secret" not in said


@pytest.mark.parametrize(
    ("code", "given"), [("truncated", 1), ("conflicting_patient", 0), ("pixels_changed", 0)]
)
def test_nothing_is_told_while_a_person_must_decide_whose_study_it_is(
    code: str, given: int, app: Application, tmp_path: Path
) -> None:
    bad = thick("bad")
    held = into_study(plain_series("held", slices=3), bad[0])
    for datasets in (bad, held):
        receive(app, tmp_path / str(datasets[0].SeriesInstanceUID), *datasets)
    set_state(app, str(held[0].SeriesInstanceUID), JobState.QUARANTINED)
    change(app, Job, job_of(app, str(held[0].SeriesInstanceUID)).id, reason_code=code)
    end_all(app)

    assert give(app) == given


def test_it_can_be_switched_off_and_old_ends_are_not_told_later(
    make: Callable[..., Application], tmp_path: Path
) -> None:
    off = make(not_analysed_report=False)
    assert told(off, thick("off"), folder=tmp_path) == []

    assert give(make()) == 0


def test_an_analysis_that_comes_after_all_takes_the_notice_back(
    make: Callable[..., Application], settings: Settings, tmp_path: Path
) -> None:
    wanting = settings.destinations[0].model_copy(update={"retraction": "rejection_note"})
    app = make(destinations=(wanting,))
    bad = thick("bad")
    (notice,) = told(app, bad, folder=tmp_path)
    analyse_next(app)
    add_delivery(app, notice.id, "second", attempts=1)
    good = into_study(plain_series("good", slices=3), bad[0])
    receive(app, tmp_path / "good", *good)
    with app.database.read() as session:
        (retraction,) = find_retractions(
            session, app.settings, job_of(app, str(good[0].SeriesInstanceUID))
        )

    commit(app, str(good[0].SeriesInstanceUID))

    assert [item.sop_instance_uid for item in retraction.rejected] == [
        str(report_of(app, notice).SOPInstanceUID)
    ]
    assert get_job(app, notice.id).state == JobState.SUPERSEDED
    assert give(app) == 0


def test_a_notice_that_comes_too_late_is_not_sent(app: Application, tmp_path: Path) -> None:
    bad = thick("bad")
    (notice,) = told(app, bad, folder=tmp_path)
    receive(app, tmp_path / "again", *into_study(plain_series("again", slices=3), bad[0]))

    analyse_next(app)

    assert get_job(app, notice.id).state == JobState.SUPERSEDED
    assert count(app, ResultObject) == 0


def test_a_corrected_patient_gets_a_revision_that_names_the_first(
    app: Application, tmp_path: Path
) -> None:
    bad = thick("bad")
    (notice,) = told(app, bad, folder=tmp_path)
    analyse_next(app)
    first = report_of(app, notice)
    receive(app, tmp_path / "corrected", *changed(thick("bad"), PatientName="Right^Name"))

    end_all(app)
    assert give(app) == 1
    analyse_next(app)

    uid = notice_uid(notice.study_uid)
    assert revisions(app, uid) == [(1, JobState.SUPERSEDED), (2, JobState.DELIVERING)]
    second = report_of(app, job_of(app, uid))
    assert second.PatientName == "Right^Name"
    assert second.SeriesInstanceUID == first.SeriesInstanceUID
    (study,) = second.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_after_the_database_was_lost_the_first_bytes_are_told_again(
    app: Application, tmp_path: Path
) -> None:
    (notice,) = told(app, thick("bad"), folder=tmp_path)
    analyse_next(app)
    first = report_of(app, notice)
    lose_database(app)
    reindex(app)
    end_all(app)

    assert give(app) == 1
    analyse_next(app)

    (again,) = notices(app)
    assert report_of(app, again) == first
    assert any("taken up from its record" in line for line in history(app, again.id))


def test_an_administrator_may_retry_or_cancel_a_notice_but_not_force_it(
    app: Application, tmp_path: Path
) -> None:
    (notice,) = told(app, thick("bad"), folder=tmp_path)

    with pytest.raises(IllegalTransition):
        force(app, str(notice.id))
    assert cancel(app, str(notice.id)) == JobState.CANCELLED
    assert give(app) == 0
    assert retry(app, str(notice.id)) == JobState.QUEUED
    assert analyse_next(app) == notice.id


def test_a_better_series_is_chosen_without_regard_to_a_notice(
    app: Application, tmp_path: Path
) -> None:
    bad = thick("bad")
    (notice,) = told(app, bad, folder=tmp_path)
    good = into_study(plain_series("good", slices=16), bad[0])
    receive(app, tmp_path / "good", *good)

    end_all(app)

    assert job_of(app, str(good[0].SeriesInstanceUID)).state in {
        JobState.COMPLETE,
        JobState.QUEUED,
    }
    assert get_job(app, notice.id).state == JobState.QUEUED


def test_the_job_shows_of_which_series_it_tells(app: Application, tmp_path: Path) -> None:
    bad = thick("bad")
    (notice,) = told(app, bad, folder=tmp_path)
    with app.database.read() as session:
        shown = show_job(session, str(notice.id))

    assert shown["nodules"] is None
    (about,) = shown["not_analysed"]
    assert about["series_uid"] == str(bad[0].SeriesInstanceUID)
    assert about["code"] == "thickness"
