"""Which job an arrival belongs to, when a revision begins, and what it replaces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from tests.integration.bad_series import plain_series
from tests.migrated import migrated_application
from tests.unit.workers.rows import (
    add_delivery,
    add_job,
    add_result,
    alarms,
    analysed,
    change,
    commit,
    delivery_states,
    get_delivery,
    get_job,
    history,
    job_of,
    receive,
    revisions,
    set_state,
    with_settings,
)
from workers.application import Application
from workers.settings import Settings
from workers.state.schema import Delivery, DeliveryState, Job, JobState, Priority, Result
from workers.usecases.analyse import _earlier_reports, _earlier_result
from workers.usecases.revise import drop_deliveries


@pytest.fixture
def ranked(settings: Settings) -> Iterator[Application]:
    opened = migrated_application(
        with_settings(
            settings, urgent_calling_ae_titles="EMERGENCY", off_peak_calling_ae_titles="ARCHIVE"
        )
    )
    yield opened
    opened.database.close()


def uid_of(ds: Dataset) -> str:
    return str(ds.SeriesInstanceUID)


@pytest.mark.parametrize(
    ("calling_ae", "priority"),
    [
        ("EMERGENCY", Priority.URGENT),
        ("ARCHIVE", Priority.OFF_PEAK),
        ("CT1", Priority.NORMAL),
        ("", Priority.NORMAL),
    ],
)
def test_who_sends_a_series_decides_its_priority(
    ranked: Application, tmp_path: Path, calling_ae: str, priority: Priority
) -> None:
    (ds,) = plain_series("priority", slices=1)
    if calling_ae:
        ds.file_meta.SourceApplicationEntityTitle = calling_ae

    receive(ranked, tmp_path, ds)

    job = job_of(ranked, uid_of(ds))
    assert (job.calling_ae, job.priority) == (calling_ae, priority)


def test_a_revision_counts_the_instances_of_the_whole_series(
    app: Application, tmp_path: Path
) -> None:
    *first, late = plain_series("counted", slices=4)
    receive(app, tmp_path, *first)
    commit(app, uid_of(late))

    receive(app, tmp_path, late)

    assert job_of(app, uid_of(late)).instance_count == 4
    assert history(app, job_of(app, uid_of(late)).id) == ["late instance after revision 1"]


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.QUARANTINED])
def test_a_late_instance_after_a_result_that_stopped_on_its_way_starts_a_revision(
    app: Application, tmp_path: Path, state: JobState
) -> None:
    first, late = plain_series("stopped on its way", slices=2)
    receive(app, tmp_path, first)
    analysed(app, uid_of(first), sending=DeliveryState.FAILED)
    set_state(app, uid_of(first), state)

    receive(app, tmp_path, late)

    assert revisions(app, uid_of(first)) == [(1, state), (2, JobState.RECEIVING)]


def test_a_late_instance_leaves_a_result_that_an_administrator_cancelled(
    app: Application, tmp_path: Path
) -> None:
    first, late = plain_series("cancelled result", slices=2)
    receive(app, tmp_path, first)
    analysed(app, uid_of(first))
    set_state(app, uid_of(first), JobState.CANCELLED)

    receive(app, tmp_path, late)

    assert revisions(app, uid_of(first)) == [(1, JobState.CANCELLED)]


def test_a_revisions_result_supersedes_the_earlier_one_and_stops_its_deliveries(
    app: Application, tmp_path: Path
) -> None:
    first, late = plain_series("superseded", slices=2)
    receive(app, tmp_path, first)
    old = commit(app, uid_of(first))
    receive(app, tmp_path, late)

    new = commit(app, uid_of(first))

    assert revisions(app, uid_of(first)) == [(1, JobState.SUPERSEDED), (2, JobState.DELIVERING)]
    assert delivery_states(app, old) == {DeliveryState.CANCELLED}
    assert delivery_states(app, new) == {DeliveryState.QUEUED}
    assert f"superseded by job {new}" in (get_job(app, old).reason or "")


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.QUARANTINED])
def test_a_revisions_result_ends_the_dead_letter_of_the_earlier_one(
    app: Application, tmp_path: Path, state: JobState
) -> None:
    first, late = plain_series("dead letter", slices=2)
    receive(app, tmp_path, first)
    old = analysed(app, uid_of(first), sending=DeliveryState.FAILED)
    set_state(app, uid_of(first), state)
    receive(app, tmp_path, late)

    commit(app, uid_of(first))

    assert get_job(app, old).state == JobState.SUPERSEDED
    assert alarms(app) == []


def test_a_better_series_supersedes_the_other_one_of_its_study_unless_that_was_forced(
    app: Application, tmp_path: Path
) -> None:
    thick, thin, wanted = (plain_series(key, slices=1)[0] for key in ("thick", "thin", "wanted"))
    for ds in (thin, wanted):
        ds.StudyInstanceUID = thick.StudyInstanceUID
        ds.PatientID, ds.PatientName = thick.PatientID, thick.PatientName
    receive(app, tmp_path, thick, thin, wanted)
    change(app, Job, job_of(app, uid_of(wanted)).id, forced=True)
    for ds in (thick, wanted, thin):
        commit(app, uid_of(ds))

    assert revisions(app, uid_of(thick)) == [(1, JobState.SUPERSEDED)]
    assert revisions(app, uid_of(wanted)) == [(1, JobState.DELIVERING)]


def test_the_next_revision_continues_from_the_newest_one_that_has_a_result(
    app: Application,
) -> None:
    ids = {}
    for revision in (1, 2, 3, 4):
        ids[revision] = add_job(app, JobState.SUPERSEDED, revision=revision)
    add_result(app, ids[1], sop_uid="1.1")
    add_result(app, ids[2], sop_uid="1.2")

    with app.database.read() as session:
        job = session.get_one(Job, ids[4])
        earlier, reports = _earlier_result(session, job), _earlier_reports(session, job)

    assert earlier is not None
    (report,) = reports
    assert (earlier.job_id, report.predecessor.sop_instance_uid) == (ids[2], "1.2")
    assert (report.revision, report.profiles) == (2, ("default",))


def test_the_first_revision_continues_from_nothing(app: Application) -> None:
    job_id = add_job(app)
    add_result(app, add_job(app, JobState.CONFIRMED, series_uid="1.2.4"))

    with app.database.read() as session:
        job = session.get_one(Job, job_id)
        assert _earlier_result(session, job) is None
        assert _earlier_reports(session, job) == ()


def test_only_what_has_not_arrived_yet_is_dropped(app: Application) -> None:
    job_id = add_job(app, JobState.DELIVERING)
    ids = {state: add_delivery(app, job_id, state.value, state=state) for state in DeliveryState}

    with app.database.write() as session:
        dropped = drop_deliveries(session, session.get_one(Job, job_id), "superseded")

    under_way = {DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.WITHHELD}
    assert dropped == 3
    assert {state: get_delivery(app, ids[state]).state for state in DeliveryState} == {
        state: DeliveryState.CANCELLED if state in under_way else state for state in DeliveryState
    }


def test_a_result_is_committed_with_one_delivery_per_destination_and_its_warnings(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("committed", slices=1)
    receive(app, tmp_path, ds)

    job_id = commit(app, uid_of(ds))

    with app.database.read() as session:
        assert sorted(session.scalars(select(Delivery.destination))) == ["main", "second"]
        assert not session.get_one(Result, job_id).recorded
    assert get_job(app, job_id).warnings == ["found nothing"]


def test_without_a_destination_a_result_stays_analysed_and_says_so(
    settings: Settings, tmp_path: Path
) -> None:
    app = migrated_application(with_settings(settings, destinations=()))
    (ds,) = plain_series("no destination", slices=1)
    receive(app, tmp_path, ds)

    job_id = commit(app, uid_of(ds))

    assert get_job(app, job_id).state == JobState.ANALYSED
    assert "no destination is configured" in history(app, job_id)[-1]
    app.database.close()
