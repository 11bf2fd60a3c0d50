"""Which job is taken first, and what a failed attempt leads to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dicom_node.errors import ComposeError, UnreadableInstance
from tests.integration.bad_series import plain_series
from tests.unit.workers.rows import (
    NOW,
    add_job,
    alarms,
    change,
    get_job,
    history,
    job_of,
    order_taken,
    receive,
    set_state,
)
from workers.application import Application
from workers.errors import LeaseLost, ObjectChanged, ObjectMissing, StoreUnavailable
from workers.state.jobs import Lease, take_job
from workers.state.schema import Job, JobState, Priority
from workers.usecases.administer import cancel
from workers.usecases.analyse import analyse_next, fail_attempt

OUTAGE = StoreUnavailable("s3://bucket", "no answer")


def add(app: Application, uid: str, priority: Priority, waited_s: float = 0.0) -> int:
    return add_job(app, series_uid=uid, priority=priority, created_at=NOW - waited_s)


def taken(app: Application, **values: object) -> Lease:
    """A lease on a new job."""
    job_id = add_job(app, **values)
    with app.database.write() as session:
        return take_job(session, job_id, "tester", now=app.now(), lease_s=60)


def test_the_more_urgent_job_is_taken_first_then_the_older_one(app: Application) -> None:
    off_peak = add(app, "1.1", Priority.OFF_PEAK, waited_s=30)
    young = add(app, "1.2", Priority.NORMAL, waited_s=10)
    old = add(app, "1.3", Priority.NORMAL, waited_s=20)
    urgent = add(app, "1.4", Priority.URGENT)

    assert order_taken(app) == [urgent, old, young, off_peak]


def test_who_waited_too_long_comes_before_the_urgent_ones(app: Application) -> None:
    limit = app.settings.starvation_s
    urgent = add(app, "1.1", Priority.URGENT, waited_s=limit - 1)
    off_peak = add(app, "1.2", Priority.OFF_PEAK, waited_s=limit)

    assert order_taken(app) == [off_peak, urgent]


def test_among_those_who_waited_too_long_the_oldest_comes_first(app: Application) -> None:
    limit = app.settings.starvation_s
    urgent = add(app, "1.1", Priority.URGENT, waited_s=limit + 1)
    off_peak = add(app, "1.2", Priority.OFF_PEAK, waited_s=limit + 2)

    assert order_taken(app) == [off_peak, urgent]


def test_equals_are_taken_in_the_order_of_their_numbers(app: Application) -> None:
    ids = [add(app, f"1.{n}", Priority.NORMAL) for n in range(4)]

    assert order_taken(app) == ids


def test_an_urgent_job_that_is_not_due_or_not_queued_blocks_nobody(app: Application) -> None:
    add_job(app, series_uid="1.1", priority=Priority.URGENT, next_attempt_at=NOW + 1)
    add_job(app, JobState.COMPLETE, series_uid="1.2", priority=Priority.URGENT)
    due = add(app, "1.3", Priority.OFF_PEAK)

    assert order_taken(app) == [due]


@pytest.mark.parametrize(
    ("error", "state", "transient"),
    [
        (OSError(28, "No space left on device"), JobState.QUEUED, True),
        (MemoryError(), JobState.QUEUED, True),
        (ObjectMissing("a"), JobState.QUEUED, True),
        (OUTAGE, JobState.QUEUED, True),
        (ObjectChanged("a", "00"), JobState.FAILED, False),
        (UnreadableInstance("a.dcm", "no DICOM"), JobState.FAILED, False),
        (ComposeError("a segment without voxels"), JobState.FAILED, False),
        (ValueError("a bug"), JobState.FAILED, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_the_class_of_the_error_alone_decides_whether_to_try_again(
    app: Application, error: BaseException, state: JobState, transient: bool
) -> None:
    lease = taken(app)

    assert fail_attempt(app, lease, error) == state

    job = get_job(app, lease.id)
    assert job.transient is transient
    assert type(error).__name__ in (job.reason or "")
    assert job.lease_owner is None


def test_a_failed_attempt_waits_longer_each_time(app: Application) -> None:
    base_s = app.settings.retry_base_s
    for attempts, longest_s in ((0, base_s), (1, 2 * base_s)):
        lease = taken(app, series_uid=f"1.{attempts}", attempts=attempts)

        fail_attempt(app, lease, OSError("busy"))

        wait_s = get_job(app, lease.id).next_attempt_at - app.now()
        assert 0.75 * longest_s - 5 < wait_s <= longest_s  # 5 s: this test's own time


def test_after_the_last_attempt_a_passing_error_ends_the_job_and_calls_somebody(
    app: Application,
) -> None:
    lease = taken(app, attempts=app.settings.max_attempts - 1)

    assert fail_attempt(app, lease, OSError("busy")) == JobState.FAILED

    job = get_job(app, lease.id)
    assert (job.reason_code, job.transient) == ("OSError", True)
    assert alarms(app) == [("job_stopped", str(lease.id))]


def test_an_outage_of_the_store_never_uses_up_the_attempts(app: Application) -> None:
    lease = taken(app, attempts=app.settings.max_attempts - 1)
    before = get_job(app, lease.id).attempts

    assert fail_attempt(app, lease, OUTAGE) == JobState.QUEUED
    assert get_job(app, lease.id).attempts == before - 1


def test_a_failed_attempt_of_a_job_that_was_cancelled_meanwhile_is_not_written(
    app: Application,
) -> None:
    lease = taken(app)
    cancel(app, str(lease.id))

    with pytest.raises(LeaseLost):
        fail_attempt(app, lease, OSError("busy"))
    assert get_job(app, lease.id).state == JobState.CANCELLED


def test_a_retry_hints_anew(app: Application) -> None:
    lease = taken(app)
    change(app, Job, lease.id, hinted_at=NOW)

    fail_attempt(app, lease, OSError("busy"))

    assert get_job(app, lease.id).hinted_at == 0.0


def test_files_that_are_not_in_the_store_now_are_no_verdict_on_the_series(
    app: Application, tmp_path: Path
) -> None:
    datasets = plain_series("share not mounted", slices=3)
    uid = str(datasets[0].SeriesInstanceUID)
    receive(app, tmp_path, *datasets)
    job_id = set_state(app, uid, JobState.COMPLETE, JobState.QUEUED)
    shutil.rmtree(app.settings.object_store_url)

    assert analyse_next(app) == job_id

    job = job_of(app, uid)
    assert (job.state, job.transient) == (JobState.QUEUED, True)
    assert "ObjectMissing" in history(app, job_id)[-1]
