"""What dead workers left, who is told, and a clock that was put right."""

from __future__ import annotations

import pytest

from tests.unit.workers.rows import (
    NOW,
    add_delivery,
    add_job,
    alarms,
    change,
    get_delivery,
    get_job,
    history,
)
from workers.application import Application
from workers.state.jobs import take_delivery
from workers.state.schema import Delivery, DeliveryState, Job, JobState
from workers.usecases.recover import (
    CLOCK_TOLERANCE_S,
    REPEATED_HINTS_AT_ONCE,
    Hints,
    due_hints,
    expire_leases,
    forget_hints,
)

AHEAD_S = 7200.0
"""How far the clock ran ahead; longer than every limit of the settings."""


def sending(app: Application) -> int:
    """A delivery that somebody has taken for a minute."""
    delivery_id = add_delivery(app, add_job(app, JobState.DELIVERING))
    with app.database.write() as session:
        take_delivery(session, delivery_id, "gone", now=NOW, lease_s=60)
    return delivery_id


def test_a_delivery_whose_worker_went_silent_is_sent_again(app: Application) -> None:
    delivery_id = sending(app)

    assert expire_leases(app, now=NOW + 59) == 0
    assert expire_leases(app, now=NOW + 60) == 1

    row = get_delivery(app, delivery_id)
    assert (row.state, row.lease_owner) == (DeliveryState.QUEUED, None)
    assert "worker gone went silent while sending" in history(app, row.job_id)[-1]


def test_a_delivery_whose_workers_keep_dying_fails_and_its_job_calls_somebody(
    app: Application,
) -> None:
    delivery_id = sending(app)
    change(app, Delivery, delivery_id, attempts=app.settings.max_delivery_attempts)

    expire_leases(app, now=NOW + 60)

    row = get_delivery(app, delivery_id)
    assert row.state == DeliveryState.FAILED
    assert alarms(app) == [("job_stopped", str(row.job_id))]


def test_a_job_that_is_taken_back_is_due_at_once_and_hinted_anew(app: Application) -> None:
    job_id = add_job(
        app, JobState.ANALYSING, lease_expires_at=NOW, lease_owner="gone", attempts=1,
        hinted_at=NOW,
    )  # fmt: skip

    expire_leases(app, now=NOW)

    assert due_hints(app, now=NOW).job_ids == (job_id,)


def test_a_hint_that_reached_nobody_is_given_again_at_once(app: Application) -> None:
    add_job(app)
    job_id = add_job(app, JobState.DELIVERING, series_uid="1.2.4")
    add_delivery(app, job_id)
    hints = due_hints(app, now=NOW)

    forget_hints(app, hints)

    assert hints.job_ids
    assert hints.delivery_ids
    assert due_hints(app, now=NOW) == hints


def test_nothing_due_is_no_hint_unless_it_is_time_to_maintain(app: Application) -> None:
    assert not due_hints(app, now=NOW)
    assert due_hints(app, now=NOW, maintain=True) == Hints(maintain=True)


def test_a_backlog_that_was_hinted_at_is_not_hinted_at_all_over_again(app: Application) -> None:
    for number in range(10):
        add_job(app, series_uid=f"1.{number}")
    first = due_hints(app, now=NOW)
    fresh = add_job(app, series_uid="1.99")

    again = due_hints(app, now=NOW + app.settings.hint_again_s)

    assert len(first.job_ids) == 10
    assert fresh in again.job_ids
    assert len(again.job_ids) == 1 + REPEATED_HINTS_AT_ONCE


@pytest.mark.parametrize(
    "column", ["created_at", "last_instance_at", "state_since", "pacs_asked_at"]
)
def test_a_series_received_while_the_clock_ran_ahead_does_not_wait_for_that_time(
    app: Application, column: str
) -> None:
    job_id = add_job(app, JobState.RECEIVING, **{column: NOW + AHEAD_S})

    expire_leases(app, now=NOW)

    assert getattr(get_job(app, job_id), column) == NOW


def test_a_retry_planned_while_the_clock_ran_ahead_is_due_now(app: Application) -> None:
    job_id = add_job(app, next_attempt_at=NOW + AHEAD_S, hinted_at=NOW + AHEAD_S)
    delivery_id = add_delivery(
        app, add_job(app, JobState.DELIVERING, series_uid="1.2.4"),
        next_attempt_at=NOW + AHEAD_S, hinted_at=NOW + AHEAD_S,
    )  # fmt: skip

    expire_leases(app, now=NOW)

    hints = due_hints(app, now=NOW)
    assert (hints.job_ids, hints.delivery_ids) == ((job_id,), (delivery_id,))


def test_a_lease_from_a_clock_that_ran_ahead_lasts_no_longer_than_any_other(
    app: Application,
) -> None:
    job_id = add_job(app, JobState.ANALYSING, series_uid="1.9", lease_expires_at=NOW + AHEAD_S)
    delivery_id = sending(app)
    change(app, Delivery, delivery_id, lease_expires_at=NOW + AHEAD_S)

    expire_leases(app, now=NOW)

    lease_s = app.settings.lease_s
    assert get_job(app, job_id).lease_expires_at == NOW + lease_s
    assert get_delivery(app, delivery_id).lease_expires_at == NOW + lease_s


def test_a_proof_awaited_since_a_clock_ran_ahead_is_awaited_no_longer_than_any_other(
    app: Application,
) -> None:
    delivery_id = add_delivery(
        app, add_job(app, JobState.DELIVERED), state=DeliveryState.DELIVERED,
        awaits_commitment_until=NOW + app.settings.commitment_wait_s + AHEAD_S,
    )  # fmt: skip

    expire_leases(app, now=NOW)

    until = get_delivery(app, delivery_id).awaits_commitment_until
    assert until == NOW + app.settings.commitment_wait_s


def test_a_delivery_planned_while_the_clock_ran_ahead_waits_since_now_for_its_alarm(
    app: Application,
) -> None:
    delivery_id = add_delivery(app, add_job(app, JobState.DELIVERING), created_at=NOW + AHEAD_S)

    expire_leases(app, now=NOW)

    assert get_delivery(app, delivery_id).created_at == NOW


def test_times_that_an_honest_clock_set_are_left_alone(app: Application) -> None:
    settings = app.settings
    times = {
        "next_attempt_at": NOW + settings.retry_cap_s,
        "last_instance_at": NOW + CLOCK_TOLERANCE_S,
        "state_since": NOW,
        "hinted_at": NOW + CLOCK_TOLERANCE_S,
    }
    job_id = add_job(app, **times)
    leased = add_job(
        app, JobState.ANALYSING, series_uid="1.2.4", lease_expires_at=NOW + settings.lease_s
    )

    expire_leases(app, now=NOW)

    job = get_job(app, job_id)
    assert {name: getattr(job, name) for name in times} == times
    assert get_job(app, leased).lease_expires_at == NOW + settings.lease_s


def test_an_end_keeps_the_time_at_which_it_came_whatever_the_clock_says(app: Application) -> None:
    job_id = add_job(app, JobState.CONFIRMED, state_since=NOW + AHEAD_S)

    expire_leases(app, now=NOW)

    assert get_job(app, job_id).state_since == NOW + AHEAD_S


def test_a_clock_that_jumps_ahead_only_lets_leases_run_out_early(app: Application) -> None:
    job_id = add_job(app, JobState.ANALYSING, lease_expires_at=NOW + 60, attempts=1)

    assert expire_leases(app, now=NOW + AHEAD_S) == 1

    with app.database.read() as session:
        assert session.get_one(Job, job_id).state == JobState.QUEUED
