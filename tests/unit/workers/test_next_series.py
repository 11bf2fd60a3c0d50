"""Which series of a study follows one that could not be analysed."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import update

from dicom_node.errors import UnreadableInstance
from tests.unit.workers.rows import (
    change,
    history,
    job_of,
    set_state,
)
from tests.unit.workers.test_assemble import complete, one_study, uid_of
from workers.application import Application
from workers.state.jobs import move, take_job
from workers.state.schema import Instance, Job, JobState
from workers.usecases.analyse import fail_attempt
from workers.usecases.assemble import queue_due, queue_next_best


def two_stand_back(app: Application, tmp_path: Path) -> tuple[str, str, Job]:
    """The better and the worse series that stood back, and the job that was chosen."""
    worse, better, best = one_study("worse", "better", "best", slices=(16, 17, 18))
    hold_over = complete(app, worse, better, best, tmp_path=tmp_path)
    queue_due(app, now=hold_over)
    return uid_of(better[0]), uid_of(worse[0]), job_of(app, uid_of(best[0]))


def test_when_the_best_series_cannot_be_analysed_the_next_one_is(
    app: Application, tmp_path: Path
) -> None:
    better, worse, best = two_stand_back(app, tmp_path)

    with app.database.write() as session:
        lease = take_job(session, best.id, "tester", now=app.now(), lease_s=60)
    assert fail_attempt(app, lease, UnreadableInstance("x", "cut off")) == JobState.FAILED

    assert job_of(app, better).state == JobState.QUEUED
    assert "ended as UnreadableInstance" in history(app, job_of(app, better).id)[-1]
    assert job_of(app, worse).reason_code == "better_series_chosen"


def test_nothing_follows_while_another_series_has_or_may_have_a_result(
    app: Application, tmp_path: Path
) -> None:
    better, worse, best = two_stand_back(app, tmp_path)
    with app.database.write() as session:
        ended = session.get_one(Job, best.id)
        move(session, ended, JobState.NOT_ELIGIBLE, "no lungs", at=1.0, reason_code="no_lungs")
        assert queue_next_best(session, ended, now=1.0)
        assert not queue_next_best(session, ended, now=1.0)

    set_state(app, better, JobState.ANALYSING, JobState.ANALYSED)
    with app.database.write() as session:
        assert not queue_next_best(session, session.get_one(Job, best.id), now=1.0)
    assert job_of(app, worse).state == JobState.NOT_ELIGIBLE


def test_a_series_whose_instances_are_gone_is_no_next_one(app: Application, tmp_path: Path) -> None:
    better, worse, best = two_stand_back(app, tmp_path)
    with app.database.write() as session:
        session.execute(update(Instance).where(Instance.series_uid == better).values(stored=False))
        ended = session.get_one(Job, best.id)
        move(session, ended, JobState.NOT_ELIGIBLE, "no lungs", at=1.0, reason_code="no_lungs")

        assert queue_next_best(session, ended, now=1.0)

    assert job_of(app, better).state == JobState.NOT_ELIGIBLE
    assert job_of(app, worse).state == JobState.QUEUED


def test_a_fault_of_the_system_sends_no_other_series_into_it(
    app: Application, tmp_path: Path
) -> None:
    better, _, best = two_stand_back(app, tmp_path)
    change(app, Job, best.id, state=JobState.QUEUED, attempts=app.settings.max_attempts - 1)
    with app.database.write() as session:
        lease = take_job(session, best.id, "tester", now=app.now(), lease_s=60)

    assert fail_attempt(app, lease, OSError("disk")) == JobState.FAILED

    assert job_of(app, better).state == JobState.NOT_ELIGIBLE
