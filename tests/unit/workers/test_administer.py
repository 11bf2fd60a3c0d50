from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.integration.bad_series import plain_series
from tests.unit.workers.rows import (
    NOW,
    add_delivery,
    add_job,
    add_result,
    alarms,
    aside,
    change,
    count,
    delivery_states,
    get_delivery,
    get_job,
    history,
    job_of,
    receive,
    set_state,
    with_settings,
)
from workers.application import Application
from workers.errors import IllegalTransition, NoSuchJob
from workers.state.schema import Delivery, DeliveryState, Instance, Job, JobState, Priority
from workers.usecases.administer import (
    cancel,
    force,
    paused_queues,
    retry,
    retry_all,
    set_pause,
    set_priority,
)
from workers.usecases.recover import due_hints
from workers.usecases.share_settings import publish_settings


def failed_delivery(app: Application, uid: str, destination: str = "main") -> int:
    """A job whose result one destination did not take; the delivery's number."""
    job_id = add_job(app, JobState.FAILED, series_uid=uid, reason_code="delivery_failed")
    add_result(app, job_id, sop_uid=f"{uid}.9")
    return add_delivery(app, job_id, destination, state=DeliveryState.FAILED, attempts=50)


def paused(app: Application) -> dict[str, bool]:
    with app.database.read() as session:
        return paused_queues(session)


def test_retry_sends_a_failed_delivery_again_at_once_with_all_its_attempts(
    app: Application,
) -> None:
    delivery_id = failed_delivery(app, "1.2.3")

    assert retry(app, "1.2.3") is JobState.DELIVERING

    row = get_delivery(app, delivery_id)
    assert (row.state, row.attempts) == (DeliveryState.QUEUED, 0)
    assert due_hints(app, now=app.now()).delivery_ids == (delivery_id,)


def test_retry_leaves_alone_what_another_destination_took(app: Application) -> None:
    job_id = get_delivery(app, failed_delivery(app, "1.2.3")).job_id
    taken = add_delivery(app, job_id, "second", state=DeliveryState.CONFIRMED, attempts=1)

    retry(app, "1.2.3")

    assert get_delivery(app, taken).state == DeliveryState.CONFIRMED


def test_retry_without_a_result_judges_the_series_from_the_beginning(app: Application) -> None:
    job_id = add_job(
        app, JobState.FAILED, attempts=3, next_attempt_at=NOW * 9, hinted_at=NOW,
        pacs_asked_at=NOW, pacs_answers_alike=2, pacs_agrees=True,
    )  # fmt: skip

    assert retry(app, str(job_id)) is JobState.RECEIVING

    job = get_job(app, job_id)
    assert (job.attempts, job.next_attempt_at, job.hinted_at) == (0, 0.0, 0.0)
    assert (job.pacs_asked_at, job.pacs_answers_alike, job.pacs_agrees) == (0.0, 0, None)
    assert job.last_instance_at > NOW


@pytest.mark.parametrize("state", [JobState.RECEIVING, JobState.QUEUED, JobState.ANALYSING])
def test_what_did_not_stop_is_not_retried(app: Application, state: JobState) -> None:
    add_job(app, state)

    with pytest.raises(IllegalTransition, match="it did not stop"):
        retry(app, "1.2.3")


def test_a_result_of_which_nothing_failed_is_not_sent_again(app: Application) -> None:
    job_id = add_job(app, JobState.DELIVERED)
    add_result(app, job_id)
    add_delivery(app, job_id, state=DeliveryState.DELIVERED)

    with pytest.raises(IllegalTransition, match="nothing of it failed"):
        retry(app, str(job_id))


@pytest.mark.parametrize("state", [JobState.ANALYSED, JobState.CANCELLED])
def test_a_result_that_had_nowhere_to_go_goes_to_the_destinations_that_there_are_now(
    app: Application, state: JobState
) -> None:
    job_id = add_job(app, state)
    add_result(app, job_id)

    assert retry(app, str(job_id)) is JobState.DELIVERING

    with app.database.read() as session:
        rows = session.scalars(select(Delivery).where(Delivery.job_id == job_id)).all()
    assert {(row.destination, row.state) for row in rows} == {
        ("main", DeliveryState.QUEUED),
        ("second", DeliveryState.QUEUED),
    }
    assert set(due_hints(app, now=app.now()).delivery_ids) == {row.id for row in rows}


