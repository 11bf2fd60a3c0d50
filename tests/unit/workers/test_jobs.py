from __future__ import annotations

import pytest
from sqlalchemy import select

from workers import clock
from workers.application import Application
from workers.errors import IllegalTransition, LeaseLost, NoSuchJob
from workers.state.jobs import (
    ARROWS,
    back_off_s,
    find_job,
    held_job,
    move,
    renew,
    take_job,
)
from workers.state.schema import ENDS, Event, Job, JobState
from workers.usecases.administer import cancel, force, retry, set_pause
from workers.usecases.analyse import analyse_next
from workers.usecases.recover import due_hints, expire_leases

NOW = 1_000_000.0


def add_job(app: Application, state: JobState = JobState.QUEUED, uid: str = "1.2.3") -> int:
    with app.database.write() as session:
        job = Job(
            study_uid="1.2",
            series_uid=uid,
            state=state,
            warnings=[],
            created_at=NOW,
            last_instance_at=NOW,
            state_since=NOW,
        )
        session.add(job)
        session.flush()
        return job.id


def state_of(app: Application, job_id: int) -> JobState:
    with app.database.read() as session:
        return JobState(session.get_one(Job, job_id).state)


def take(app: Application, job_id: int, now: float = NOW):  # type: ignore[no-untyped-def]
    with app.database.write() as session:
        return take_job(session, job_id, "tester", now=now, lease_s=60)


def test_every_state_has_its_arrows_and_only_superseded_is_final() -> None:
    assert set(ARROWS) == set(JobState)
    assert [state for state, targets in ARROWS.items() if not targets] == [JobState.SUPERSEDED]
    assert all(
        JobState.SUPERSEDED in targets for s, targets in ARROWS.items() if s in ENDS and targets
    )


def test_an_arrow_that_does_not_exist_is_refused_and_nothing_is_written(app: Application) -> None:
    job_id = add_job(app, JobState.CONFIRMED)

    with (
        pytest.raises(IllegalTransition, match="is confirmed and cannot become queued"),
        app.database.write() as session,
    ):
        move(session, session.get_one(Job, job_id), JobState.QUEUED, "again", at=NOW)

    assert state_of(app, job_id) is JobState.CONFIRMED
    with app.database.read() as session:
        assert session.scalars(select(Event)).all() == []


def test_a_job_can_be_taken_once(app: Application) -> None:
    job_id = add_job(app)

    lease = take(app, job_id)

    assert lease.token == 1
    with pytest.raises(LeaseLost):
        take(app, job_id)


def test_a_job_is_not_taken_before_its_next_attempt_is_due(app: Application) -> None:
    job_id = add_job(app)
    with app.database.write() as session:
        session.get_one(Job, job_id).next_attempt_at = NOW + 30

    with pytest.raises(LeaseLost):
        take(app, job_id, now=NOW + 29)
    assert take(app, job_id, now=NOW + 30).token == 1


def test_a_worker_that_lost_its_lease_can_neither_renew_nor_write(app: Application) -> None:
    job_id = add_job(app)
    old = take(app, job_id)

    assert expire_leases(app, now=NOW + 61) == 1
    new = take(app, job_id, now=NOW + 61)

    assert new.token == old.token + 1
    with app.database.write() as session:
        with pytest.raises(LeaseLost):
            held_job(session, old)
        with pytest.raises(LeaseLost):
            renew(session, Job, old, until=NOW + 200)
        assert held_job(session, new).id == job_id


def test_a_job_whose_workers_keep_dying_fails_after_the_last_attempt(app: Application) -> None:
    job_id = add_job(app)

    for attempt in range(app.settings.max_attempts):
        take(app, job_id, now=NOW + 100 * attempt)
        expire_leases(app, now=NOW + 100 * attempt + 61)

    assert state_of(app, job_id) is JobState.FAILED
    with app.database.read() as session:
        assert "went silent" in (session.get_one(Job, job_id).reason or "")


def test_a_hint_is_given_once_and_again_when_nobody_followed(app: Application) -> None:
    add_job(app)

    again = NOW + app.settings.hint_again_s + 1

    assert len(due_hints(app, now=NOW).job_ids) == 1
    assert not due_hints(app, now=NOW + 1)
    assert len(due_hints(app, now=again).job_ids) == 1


def test_a_job_without_a_readable_file_ends_with_its_reason(app: Application) -> None:
    job_id = add_job(app)

    assert analyse_next(app) == job_id
    assert state_of(app, job_id) is JobState.NOT_ELIGIBLE
    assert analyse_next(app) is None


def test_a_paused_queue_takes_nothing_until_it_is_resumed(app: Application) -> None:
    job_id = add_job(app)

    set_pause(app, "analyse", paused=True)
    assert analyse_next(app) is None
    set_pause(app, "analyse", paused=False)
    assert analyse_next(app) == job_id


def test_cancelling_during_an_analysis_takes_the_right_to_write_away(app: Application) -> None:
    job_id = add_job(app)
    lease = take(app, job_id)

    assert cancel(app, str(job_id)) is JobState.CANCELLED
    with app.database.write() as session, pytest.raises(LeaseLost):
        held_job(session, lease)
    assert retry(app, "1.2.3") is JobState.RECEIVING


def test_forcing_brings_a_refused_series_back_without_waiting(app: Application) -> None:
    job_id = add_job(app, JobState.NOT_ELIGIBLE)

    assert force(app, str(job_id)) is JobState.RECEIVING
    with app.database.read() as session:
        assert session.get_one(Job, job_id).forced


def test_a_confirmed_job_cannot_be_retried_or_cancelled(app: Application) -> None:
    job_id = add_job(app, JobState.CONFIRMED)

    for action in (retry, cancel):
        with pytest.raises(IllegalTransition):
            action(app, str(job_id))


def test_a_job_is_found_by_number_and_by_series(app: Application) -> None:
    job_id = add_job(app)

    with app.database.read() as session:
        assert find_job(session, str(job_id)).id == find_job(session, "1.2.3").id == job_id
        with pytest.raises(NoSuchJob, match="jobs list"):
            find_job(session, "999")


def test_back_off_doubles_up_to_its_cap_with_some_jitter() -> None:
    for attempts, longest in ((1, 5.0), (2, 10.0), (4, 40.0), (30, 900.0), (5000, 900.0)):
        delay = back_off_s(attempts, base_s=5, cap_s=900)

        assert 0.75 * longest <= delay <= longest


def test_the_clock_is_the_epoch() -> None:
    assert clock.now() > 1_700_000_000
