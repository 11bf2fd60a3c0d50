"""A lease that is kept while the work takes, and lost without a word."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from tests.integration.service import wait_for
from tests.migrated import migrated_application
from tests.unit.workers.rows import add_job, change, get_job, with_settings
from workers.application import Application
from workers.errors import LeaseLost
from workers.settings import Settings
from workers.state.jobs import Lease, held_job, take_job
from workers.state.schema import Job, JobState
from workers.usecases.keep_lease import keep_lease

LIMIT_S = 30.0


@pytest.fixture
def app(settings: Settings) -> Iterator[Application]:
    """An application whose leases are renewed every half second."""
    opened = migrated_application(with_settings(settings, lease_s=2))
    yield opened
    opened.database.close()


@pytest.fixture
def lease(app: Application) -> Lease:
    job_id = add_job(app)
    with app.database.write() as session:
        return take_job(session, job_id, "tester", now=app.now(), lease_s=app.settings.lease_s)


def beating(lease: Lease) -> bool:
    return any(thread.name == f"lease-{lease.id}" for thread in threading.enumerate())


def test_a_lease_is_prolonged_while_the_work_takes_and_no_longer(
    app: Application, lease: Lease
) -> None:
    first = get_job(app, lease.id).lease_expires_at
    assert first is not None

    with keep_lease(app, Job, lease):
        wait_for(
            lambda: (get_job(app, lease.id).lease_expires_at or 0) > first,
            limit_s=LIMIT_S,
            message="the lease is renewed",
        )

    assert not beating(lease)


def test_the_beat_ends_when_the_work_fails(app: Application, lease: Lease) -> None:
    with pytest.raises(RuntimeError), keep_lease(app, Job, lease):
        raise RuntimeError("the work failed")

    assert not beating(lease)


def test_a_lease_that_somebody_took_is_not_taken_back(app: Application, lease: Lease) -> None:
    change(app, Job, lease.id, state=JobState.CANCELLED, lease_expires_at=None)

    with keep_lease(app, Job, lease):
        wait_for(lambda: not beating(lease), limit_s=LIMIT_S, message="the beat gives up")

    assert get_job(app, lease.id).lease_expires_at is None
    with app.database.write() as session, pytest.raises(LeaseLost):
        held_job(session, lease)


def test_a_database_that_is_away_for_a_beat_costs_no_lease(app: Application, lease: Lease) -> None:
    first = get_job(app, lease.id).lease_expires_at or 0.0
    state = app.settings.data_dir / "state.sqlite"
    app.database.close()
    state.rename(state.with_suffix(".away"))
    state.mkdir()  # no database can be opened here

    with capture_logs() as logs, keep_lease(app, Job, lease):
        wait_for(lambda: logs, limit_s=LIMIT_S, message="a beat fails")
        state.rmdir()
        state.with_suffix(".away").rename(state)
        wait_for(
            lambda: (get_job(app, lease.id).lease_expires_at or 0) > first,
            limit_s=LIMIT_S,
            message="the lease is renewed",
        )

    assert logs[0]["event"] == "lease_not_renewed"