def test_the_destinations_of_a_retry_are_the_sites(app: Application) -> None:
    publish_settings(app)
    here = replace(app, settings=with_settings(app.settings, destinations=()))
    job_id = add_job(app, JobState.ANALYSED)
    add_result(app, job_id)

    assert retry(here, str(job_id)) is JobState.DELIVERING


def test_a_result_that_has_nowhere_to_go_stays_as_it_is(app: Application) -> None:
    here = replace(app, settings=with_settings(app.settings, destinations=()))
    job_id = add_job(app, JobState.ANALYSED)
    add_result(app, job_id)

    with pytest.raises(IllegalTransition, match="no destination is configured"):
        retry(here, str(job_id))
    assert get_job(app, job_id).state == JobState.ANALYSED


def test_a_superseded_result_is_never_brought_back(app: Application) -> None:
    job_id = add_job(app, JobState.SUPERSEDED)
    add_result(app, job_id)
    add_delivery(app, job_id, state=DeliveryState.CANCELLED)

    with pytest.raises(IllegalTransition):
        retry(app, str(job_id))
    assert delivery_states(app, job_id) == {DeliveryState.CANCELLED}


def test_an_older_revision_is_not_sent_before_the_later_one(app: Application) -> None:
    job_id = add_job(app, JobState.FAILED)
    add_result(app, job_id)
    add_delivery(app, job_id, state=DeliveryState.FAILED)
    add_job(app, JobState.RECEIVING, revision=2)

    with pytest.raises(IllegalTransition, match="has a later one"):
        retry(app, str(job_id))
    assert delivery_states(app, job_id) == {DeliveryState.FAILED}


def test_retry_looks_at_files_kept_aside_once_more(app: Application, tmp_path: Path) -> None:
    (ours,) = plain_series("ours", slices=1)
    (stranger,) = plain_series("stranger", slices=1)
    stranger.StudyInstanceUID = ours.StudyInstanceUID
    receive(app, tmp_path, ours)
    receive(app, tmp_path, stranger)
    (held,) = app.spool.quarantined()

    retry(app, str(stranger.SeriesInstanceUID))

    assert [path.name for path in app.spool.inbox()] == [held.name]
    assert app.spool.quarantined() == []
    assert aside(app) == []


