from __future__ import annotations

from dataclasses import replace

from tests.unit.workers.rows import NOW, add_delivery, add_job, get_delivery, with_settings
from workers.application import Application
from workers.peer_settings import DestinationSettings
from workers.state.schema import DeliveryState, Priority
from workers.usecases.deliver import deliver_one
from workers.usecases.recover import due_hints
from workers.usecases.share_destinations import free_associations

S = DeliveryState


def two_destinations(app: Application) -> Application:
    """`main` takes two results at once, `second` one."""
    both = tuple(
        DestinationSettings(
            name=name, ae_title="PACS", host="127.0.0.1", port=1, maximum_associations=limit
        )
        for name, limit in (("main", 2), ("second", 1))
    )
    return replace(app, settings=with_settings(app.settings, destinations=both))


def add(app: Application, name: str, number: int, **values: object) -> int:
    """A delivery of a job of its own."""
    job_id = add_job(app, series_uid=f"1.2.{number}", priority=values.pop("priority", 0))
    return add_delivery(app, job_id, name, **values)


def test_workers_are_told_of_no_more_than_a_destination_takes_at_once(app: Application) -> None:
    app = two_destinations(app)
    for number in range(500):
        add(app, "main", number)
    of_second = add(app, "second", 500)

    hints = due_hints(app, now=NOW).delivery_ids

    assert len(hints) == 3
    assert of_second in hints


def test_what_is_under_way_counts(app: Application) -> None:
    app = two_destinations(app)
    add(app, "main", 1, state=S.SENDING)
    waiting = [add(app, "main", number) for number in (2, 3)]
    add(app, "second", 4, state=S.SENDING)
    add(app, "second", 5)

    assert due_hints(app, now=NOW).delivery_ids == (waiting[0],)


def test_results_of_urgent_series_are_sent_first(app: Application) -> None:
    app = two_destinations(app)
    add(app, "second", 1)
    urgent = add(app, "second", 2, priority=Priority.URGENT)

    assert due_hints(app, now=NOW).delivery_ids == (urgent,)


def test_a_delivery_beyond_the_share_waits_and_is_told_again_at_once(app: Application) -> None:
    app = two_destinations(app)
    add(app, "second", 1, state=S.SENDING)
    waiting = add(app, "second", 2, hinted_at=NOW)

    assert deliver_one(app, waiting) == "not_due"

    row = get_delivery(app, waiting)
    assert (row.state, row.attempts, row.hinted_at) == (S.QUEUED, 0, 0.0)


def test_a_destination_that_is_not_configured_any_more_still_gets_its_failure(
    app: Application,
) -> None:
    with app.database.read() as session:
        assert free_associations(session, app.settings, "gone") == 1
