from __future__ import annotations

import pytest

from tests.unit.workers.rows import NOW, add_delivery, add_job, alarms, change
from workers.application import Application
from workers.state.alarms import NOBODY_WORKS
from workers.state.schema import Delivery, DeliveryState, Job, JobState
from workers.usecases.administer import set_pause
from workers.usecases.watch_workers import watch_workers

SOON = NOW + 60
LATE = NOW + 601


def test_a_due_job_that_nobody_takes_raises_an_alarm(app: Application) -> None:
    add_job(app)

    watch_workers(app, now=SOON)
    assert alarms(app) == []

    watch_workers(app, now=LATE)
    assert alarms(app) == [(NOBODY_WORKS, "analyse")]


def test_a_due_result_that_nobody_sends_raises_an_alarm(app: Application) -> None:
    add_delivery(app, add_job(app, JobState.DELIVERING))

    watch_workers(app, now=LATE)

    assert alarms(app) == [(NOBODY_WORKS, "deliver")]


def test_while_somebody_is_at_work_a_long_queue_is_none(app: Application) -> None:
    add_job(app, series_uid="1.2.3")
    add_job(app, JobState.ANALYSING, series_uid="1.2.4")
    job_id = add_job(app, JobState.DELIVERING, series_uid="1.2.5")
    add_delivery(app, job_id, "main")
    add_delivery(app, job_id, "second", state=DeliveryState.SENDING)

    watch_workers(app, now=LATE)

    assert alarms(app) == []


@pytest.mark.parametrize("queue", ["analyse", "deliver"])
def test_a_queue_that_is_held_back_raises_none(app: Application, queue: str) -> None:
    if queue == "analyse":
        add_job(app)
    else:
        add_delivery(app, add_job(app, JobState.DELIVERING))
    set_pause(app, queue, paused=True)

    watch_workers(app, now=LATE)

    assert alarms(app) == []


def test_what_is_not_due_yet_raises_none(app: Application) -> None:
    add_job(app, next_attempt_at=LATE)
    add_delivery(app, add_job(app, JobState.DELIVERING, series_uid="1.9"), next_attempt_at=LATE)

    watch_workers(app, now=LATE)

    assert alarms(app) == []


def test_the_alarm_ends_when_a_worker_takes_the_job(app: Application) -> None:
    job_id = add_job(app)
    watch_workers(app, now=LATE)

    change(app, Job, job_id, state=JobState.ANALYSING)
    watch_workers(app, now=LATE)

    assert alarms(app) == []


def test_the_alarm_ends_when_the_last_result_is_sent(app: Application) -> None:
    delivery_id = add_delivery(app, add_job(app, JobState.DELIVERING))
    watch_workers(app, now=LATE)

    change(app, Delivery, delivery_id, state=DeliveryState.CONFIRMED)
    watch_workers(app, now=LATE)

    assert alarms(app) == []