def test_retry_keeps_other_pixels_aside_so_that_the_first_ones_count(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("pixels", slices=1)
    receive(app, tmp_path, ds)
    ds.PixelData = bytes(len(ds.PixelData))
    receive(app, tmp_path, ds)
    (held,) = app.spool.quarantined()

    assert retry(app, str(ds.SeriesInstanceUID)) is JobState.RECEIVING

    assert app.spool.inbox() == []
    assert aside(app) == [(held.name, "pixels_changed")]


def test_every_dead_letter_is_restarted_where_it_stopped(app: Application) -> None:
    delivery_id = failed_delivery(app, "1.1")
    failed = add_job(app, JobState.FAILED, series_uid="1.2")
    held = add_job(app, JobState.QUARANTINED, series_uid="1.3")
    add_job(app, JobState.NOT_ELIGIBLE, series_uid="1.4")
    add_job(app, JobState.CANCELLED, series_uid="1.5")

    assert retry_all(app) == {
        get_delivery(app, delivery_id).job_id: JobState.DELIVERING,
        failed: JobState.RECEIVING,
        held: JobState.RECEIVING,
    }


def test_dead_letters_are_chosen_by_reason(app: Application) -> None:
    chosen = add_job(app, JobState.FAILED, series_uid="1.1", reason_code="OSError")
    other = add_job(app, JobState.FAILED, series_uid="1.2", reason_code="worker_lost")

    assert list(retry_all(app, code="OSError")) == [chosen]
    assert get_job(app, other).state == JobState.FAILED


def test_dead_letters_are_chosen_by_the_destination_that_did_not_take_them(
    app: Application,
) -> None:
    chosen = get_delivery(app, failed_delivery(app, "1.1", "main")).job_id
    failed_delivery(app, "1.2", "second")

    assert list(retry_all(app, destination="main")) == [chosen]


def test_one_dead_letter_that_cannot_be_restarted_stops_no_other(app: Application) -> None:
    stuck = add_job(app, JobState.FAILED, series_uid="1.1")
    add_result(app, stuck)
    add_delivery(app, stuck, state=DeliveryState.DELIVERED)
    other = add_job(app, JobState.FAILED, series_uid="1.2")

    outcomes = retry_all(app)

    assert "nothing of it failed" in outcomes[stuck]
    assert outcomes[other] == JobState.RECEIVING


def test_a_changed_priority_is_kept_and_stands_in_the_history(app: Application) -> None:
    job_id = add_job(app)

    set_priority(app, "1.2.3", Priority.URGENT)

    assert get_job(app, job_id).priority == Priority.URGENT
    assert history(app, job_id) == ["priority urgent"]


@pytest.mark.parametrize(
    "action",
    [retry, cancel, force, lambda app, wanted: set_priority(app, wanted, Priority.NORMAL)],
    ids=["retry", "cancel", "force", "set_priority"],
)
def test_a_job_that_is_not_there_is_named(app: Application, action: object) -> None:
    with pytest.raises(NoSuchJob, match="no job 77"):
        action(app, "77")  # type: ignore[operator]


def test_cancelling_drops_what_was_not_delivered_yet(app: Application) -> None:
    job_id = add_job(app, JobState.DELIVERING)
    add_result(app, job_id)
    waiting = add_delivery(app, job_id, "main", state=DeliveryState.QUEUED)
    taken = add_delivery(app, job_id, "second", state=DeliveryState.CONFIRMED)

    cancel(app, str(job_id))

    assert get_delivery(app, waiting).state == DeliveryState.CANCELLED
    assert get_delivery(app, taken).state == DeliveryState.CONFIRMED


def test_a_cancelled_result_is_sent_after_all_when_it_is_retried(app: Application) -> None:
    job_id = add_job(app, JobState.DELIVERING)
    add_result(app, job_id)
    add_delivery(app, job_id)
    cancel(app, str(job_id))

    assert retry(app, str(job_id)) is JobState.DELIVERING
    assert delivery_states(app, job_id) == {DeliveryState.QUEUED}


def test_a_cancelled_job_needs_nobody_any_more(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("cancelled", slices=1)
    receive(app, tmp_path, ds)
    set_state(app, str(ds.SeriesInstanceUID), JobState.QUARANTINED)

    cancel(app, str(ds.SeriesInstanceUID))

    assert alarms(app) == []
    assert count(app, Instance) == 1


def test_a_job_with_a_result_is_not_forced_into_a_second_one(app: Application) -> None:
    failed_delivery(app, "1.2.3")

    with pytest.raises(IllegalTransition, match="has a result"):
        force(app, "1.2.3")
    job = job_of(app, "1.2.3")
    assert (job.state, job.forced) == (JobState.FAILED, False)


def test_a_job_that_is_being_analysed_is_not_forced(app: Application) -> None:
    job_id = add_job(app, JobState.ANALYSING)

    with pytest.raises(IllegalTransition):
        force(app, str(job_id))
    assert not get_job(app, job_id).forced


@pytest.mark.parametrize("queue", ["analyse", "deliver"])
def test_only_the_queue_that_is_named_is_held_back(app: Application, queue: str) -> None:
    set_pause(app, queue, paused=True)

    assert paused(app) == {name: name == queue for name in ("analyse", "deliver")}


def test_resuming_gives_the_hints_again_that_went_nowhere(app: Application) -> None:
    job_id = add_job(app)
    due_hints(app, now=NOW)
    change(app, Job, job_id, hinted_at=NOW)
    set_pause(app, "analyse", paused=True)

    set_pause(app, "analyse", paused=False)

    assert due_hints(app, now=NOW + 1).job_ids == (job_id,)


def test_a_queue_that_does_not_exist_is_not_paused(app: Application) -> None:
    with pytest.raises(KeyError):
        set_pause(app, "everything", paused=True)
