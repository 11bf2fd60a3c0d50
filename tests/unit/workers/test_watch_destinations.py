from __future__ import annotations

import pytest
from sqlalchemy import select

from tests.unit.workers.rows import NOW, add_delivery, add_job, alarms, change
from workers.application import Application
from workers.state.alarms import DESTINATION_SILENT
from workers.state.schema import Alarm, Delivery, DeliveryState, JobState
from workers.usecases.watch_destinations import watch_destinations

MAIN = (DESTINATION_SILENT, "main")


def wait_on(app: Application, destination: str = "main", **values: object) -> int:
    """A delivery that was tried in vain and has waited past the limit."""
    job_id = add_job(app, JobState.DELIVERING, series_uid=f"1.{destination}.{len(values)}")
    tried = {"attempts": 1, "reason": "no association", "created_at": long_ago(app)}
    return add_delivery(app, job_id, destination, **{**tried, **values})


def long_ago(app: Application) -> float:
    return NOW - app.settings.delivery_alarm_s


def test_a_destination_that_takes_nothing_for_too_long_raises_an_alarm_that_says_why(
    app: Application,
) -> None:
    wait_on(app)

    watch_destinations(app, now=NOW)

    assert alarms(app) == [MAIN]
    with app.database.read() as session:
        message = session.scalars(select(Alarm.message)).one()
        assert message == "main has taken nothing, 1 results wait: no association"


@pytest.mark.parametrize(
    "values",
    [
        {"created_at": NOW},
        {"attempts": 0},
        {"state": DeliveryState.FAILED},
        {"state": DeliveryState.CANCELLED},
        {"state": DeliveryState.DELIVERED},
    ],
    ids=["young", "not tried", "failed", "cancelled", "delivered"],
)
def test_what_does_not_wait_or_not_for_long_raises_none(
    app: Application, values: dict[str, object]
) -> None:
    wait_on(app, **values)

    watch_destinations(app, now=NOW)

    assert alarms(app) == []


def test_a_destination_that_took_something_lately_is_slow_and_not_silent(
    app: Application,
) -> None:
    wait_on(app)
    wait_on(app, state=DeliveryState.CONFIRMED, delivered_at=NOW - 1, confirmed_at=NOW)

    watch_destinations(app, now=NOW)

    assert alarms(app) == []


def test_what_it_took_by_a_clock_that_ran_ahead_hides_no_silence(app: Application) -> None:
    wait_on(app)
    wait_on(app, state=DeliveryState.CONFIRMED, delivered_at=NOW + 7200, confirmed_at=NOW)

    watch_destinations(app, now=NOW)

    assert alarms(app) == [MAIN]


def test_what_one_destination_took_says_nothing_of_the_other(app: Application) -> None:
    wait_on(app, "main")
    wait_on(app, "second", state=DeliveryState.CONFIRMED, delivered_at=NOW - 1)

    watch_destinations(app, now=NOW)

    assert alarms(app) == [MAIN]


def test_the_alarm_ends_when_the_destination_takes_something(app: Application) -> None:
    delivery_id = wait_on(app)
    watch_destinations(app, now=NOW)

    change(app, Delivery, delivery_id, state=DeliveryState.DELIVERED, delivered_at=NOW + 1)
    watch_destinations(app, now=NOW + 2)

    assert alarms(app) == []


def test_looking_again_makes_no_second_alarm(app: Application) -> None:
    wait_on(app)

    for look in range(3):
        watch_destinations(app, now=NOW + look)

    with app.database.read() as session:
        assert len(session.scalars(select(Alarm)).all()) == 1
