from __future__ import annotations

import pytest
from sqlalchemy import select

from tests.unit.workers.rows import NOW, add_job, alarms
from workers.application import Application
from workers.state.alarms import (
    BROKER_UNREACHABLE,
    DESTINATION_SILENT,
    NOT_CONFIRMED,
    clear_alarm,
    open_alarms,
    raise_alarm,
)
from workers.state.jobs import move
from workers.state.schema import Alarm, Job, JobState


def raise_(app: Application, subject: str, message: str = "silent", at: float = NOW) -> None:
    with app.database.write() as session:
        raise_alarm(session, DESTINATION_SILENT, subject, message, at=at)


def clear(app: Application, subject: str, at: float = NOW + 10) -> None:
    with app.database.write() as session:
        clear_alarm(session, DESTINATION_SILENT, subject, at=at)


def stop(app: Application, job_id: int, state: JobState) -> None:
    with app.database.write() as session:
        move(session, session.get_one(Job, job_id), state, "why", at=NOW, reason_code="code")


def test_an_alarm_that_is_raised_again_stays_one_and_renews_its_words(app: Application) -> None:
    raise_(app, "main", "3 results wait")
    raise_(app, "main", "4 results wait", at=NOW + 60)

    with app.database.read() as session:
        (alarm,) = open_alarms(session)
        assert (alarm.message, alarm.raised_at) == ("4 results wait", NOW)


def test_alarms_are_told_apart_by_code_and_subject(app: Application) -> None:
    raise_(app, "main")
    raise_(app, "second")
    with app.database.write() as session:
        raise_alarm(session, BROKER_UNREACHABLE, "main", "no answer", at=NOW)

    clear(app, "main")

    assert alarms(app) == [(DESTINATION_SILENT, "second"), (BROKER_UNREACHABLE, "main")]


def test_what_comes_back_after_it_was_cleared_is_a_new_alarm(app: Application) -> None:
    raise_(app, "main")
    clear(app, "main")
    raise_(app, "main", at=NOW + 20)

    with app.database.read() as session:
        rows = session.scalars(select(Alarm).order_by(Alarm.id)).all()
        assert [(row.raised_at, row.cleared_at) for row in rows] == [
            (NOW, NOW + 10),
            (NOW + 20, None),
        ]


def test_clearing_what_is_not_open_leaves_history_as_it_was(app: Application) -> None:
    raise_(app, "main")
    clear(app, "main", at=NOW + 10)
    clear(app, "main", at=NOW + 99)

    with app.database.read() as session:
        assert session.scalars(select(Alarm.cleared_at)).all() == [NOW + 10]


def test_open_alarms_come_oldest_first(app: Application) -> None:
    for subject, at in (("late", NOW + 2), ("early", NOW), ("middle", NOW + 1)):
        raise_(app, subject, at=at)

    assert [subject for _, subject in alarms(app)] == ["early", "middle", "late"]


@pytest.mark.parametrize("state", [JobState.QUARANTINED, JobState.FAILED])
def test_a_job_that_stops_raises_an_alarm_until_it_goes_on(
    app: Application, state: JobState
) -> None:
    job_id = add_job(app, JobState.RECEIVING)

    stop(app, job_id, state)
    stopped = alarms(app)
    with app.database.write() as session:
        move(session, session.get_one(Job, job_id), JobState.RECEIVING, "again", at=NOW)

    assert stopped == [("job_stopped", str(job_id))]
    assert alarms(app) == []


@pytest.mark.parametrize("state", [JobState.NOT_ELIGIBLE, JobState.CANCELLED])
def test_an_end_that_needs_nobody_raises_no_alarm(app: Application, state: JobState) -> None:
    stop(app, add_job(app, JobState.RECEIVING), state)

    assert alarms(app) == []


def test_a_job_that_ends_takes_its_unproved_delivery_off_the_list(app: Application) -> None:
    job_id = add_job(app, JobState.DELIVERED)
    with app.database.write() as session:
        raise_alarm(session, NOT_CONFIRMED, str(job_id), "refused", at=NOW)

    stop(app, job_id, JobState.CONFIRMED)

    assert alarms(app) == []
